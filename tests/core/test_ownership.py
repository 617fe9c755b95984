"""Which files and folders another user may change."""

import os
from pathlib import Path

import pytest

from onpanic.core.ownership import changeable_by_others

OTHER = 65533  # not the one that stands for users whom a namespace lacks


def test_what_is_the_users_or_the_hosts(tmp_path: Path) -> None:
    """Also below a folder such as /tmp; and what does not exist is nobody's."""
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.touch(0o644)
    file.parent.chmod(0o1777)
    assert changeable_by_others(file) == changeable_by_others(file.parent) == ""
    assert changeable_by_others("/bin/sh") == changeable_by_others("/nonexistent/file") == ""


def test_what_everybody_may_write_to(tmp_path: Path) -> None:
    """A file, a folder above it, or where a link leads."""
    file, link = tmp_path / "folder" / "file", tmp_path / "link"
    file.parent.mkdir()
    file.touch()
    link.symlink_to(file)
    file.chmod(0o646)
    assert changeable_by_others(file) == changeable_by_others(link) == str(file)
    file.chmod(0o1666)
    assert changeable_by_others(file) == str(file)
    file.chmod(0o644)
    file.parent.chmod(0o777)
    assert changeable_by_others(file) == changeable_by_others(link) == str(file.parent)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_another_user_owns(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.touch()
    os.chown(file.parent, OTHER, 0)
    assert changeable_by_others(file) == str(file.parent)
    os.chown(file.parent, 0, OTHER)
    assert changeable_by_others(file) == ""
