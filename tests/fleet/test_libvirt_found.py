"""Whether a host has a libvirt: what is not there is told from what did not answer."""

from pathlib import Path

import pytest

from onpanic.fleet.collecting.host_libvirt import LibvirtSeen, libvirt_found

from .fleets import host


def test_a_libvirt_that_answered_is_there(tmp_path: Path) -> None:
    assert libvirt_found(LibvirtSeen(host().libvirt), [tmp_path / "libvirtd"]) == "yes"


@pytest.mark.parametrize(("there", "found"), [(True, "unknown"), (False, "no")])
def test_a_daemon_or_a_socket_that_did_not_answer_is_unknown(there: bool, found: str, tmp_path: Path) -> None:
    place = tmp_path / "libvirt-sock"
    if there:
        place.touch()
    assert libvirt_found(LibvirtSeen(problems=["no answer"]), [tmp_path / "libvirtd", place]) == found
