"""The commands work on every kind of connection to a libvirt on this host."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
from msgspec.structs import replace

from onpanic.core.errors import SourceError
from onpanic.core.libvirt_api import call_with_timeout
from onpanic.matrix.sources.debian_libvirts import NOBODY
from onpanic.probe import CapabilityRecord
from onpanic.probe.decision.policy import Policy
from onpanic.shims import Libvirt, from_libvirt, to_libvirt
from onpanic.shims.guests.guest_status import status_of_domain
from onpanic.shims.translation.domain_emulator import prober_for

from ..running.libvirtd import HOST, HOST_AND_NEWEST, folder_of
from ..running.sshd import SshdMissingError, run_sshd

pytestmark = [pytest.mark.libvirt, pytest.mark.libvirts(HOST)]

Recorded = Callable[..., CapabilityRecord]
Run = Callable[..., list[tuple[int, str, str]]]

DOMAIN = """\
<domain type='qemu'>
  <name>guest</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <on_panic>restart</on_panic>
  <devices/>
</domain>
"""

# Runs several commands in one process, whose start takes longer than they do
SCRIPT = """
import contextlib, io, json, sys
from onpanic.cli import main
found = []
for words in json.loads(sys.argv[1]):
    out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    out.flush()
    found.append((status, out.buffer.getvalue().decode(), err.getvalue()))
print(json.dumps(found))
"""


def run_commands(
    commands: Sequence[list[str]], *prefix: str, **environment: str
) -> list[tuple[int, str, str]]:
    """Run commands; return the exit status of each, and what it printed on stdout and stderr."""
    done = subprocess.run(
        [*prefix, sys.executable, "-c", SCRIPT, json.dumps(commands)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return [(status, out, err) for status, out, err in json.loads(done.stdout.splitlines()[-1])]


@pytest.fixture
def run(uri: str) -> Run:
    """Return a function that runs commands as a user who is not root, with the daemon's folder as home.

    Root has no session of libvirt's.  The user can read what root can, the interpreter for example.
    """
    names = ("HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    homes = dict.fromkeys(names, str(folder_of(uri).parent))
    capability = [f"--{kind}-caps=+dac_override" for kind in ("inh", "ambient")]
    user = ["setpriv", f"--reuid={NOBODY}", "--clear-groups", *capability] if os.geteuid() == 0 else []
    return lambda *commands: run_commands(commands, *user, **homes)


@pytest.fixture
def modular(uri: str) -> Iterator[Path]:
    """Return the socket that virtqemud would have: libvirtd, which has the same driver, listens on it."""
    path = folder_of(uri) / "virtqemud-sock"
    with suppress(FileExistsError):
        path.symlink_to("libvirt-sock")
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def domain_file(tmp_path: Path) -> str:
    path = tmp_path / "domain.xml"
    path.write_text(DOMAIN, "utf-8")
    return str(path)


@pytest.mark.parametrize(
    "kind",
    [
        "{uri}",
        "{uri}&mode=direct",
        "{uri}&mode=legacy",
        "qemu+unix:///session?socket={modular}",
        "qemu:///session",
        "qemu:///session?mode=direct",
        "qemu+unix:///session?mode=direct",
        "",
    ],
)
def test_every_command(
    kind: str, uri: str, modular: Path, run: Run, domain_file: str, connection: Any, recorded: Recorded
) -> None:
    """libvirt's sessions and the modular daemons' sockets are libvirts of this host."""
    connection.defineXML(to_libvirt(DOMAIN, recorded(), libvirt="9.0.0").xml)
    named = ["--connect", kind.format(uri=uri, modular=modular)]
    check_answers(run(*all_commands(domain_file, named)))


def all_commands(domain_file: str, named: list[str]) -> list[list[str]]:
    """Return the commands that take a connection.

    :param named: The option that names it.
    """
    return [
        ["to-libvirt", domain_file, *named],
        ["domcaps", *named],
        ["status", "--domain", "guest", *named],
        ["watch", "--once", *named],
    ]


def check_answers(found: list[tuple[int, str, str]]) -> None:
    """Check what these commands printed."""
    assert [status for status, _, _ in found] == [0, 0, 0, 0], found
    translated, capabilities, status, _ = [out for _, out, _ in found]
    assert "<on_crash>restart</on_crash>" in translated
    assert "<on_panic supported='yes'>" in capabilities
    assert status.startswith("guest: off: ")
    assert "<on_panic>restart</on_panic> (kept in its metadata)" in status


def test_ssh(
    uri: str,
    folder: Path,
    domain_file: str,
    connection: Any,
    recorded: Recorded,
    unavailable: Callable[[str], NoReturn],
) -> None:
    """A libvirt that is reached through SSH may be on this host, whose emulator is then probed."""
    connection.defineXML(to_libvirt(DOMAIN, recorded(), libvirt="9.0.0").xml)
    folder.chmod(0o755)
    with ExitStack() as stack:
        try:
            sshd = stack.enter_context(run_sshd(folder, {"XDG_RUNTIME_DIR": str(folder_of(uri).parent)}))
        except SshdMissingError as error:
            unavailable(str(error))
        login = f"{sshd.user}@localhost:{sshd.port}"
        named = ["--connect", f"qemu+ssh://{login}/session?command={sshd.client}"]
        found = run_commands(all_commands(domain_file, named))
        check_answers(found)
        refused = run_commands([["status", "--domain", "guest", *named, "--connect", f"{named[1]}x"]])
    assert refused[0][0] == 2
    assert refused[0][2].startswith("onpanic: libvirt: ")


def test_the_embedded_driver(run: Run, domain_file: str, uri: str) -> None:
    """It runs in the process of the command."""
    root = folder_of(uri).parent / "embedded"
    translated, capabilities = run(
        ["to-libvirt", domain_file, "--connect", f"qemu:///embed?root={root}"],
        ["domcaps", "--connect", f"qemu:///embed?root={root}"],
    )
    assert (translated[0], capabilities[0]) == (0, 0), translated
    assert "<on_crash>restart</on_crash>" in translated[1]
    assert "<on_panic supported='yes'>" in capabilities[1]


@pytest.mark.libvirts(*HOST_AND_NEWEST)
def test_a_read_only_connection(uri: str, libvirt: Any, connection: Any, recorded: Recorded) -> None:
    """Nothing is defined through it, and libvirt cannot be asked what it supports.

    The installed schema says the same as the libvirt that it belongs to.
    """
    from onpanic.shims import PolicyError, extend  # libvirt's module may not be installed

    connection.defineXML(to_libvirt(DOMAIN, recorded(), libvirt="9.0.0").xml)
    with closing(libvirt.openReadOnly(uri)) as readonly:
        known = Libvirt.of_connection(readonly)
        same = libvirt.getVersion() == connection.getLibVersion()
        assert known.known_by == ("schema" if same else "version")
        asked = Libvirt.of_connection(connection)
        assert replace(known, known_by="asked") == asked
        assert str(known) == f"{asked.name}, by its {known.known_by}"
        assert to_libvirt(DOMAIN, prober_for(readonly), libvirt=known).policy == Policy("restart")
        domain = readonly.lookupByName("guest")
        assert from_libvirt(domain.XMLDesc()).policy == Policy("restart")
        assert extend(readonly).lookupByName("guest").XMLDesc().count("<on_panic>") == 1
        assert status_of_domain(domain).state == "off"
        with pytest.raises(libvirt.libvirtError) as caught:
            extend(readonly).defineXML(DOMAIN)
        assert not isinstance(caught.value, PolicyError)
        assert caught.value.get_error_code() == libvirt.VIR_ERR_OPERATION_DENIED
        with pytest.raises(libvirt.libvirtError) as caught:
            extend(readonly).getDomainCapabilities()
        assert caught.value.get_error_code() == libvirt.VIR_ERR_OPERATION_DENIED
        with pytest.raises(SourceError, match="operation forbidden") as denied:
            call_with_timeout(60, readonly.getDomainCapabilities)
        assert "not read-only" in denied.value.hint
