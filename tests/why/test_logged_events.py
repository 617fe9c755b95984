"""What libvirt has logged of QEMU's event completes what a domain's memory tells."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from onpanic.why.readers.from_domain import words_in_domain

from ..running.libvirtd import folder_of
from ..watch.panicking_guests import s390x, until

XML = """\
<domain type="qemu">
  <name>guest</name>
  <memory unit="MiB">16</memory>
  <os><type arch="s390x" machine="s390-ccw-virtio">hvm</type><kernel>{kernel}</kernel></os>
  <on_crash>{on_crash}</on_crash>
  <devices><panic model="s390"/><memballoon model="none"/></devices>
</domain>
"""


@pytest.mark.libvirt
@pytest.mark.emulators
def test_a_disabled_wait_in_libvirts_log(
    libvirt: Any, libvirtd_of: Callable[[str], AbstractContextManager[str]]
) -> None:
    """The core is in the event only.  A domain that its policy has ended tells why, too."""
    with libvirtd_of("trixie") as uri:
        connection = libvirt.open(uri)
        kernel = folder_of(uri) / "kernel"
        s390x(kernel)
        domain = connection.createXML(XML.format(kernel=kernel, on_crash="preserve"))
        until(lambda: domain.state()[0] == libvirt.VIR_DOMAIN_CRASHED)
        words = words_in_domain(domain)
        assert "vmcoreinfo device" not in words.notes[0]  # s390x cannot have it
        assert (words.source, words.architecture, words.kind) == ("libvirt", "s390x", "disabled-wait")
        assert words.details == {
            "core": "0",
            "psw mask": "0x0002000180000000",
            "psw address": "0x000000000000dead",
        }
        domain.destroy()
        domain = connection.defineXML(XML.format(kernel=kernel, on_crash="destroy"))
        domain.create()
        until(lambda: domain.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF)
        ended = words_in_domain(domain)
        assert (ended.panicked, ended.reason, ended.details) == (True, words.reason, words.details)
        assert "its memory is gone" in ended.notes[-1]
        domain.undefine()
        connection.close()
