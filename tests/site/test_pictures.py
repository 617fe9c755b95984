"""The pictures of the documentation: they are current, need nothing from elsewhere, and can be read."""

import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest

from onpanic.probe import Policy

from ..matrix.browser import Browser, browser

ROOT = Path(__file__).parent.parent.parent
PICTURES = sorted((ROOT / "docs/pictures").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def _tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tools can be imported."""
    monkeypatch.syspath_prepend(ROOT / "tools")


def test_pictures_are_those_that_the_code_draws() -> None:
    """`make pictures` draws them, the same whenever it does."""
    drawn = {name: draw() for name, draw in import_module("draw_pictures").DRAWN.items()}
    assert drawn == {path.name: path.read_text("utf-8") for path in PICTURES}


@pytest.mark.emulators
def test_the_session_prints_what_its_recording_shows(unavailable: Callable[[str], NoReturn]) -> None:
    """`make recording` records it: typed into a shell again, it shows the same but for numbers and times."""
    if shutil.which("qemu-system-x86_64") is None:
        unavailable("no qemu-system-x86_64")
    session, runs = import_module("pictures.terminal_session"), import_module("pictures.screen_runs")
    recorded = session.Cast.load(ROOT / "docs/pictures/session.cast")
    shape = import_module("examples").shape
    assert shape(runs.transcript(session.record_session(key=0))) == shape(runs.transcript(recorded))


def test_a_line_that_scrolls_away_disappears() -> None:
    """A recording is played as a terminal shows it: lines move up, and what is overwritten is gone."""
    session, runs = import_module("pictures.terminal_session"), import_module("pictures.screen_runs")
    printed = [
        session.Printed(1.0, "one\r\ntwo"),
        session.Printed(2.0, "\r\n3/9"),
        session.Printed(3.0, "\r4"),
    ]
    cast = session.Cast(9, 2, printed)
    shown = {(run.row, run.text, run.since, run.until) for run in runs.runs_of(cast)}
    first = {(0, "one", 1.0, 2.0), (1, "two", 1.0, 2.0), (1, "3/9", 2.0, 3.0)}
    assert shown == first | {(0, "two", 2.0, None), (1, "4/9", 3.0, None)}
    assert runs.transcript(cast) == "one\ntwo\n4/9\n"


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_pictures_need_nothing_from_elsewhere(path: Path) -> None:
    """They have no script, link, font or image, and every font has a general one to fall back to."""
    text = path.read_text("utf-8")
    elements = {element.tag.removeprefix(SVG) for element in ET.fromstring(text).iter()}
    assert elements <= {"svg", "title", "desc", "style", "rect", "path", "text", "tspan"}
    assert not re.search(r"href|url\(|@import|@font-face|\son\w+=", text)
    fonts = re.findall(r"font(?:-family)?:([^;}]*)", text)
    assert fonts
    assert all(font.endswith(("monospace", "sans-serif")) for font in fonts)
    assert len(text.encode()) < 150_000


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_pictures_say_what_they_show(path: Path) -> None:
    """Each is an image with a title, and its description has every text that it shows."""
    root = ET.parse(path).getroot()
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    said = re.sub(r"\s", "", f"{title.text}{description.text}")
    stays = [text for text in root.iter(f"{SVG}text") if text.get("class") != "passes"]
    texts = ["".join(text.itertext()) for text in stays]
    assert texts
    assert [text for text in texts if re.sub(r"\s", "", text) not in said] == []


def outcome(value: str, libvirt: str = "9.0.0", *, coredump: bool = False, has_notifier: bool = True) -> Any:
    found = import_module("pictures.panic_outcomes").outcome
    return found(Policy(value, coredump), libvirt, has_notifier=has_notifier)


@pytest.mark.parametrize(
    ("value", "coredump", "expected"),
    [
        ("ignore", False, ("preserve", ("continue",), "healthy", False)),
        ("restart", False, ("restart", (), "healthy", False)),
        ("restart", True, ("coredump-restart", (), "healthy", False)),
        ("destroy", True, ("coredump-destroy", (), "off", False)),
        ("preserve", True, ("preserve", ("coredump",), "panicked", False)),
        ("pause", False, ("preserve", (), "panicked", False)),
        ("rename-restart", True, ("preserve", ("coredump", "destroy", "rename", "start"), "healthy", True)),
    ],
)
def test_outcomes_are_what_libvirt_and_the_watcher_do(value: str, coredump: bool, expected: Any) -> None:
    """libvirt's action, the steps that are left to the watcher, and what becomes of the guest."""
    assert outcome(value, coredump=coredump) == expected


def test_one_row_of_a_policy_is_enough_for_all_domains() -> None:
    """Only ``ignore`` depends on libvirt's version, and on whether the domain had a notifier."""
    policies = import_module("pictures.panic_outcomes").POLICIES
    others = [value for value in policies if value != "ignore"]
    for value in others:
        found = {
            outcome(value, v, has_notifier=there) for v in ("9.0.0", "12.6.0") for there in (False, True)
        }
        assert len(found) == 1
    assert len(others) == len(policies) - 1


@pytest.fixture(scope="module")
def chromium(chromium_folder: Path) -> Iterator[Browser]:
    with browser(chromium_folder, Browser) as started:
        yield started


@pytest.mark.browser
@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_no_text_leaves_its_box_or_covers_another(chromium: Browser, path: Path) -> None:
    """Each text is within the picture, and within the box in which it begins; no two are in one place."""
    chromium.driver.get(path.as_uri())
    assert chromium.driver.execute_script(LAYOUT) == []


@pytest.mark.browser
@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_text_is_legible_on_a_phone(chromium: Browser, path: Path) -> None:
    """Where the picture is 360 pixels wide, no text is smaller than 11 pixels."""
    chromium.driver.get(path.as_uri())
    assert chromium.driver.execute_script(SMALLEST) >= 11


@pytest.mark.browser
def test_the_session_stands_still_if_motion_is_to_be_reduced(chromium: Browser) -> None:
    """It moves otherwise, and then the last screen is there at once."""
    path = ROOT / "docs/pictures/session.svg"
    running = {}
    for motion in ("no-preference", "reduce"):
        feature = {"name": "prefers-reduced-motion", "value": motion}
        chromium.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        chromium.driver.get(path.as_uri())
        hidden = chromium.driver.execute_script(HIDDEN)
        running[motion] = (chromium.driver.execute_script("return document.getAnimations().length"), hidden)
    chromium.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert running["reduce"] == (0, 0)
    assert min(running["no-preference"]) > 0


#: Texts out of the box in which they begin, or over another text.
LAYOUT = """
const box = element => element.getBBox(), found = [];
const boxes = [...document.querySelectorAll('rect:not(.cursor)')].map(box);
const texts = [...document.querySelectorAll('text:not(.passes)')];
const within = (inner, outer) => inner.x >= outer.x && inner.y >= outer.y
  && inner.x + inner.width <= outer.x + outer.width && inner.y + inner.height <= outer.y + outer.height;
for (const text of texts) {
  const own = box(text), begin = {x: own.x, y: own.y + own.height / 2, width: 0, height: 0};
  if (boxes.some(other => within(begin, other) && !within(own, other))) found.push(text.textContent);
  for (const other of texts) {
    const its = box(other);
    if (text !== other && own.x < its.x + its.width && its.x < own.x + own.width
        && own.y + 4 < its.y + its.height && its.y + 4 < own.y + own.height) found.push(text.textContent);
  }
}
return found;
"""
SMALLEST = """
const width = document.documentElement.viewBox.baseVal.width;
const sizes = [...document.querySelectorAll('text')].map(text => parseFloat(getComputedStyle(text).fontSize));
return Math.min(...sizes) * 360 / width;
"""
HIDDEN = """
return [...document.querySelectorAll('text:not(.passes) tspan')]
  .filter(text => getComputedStyle(text).fill === 'rgba(0, 0, 0, 0)').length;
"""
