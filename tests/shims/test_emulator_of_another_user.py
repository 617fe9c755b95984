"""The program that a domain names is not started if another user could have put it there."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from onpanic.core.errors import StartError
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import machine_of
from onpanic.shims.translation.domain_emulator import record_for

NOBODY = 65533  # not the one that stands for users whom a namespace lacks
DOMAIN = """\
<domain type='qemu'>
  <os><type arch='x86_64'>hvm</type></os>
  <devices><emulator>{}</emulator></devices>
</domain>
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "qemu-system-x86_64"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexit 1\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: path.chmod(0o757), id="file"),
        pytest.param(lambda path: path.parent.chmod(0o757), id="folder"),
        pytest.param(lambda path: os.chown(path, NOBODY, 0), id="file-of-another", marks=as_root),
        pytest.param(lambda path: os.chown(path.parent, NOBODY, 0), id="folder-of-another", marks=as_root),
    ],
)
def test_a_program_of_another_user_is_not_started(change: Callable[[Path], object], program: Path) -> None:
    """Neither by its path, nor through a link."""
    link = program.parent.parent / "link"
    link.symlink_to(program)
    change(program)
    for path in (program, link):
        machine = machine_of(Document(DOMAIN.format(path)).root)
        with pytest.raises(StartError, match="another user may change"):
            record_for(machine)
    assert not (program.parent.parent / "started").exists()
    with pytest.raises(StartError, match="greeting"):  # it was named by the user
        record_for(machine, [str(program)])
