"""Domains of other drivers than libvirt's for QEMU: nothing of them is read, and no device is recommended."""

import pytest

from onpanic.core.errors import SourceError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.why.readers.from_domain import words_in_domain
from onpanic.why.readiness.domain_readiness import readiness_of_domain

from ..played.libvirt import PlayedLibvirt


@pytest.mark.parametrize(("driver", "said"), [("Xen", "memory of a Xen guest"), ("LXC", "QEMU driver")])
def test_refusal(played_libvirt: PlayedLibvirt, driver: str, said: str) -> None:
    """What it says of a panic, and whether a panic could be read, are refused with the same reason."""
    played_libvirt.driver = driver
    played_libvirt.add()
    (domain,) = libvirt_module().open(None).listAllDomains()
    (note,) = words_in_domain(domain).notes
    with pytest.raises(SourceError) as refused:
        readiness_of_domain(domain)
    assert refused.value.message == note
    assert said in note
