"""What is missing is installed as the distribution says, or with pip."""

import sys
import tomllib
from pathlib import Path

import pytest

from onpanic.core.extras import install_command


def test_pip_without_a_distributions_file(tmp_path: Path) -> None:
    assert install_command("xml", tmp_path / "none.toml") == f"{sys.executable} -m pip install 'onpanic[xml]'"


def test_a_distributions_command(tmp_path: Path) -> None:
    """It is printed as it is; an extra that the distribution does not name is pip's."""
    commands = tmp_path / "extras.toml"
    commands.write_text('xml = "dnf install python3-lxml"\n')
    assert install_command("xml", commands) == "dnf install python3-lxml"
    assert install_command("watch", commands) == f"{sys.executable} -m pip install 'onpanic[watch]'"


def test_a_file_that_is_not_toml(tmp_path: Path) -> None:
    """The packager sees it in the packages' own tests."""
    (tmp_path / "extras.toml").write_text("xml: apt\n")
    with pytest.raises(tomllib.TOMLDecodeError):
        install_command("xml", tmp_path / "extras.toml")
