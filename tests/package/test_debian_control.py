"""What debian/ states agrees with the rest of the project."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ..running.packages import PACKAGE_VERSION

ROOT = Path(__file__).parent.parent.parent
DEBIAN = ROOT / "debian"

pytestmark = pytest.mark.skipif(not DEBIAN.exists(), reason="the sdist has no debian/")


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def related(*fields: str) -> set[str]:
    """Return the names in some fields of all binary packages."""
    text = (DEBIAN / "control").read_text("utf-8").partition("\n\n")[2]
    found = re.findall(rf"^(?:{'|'.join(fields)}):\n((?: .*\n)+)", text, re.MULTILINE)
    return {name for field in found for name in re.findall(r"^ ([a-z0-9][a-z0-9.+-]+)", field, re.MULTILINE)}


def test_the_version() -> None:
    """It sorts before Debian's own first package of the release, which replaces these."""
    first = (DEBIAN / "changelog").read_text("utf-8").splitlines()[0]
    assert re.fullmatch(rf"onpanic \({re.escape(PACKAGE_VERSION)}-1~upstream\d+\) .*", first)


def test_each_extra_has_a_command() -> None:
    """Each installs packages that apt knows from the packages' fields, too."""
    commands = tomllib.loads((DEBIAN / "extras.toml").read_text("utf-8"))
    assert commands.keys() == project()["optional-dependencies"].keys() - {"dev"}
    named = {word for command in commands.values() for word in command.removeprefix("apt install ").split()}
    assert named - related("Recommends", "Suggests") == set()


def test_what_is_required_is_depended_on() -> None:
    """With the same bounds; hatchling's are those of the build."""
    control = (DEBIAN / "control").read_text("utf-8")
    bounds = {"msgspec": "python3-msgspec", "qemu.qmp": "python3-qemu-qmp"}
    required = [re.split(r"[ ,]+", line) for line in project()["dependencies"]]
    assert {words[0] for words in required} == bounds.keys()
    for name, *rest in required:
        for operator, version in zip(rest[::2], rest[1::2], strict=True):
            relation = {">=": ">=", "<": "<<"}[operator]
            assert f"{bounds[name]} ({relation} {version}" in control, name
