"""What states the version agrees; tools/set-version writes it."""

import re
from pathlib import Path

from onpanic.core.version import __version__

from .running.packages import PACKAGE_VERSION

ROOT = Path(__file__).parent.parent


def test_the_changelog_begins_with_the_version() -> None:
    """That of development is what is not released; a release may have changes after it."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    released = [heading.split(" ")[0] for heading in headings if heading != "Unreleased"]
    if ".dev" in __version__:
        assert headings[0] == "Unreleased"
        assert __version__.partition(".dev")[0] not in released
    else:
        assert released[0] == __version__
    assert "Unreleased" not in headings[1:]


def test_the_spec_file_of_rpm_has_the_version() -> None:
    """So has the newest entry of its changelog."""
    text = (ROOT / "rpm/onpanic.spec").read_text(encoding="utf-8")
    assert re.findall(r"^Version: +(.*)$", text, re.MULTILINE) == [PACKAGE_VERSION]
    assert re.findall(r"^%global upstream_version (.*)$", text, re.MULTILINE) == [__version__]
    assert re.findall(r"^\* .* - (\S+)-\d+$", text, re.MULTILINE)[0] == PACKAGE_VERSION


def test_no_page_names_the_wheel_of_a_version() -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        assert not re.search(r"onpanic-\d[\w.]*-py3", page.read_text(encoding="utf-8")), page.name
