"""What a libvirt supports is asked; if it does not answer, its version counts."""

import os
import shlex
import shutil
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NoReturn

import pytest

from onpanic.shims import Libvirt

from ..running.libvirtd import HOST, DaemonEndedError, run_libvirtd

UNSUPPORTED, XML_ERROR, NO_SUPPORT, DENIED, RPC, INVALID, INTERNAL = 67, 27, 3, 29, 39, 8, 1
NO_EMULATOR = "No emulator found for arch 'x86_64'"

Refusal = tuple[int, str] | None


def words_of(kind: str, word: str) -> str:
    return f"unsupported configuration: unknown {kind}: {word}"


class Asked:
    """A connection to a libvirt that answers with what it knows.

    :param known: The words that it does not refuse as unknown, with what it answers instead.
    :param everything: What it answers to every question.
    """

    def __init__(
        self,
        version: int,
        known: dict[str, Refusal],
        everything: Refusal = None,
        unknown: Any = words_of,
        driver: str = "QEMU",
    ) -> None:
        self.driver = driver
        self.version, self.known, self.everything, self.unknown = version, known, everything, unknown
        self.questions: list[str] = []
        self.alive = 1

    def getType(self) -> str:  # noqa: N802
        return self.driver

    def getLibVersion(self) -> int:  # noqa: N802
        return self.version

    def getURI(self) -> str:  # noqa: N802
        return "qemu+ssh://elsewhere/system"

    def isAlive(self) -> int:  # noqa: N802
        return self.alive

    def domainXMLToNative(self, kind: str, xml: str, flags: int) -> str:  # noqa: N802
        import libvirt

        assert (kind, flags) == ({"QEMU": "qemu-argv", "Xen": "xen-xl"}[self.driver], 0)
        assert ("type='xen'" in xml) == (self.driver == "Xen")
        self.questions.append(xml)
        refusal = self.everything or self._answer(xml)
        if refusal is None:
            return "qemu"
        error = libvirt.libvirtError(refusal[1])
        error.err = (refusal[0], 0, refusal[1], 2, "", "", "", 0, 0)
        error.args = (refusal[1],)
        raise error

    def _answer(self, xml: str) -> Refusal:
        for word, answer in self.known.items():
            if f">{word}<" in xml or f"'{word}'" in xml or f"<{word} " in xml:
                return answer
        found = next(
            w for w in ("onpanic-control", "preserve-running", "rename-restart", "pvpanic") if w in xml
        )
        return UNSUPPORTED, self.unknown("panic model" if "<panic" in xml else "on_crash action", found)


TWICE = (XML_ERROR, "XML error: Multiple panic devices with model 'pvpanic'")
NOT_BY_QEMU = (UNSUPPORTED, "qemu driver doesn't support the 'rename-restart' action for 'on_crash'")
OTHER_EMULATOR = (UNSUPPORTED, "the QEMU binary does not support the PCI pvpanic device")

pytestmark = pytest.mark.libvirt  # for the errors of its Python module


@pytest.mark.parametrize(
    ("version", "known", "features"),
    [
        (12_005_000, {"preserve-running": None, "pvpanic": TWICE, "rename-restart": NOT_BY_QEMU}, "p r c"),
        (12_006_000, {"pvpanic": TWICE, "rename-restart": NOT_BY_QEMU}, "p c"),
        (9_000_000, {"pvpanic": OTHER_EMULATOR, "rename-restart": NOT_BY_QEMU}, "p c"),
        (9_000_000, {"pvpanic": (UNSUPPORTED, NO_EMULATOR), "rename-restart": NOT_BY_QEMU}, "p c"),
        (9_000_000, {"preserve-running": (UNSUPPORTED, NO_EMULATOR), "rename-restart": NOT_BY_QEMU}, "r c"),
        (12_008_000, {"preserve-running": (UNSUPPORTED, "no 'preserve-running' here")}, "c"),
        (7_000_000, {"preserve-running": (UNSUPPORTED, "no 'preserve-running' here")}, ""),
        (9_000_000, {"rename-restart": None}, ""),
        (12_008_000, {"rename-restart": NOT_BY_QEMU}, "c"),
    ],
)
@pytest.mark.parametrize("unknown", [words_of, lambda kind, word: f"nicht unterstützt: {kind} »{word}«"])
def test_its_answers_count(
    version: int,
    known: dict[str, Refusal],
    features: str,
    unknown: Callable[[str, str], str],
    libvirt: Any,
) -> None:
    """A backport counts, and so does a word that was taken out."""
    found = Libvirt.of_connection(Asked(version, known, unknown=unknown))
    asked = {"p": found.pci, "r": found.preserve_running, "c": found.checks_actions}
    assert " ".join(name for name, answer in asked.items() if answer) == features
    assert found.known_by == "asked"
    assert str(found) == f"{Libvirt.of(version).name}, asked"


def test_elements_and_attributes_are_asked_about(libvirt: Any) -> None:
    """What refuses a value reads it; what accepts any value does not, and neither answers for the models."""
    found = Libvirt.of_connection(Asked(1_001_001, {}))
    assert (found.device, found.models, found.vmcoreinfo) == (True, True, True)
    found = Libvirt.of_connection(Asked(12_006_000, {"vmcoreinfo": None}))
    assert (found.device, found.models, found.vmcoreinfo) == (True, True, False)
    found = Libvirt.of_connection(Asked(1_002_001, {"panic": None, "vmcoreinfo": (UNSUPPORTED, NO_EMULATOR)}))
    assert (found.device, found.models, found.vmcoreinfo) == (True, False, False)
    assert found.known_by == "version"


@pytest.mark.parametrize(
    ("version", "checks"), [(9_000_000, True), (7_000_000, False)], ids=["9.0.0", "7.0.0"]
)
@pytest.mark.parametrize(
    "refusal",
    [
        (UNSUPPORTED, NO_EMULATOR),
        (INVALID, "could not get preferred machine for /usr/bin/qemu-kvm type=qemu"),
        (INTERNAL, "process exited while connecting to monitor"),
    ],
)
def test_a_refusal_for_another_reason_is_no_answer_about_actions(
    version: int, checks: bool, refusal: Refusal, libvirt: Any
) -> None:
    """libvirt looks for the emulator first; that it knows the other words is known all the same."""
    found = Libvirt.of_connection(
        Asked(version, dict.fromkeys(("preserve-running", "pvpanic", "rename-restart"), refusal))
    )
    assert (found.checks_actions, found.preserve_running, found.pci) == (checks, True, True)
    assert found.known_by == "asked"


@pytest.mark.parametrize(
    "everything",
    [
        (NO_SUPPORT, "this function is not supported by the connection driver"),
        (DENIED, "operation domainXMLToNative denied for read-only access"),
        (UNSUPPORTED, NO_EMULATOR),
    ],
)
@pytest.mark.parametrize("version", [9_000_000, 12_006_000])
def test_without_an_answer_its_version_counts(version: int, everything: Refusal, libvirt: Any) -> None:
    """A refusal that has nothing to do with the question is not an answer."""
    found = Libvirt.of_connection(Asked(version, {}, everything))
    assert found == Libvirt.of(version)
    assert str(found) == f"{found.name}, by its version"


def test_a_connection_that_breaks_is_an_error(libvirt: Any) -> None:
    """The version does not replace an answer that was lost, and nothing is cached."""
    connection = Asked(9_000_000, {}, (RPC, "Cannot write data: Broken pipe"))
    connection.alive = 0
    with pytest.raises(libvirt.libvirtError, match="Broken pipe"):
        Libvirt.of_connection(connection)
    connection.alive, connection.everything = 1, None
    assert Libvirt.of_connection(connection).known_by == "asked"


def test_a_connection_is_asked_once(libvirt: Any) -> None:
    """The answers are cached for as long as the connection exists."""
    connection = Asked(9_000_000, {"rename-restart": None})
    assert Libvirt.of_connection(connection) == Libvirt.of_connection(connection)
    assert len(connection.questions) == len(set(connection.questions)) + 1  # the control of <on_crash>
    Libvirt.of_connection(Asked(9_000_000, {}))


def test_the_xen_driver_is_asked_about_xen_domains(libvirt: Any) -> None:
    """It carries out rename-restart, so that it does not refuse it."""
    found = Libvirt.of_connection(Asked(9_000_000, {"rename-restart": None}, driver="Xen"))
    assert (found.known_by, found.pci, found.preserve_running) == ("asked", False, False)
    assert not found.checks_actions


def test_a_real_libvirt(libvirt: Any, connection: Any) -> None:
    """It is asked, and has nothing more than before."""
    before = connection.listAllDomains()
    found = Libvirt.of_connection(connection)
    assert found.known_by == "asked"
    assert Libvirt.of_connection(connection) is found
    assert connection.listAllDomains() == before


@pytest.mark.libvirts(HOST)
@pytest.mark.parametrize("hidden", ["/dev/null", "/bin/false"], ids=["no emulator", "one that fails"])
def test_a_real_libvirt_without_an_emulator(
    hidden: str, connection: Any, libvirt: Any, folder: Path, unavailable: Callable[[str], NoReturn]
) -> None:
    """It answers what one with an emulator answers."""
    program = shutil.which("libvirtd", path=os.environ["PATH"] + ":/usr/sbin") or unavailable("no libvirtd")
    words = [shutil.which("bwrap") or unavailable("no bwrap"), "--dev-bind", "/", "/", "--die-with-parent"]
    for emulator in Path("/usr/bin").glob("qemu-system-*"):
        words += ["--ro-bind", hidden, str(emulator)]
    folder.chmod(0o755)
    script = folder / "libvirtd"
    script.write_text(f'#!/bin/sh\nexec {shlex.join([*words, program])} "$@"\n', "utf-8")
    script.chmod(0o755)
    with ExitStack() as stack:
        try:
            uri = stack.enter_context(run_libvirtd(str(script)))
        except DaemonEndedError as error:
            unavailable(str(error))
        found = Libvirt.of_connection(stack.enter_context(closing(libvirt.open(uri))))
    assert found == Libvirt.of_connection(connection)
    assert found.known_by == "asked"
