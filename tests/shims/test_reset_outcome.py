"""Which domains a reset ends instead of rebooting them."""

import pytest

from onpanic.shims.domain_xml.document import Document
from onpanic.shims.guests.reset_outcome import reset_ends_guest

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


def reason(more: str = "", *arguments: str) -> str:
    words = "".join(f"<qemu:arg value='{argument}'/>" for argument in arguments)
    commandline = f"<qemu:commandline>{words}</qemu:commandline>"
    return reset_ends_guest(Document(f"<domain xmlns:qemu='{QEMU}'>{more}{commandline}</domain>").root)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", ""),
        ("<on_reboot>restart</on_reboot>", ""),
        ("<on_reboot/>", ""),
        ("<on_poweroff>destroy</on_poweroff>", ""),
        ("<on_reboot> destroy </on_reboot>", "<on_reboot>destroy</on_reboot>"),
        ("<launchSecurity type='sev'/>", "<launchSecurity>"),
        ("<metadata><on_reboot>destroy</on_reboot></metadata>", ""),
    ],
)
def test_elements(more: str, expected: str) -> None:
    """libvirt's own elements."""
    assert reason(more) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-no-reboot"], "-no-reboot"),
        (["--no-reboot"], "-no-reboot"),
        (["-action", "reboot=shutdown"], "-action reboot=shutdown"),
        (["-action", "panic=pause,reboot=shutdown"], "-action reboot=shutdown"),
        (["--action", "reboot=shutdown", "-no-shutdown"], "-action reboot=shutdown"),
        (["-no-reboot", "-action", "reboot=reset"], ""),
        (["-action", "reboot=reset", "-no-reboot"], "-no-reboot"),
        (["-action", "panic=none"], ""),
        (["-no-shutdown"], ""),
        (["-append", "no-reboot"], ""),
        (["-action"], ""),
    ],
)
def test_arguments(arguments: list[str], expected: str) -> None:
    """The last of QEMU's options decides."""
    assert reason("", *arguments) == expected
