"""The commands work on every kind of connection to a libvirt on this host."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord
from onpanic.probe.decision.policy import Policy
from onpanic.shims import Libvirt, PolicyError, extend, from_libvirt, to_libvirt
from onpanic.shims.guests.guest_status import status_of_domain
from onpanic.shims.translation.domain_emulator import prober_for

from ..running.libvirtd import HOST, HOST_AND_NEWEST, folder_of

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


@pytest.fixture
def run(uri: str, tmp_path: Path) -> Run:
    """Return a function that runs commands as a user who is not root, with the daemon's folder as home.

    Root has no session of libvirt's.  The user can read what root can, the interpreter for example.
    """
    folder = folder_of(uri).parent
    words = [sys.executable, "-c", SCRIPT]
    if os.geteuid() == 0:
        capability = [f"--{kind}-caps=+dac_override" for kind in ("inh", "ambient")]
        words = ["setpriv", "--reuid=65534", "--clear-groups", *capability, *words]
    names = ("HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    environment = {**os.environ, **dict.fromkeys(names, str(folder))}

    def run(*commands: list[str]) -> list[tuple[int, str, str]]:
        done = subprocess.run(
            [*words, json.dumps(commands)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=environment,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return [(status, out, err) for status, out, err in json.loads(done.stdout.splitlines()[-1])]

    return run


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
    commands = [
        ["to-libvirt", domain_file, *named],
        ["domcaps", *named],
        ["status", "--domain", "guest", *named],
        ["watch", "--once", *named],
    ]
    translated, capabilities, status, watched = run(*commands)
    assert [found[0] for found in (translated, capabilities, status, watched)] == [0, 0, 0, 0], watched
    assert "<on_crash>restart</on_crash>" in translated[1]
    assert "<on_panic supported='yes'>" in capabilities[1]
    assert status[1].startswith("guest: off: ")
    assert "<on_panic>restart</on_panic> (kept in its metadata)" in status[1]


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
    """Nothing is defined through it, and libvirt cannot be asked what it supports."""
    connection.defineXML(to_libvirt(DOMAIN, recorded(), libvirt="9.0.0").xml)
    with closing(libvirt.openReadOnly(uri)) as readonly:
        known = Libvirt.of_connection(readonly)
        assert known.known_by == "version"
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
