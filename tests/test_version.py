"""The version is written in one place, and what else names it follows."""

import re
from pathlib import Path

from onpanic.core.version import __version__

ROOT = Path(__file__).parent.parent


def test_the_changelog_has_a_section_for_the_version() -> None:
    """And above it only one for what is not released."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    released = [heading.split(" ")[0] for heading in headings if heading != "Unreleased"]
    assert released[0] == __version__
    assert "Unreleased" not in headings[1:]


def test_the_spec_file_of_rpm_has_the_version() -> None:
    """So has the newest entry of its changelog."""
    text = (ROOT / "rpm/onpanic.spec").read_text(encoding="utf-8")
    assert re.findall(r"^Version: +(.*)$", text, re.MULTILINE) == [__version__]
    assert re.findall(r"^\* .* - ([\d.]+)-\d+$", text, re.MULTILINE)[0] == __version__


def test_no_page_names_the_wheel_of_a_version() -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        assert not re.search(r"onpanic-\d[\w.]*-py3", page.read_text(encoding="utf-8")), page.name
