"""The documentation's site in a real browser: it can be read, searched and operated on every screen."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium")

from selenium.webdriver import Keys

from ..matrix.browser import browser
from .site_browser import SiteBrowser

pytestmark = pytest.mark.browser

#: A page of each kind.
PAGES = (
    "index.html",
    "how-to/probing.html",
    "reference/commands/onpanic-probe.html",
    "reference/codes.html",
    "reference/api/onpanic.watch.html",
    "explanation/security.html",
    "files/docs/samples/systemd/watch.toml.html",
    "search.html?q=panic-reported",
)
DESKTOP, PHONE = (1280, 900), (360, 740)
#: Sizes, and whether they are dark; the first two have every size and every colour.
SCREENS = ((DESKTOP, False), (PHONE, True), (DESKTOP, True), (PHONE, False))
#: Whether a search has ended, and found something.
FOUND = (
    "document.querySelector('#search-results li a') && document.querySelector('.search-summary').innerText"
)


@pytest.fixture(scope="module")
def chromium(chromium_folder: Path) -> Iterator[SiteBrowser]:
    with browser(chromium_folder, SiteBrowser) as started:
        yield started


@pytest.fixture
def reader(chromium: SiteBrowser) -> Iterator[SiteBrowser]:
    """Return a browser; its console must be empty at the end."""
    chromium.screen(*DESKTOP)
    yield chromium
    assert chromium.complaints() == []


@pytest.mark.parametrize("page", PAGES)
def test_every_kind_of_page_is_accessible(reader: SiteBrowser, address: str, page: str) -> None:
    """axe-core finds nothing on a light desktop and a dark phone, and neither is too narrow for the page."""
    pytest.importorskip("axe_core_python")
    for size, dark in SCREENS[: None if page == "index.html" else 2]:
        reader.screen(*size, dark=dark)
        reader.visit(address + page)
        if page.startswith("search"):
            reader.wait(FOUND)
        assert reader.violations() == [], (size, dark)
        assert reader.overflow() == 0, (size, dark)


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("cont-after-panic", "reference/codes.html"),
        ("panic-stops-guest", "reference/codes.html#panic-stops-guest"),
        ("--acpi", "reference/commands/onpanic-"),
        ("--metrics-listen", "reference/commands/onpanic-watch.html"),
    ],
)
def test_the_search_leads_to_the_page(reader: SiteBrowser, address: str, words: str, page: str) -> None:
    """What is typed into the box of a page finds first the page that describes it."""
    reader.visit(address + "index.html")
    reader.fill("input.sidebar-search", words)
    reader.press(Keys.ENTER)
    reader.wait(FOUND)
    reader.one("#search-results li a").click()
    reader.wait("document.querySelector('article') !== null")
    assert reader.driver.current_url.startswith(address + page)
    assert words in reader.text("article")
    assert reader.all("article .highlighted")
    assert not reader.all("nav .highlighted, aside .highlighted")


def test_the_front_page_leads_to_each_part(reader: SiteBrowser, address: str) -> None:
    """One screen has what onpanic answers, how to try it, and a link to each part that lists pages."""
    reader.visit(address + "index.html")
    assert reader.begins_on_the_first_screen(".section-links > ul")
    links = reader.texts(".section-links li > p:first-child")
    captions = reader.texts(".sidebar-tree .caption")
    assert captions[: len(links)] == links
    assert {"How-to guides", "Reference", "Explanation"} <= set(links)
    reader.one(".section-links li:last-child a").click()
    assert reader.driver.current_url.endswith(f"#{links[-1].lower().replace(' ', '-')}")


def test_the_sidebar_has_the_names_of_the_front_page(reader: SiteBrowser, address: str) -> None:
    """A page has one short name in both; its title may be longer."""
    reader.visit(address + "index.html")
    named = reader.texts("article section > ul > li > p > a:first-child[href$='.html']")
    shown = reader.texts(".sidebar-tree .toctree-l1 > a")
    assert len(named) > 20
    assert [name for name in shown if name not in {"Matrix of all builds", "Index"}] == named


@pytest.mark.parametrize("page", ["reference/json.html", "reference/commands/onpanic-probe.html"])
def test_an_option_is_on_one_line(reader: SiteBrowser, address: str, page: str) -> None:
    """No line of a phone ends after the dashes of an option."""
    reader.screen(*PHONE)
    reader.visit(address + page)
    words = "[...document.querySelectorAll('article code .pre')]"
    options = f"{words}.filter(word => word.textContent.startsWith('--'))"
    counts = reader.script(f"{options}.map(word => word.getClientRects().length)")
    assert isinstance(counts, list)
    assert counts
    assert all(count == 1 for count in counts)


def test_the_matrix_and_the_documentation_lead_to_each_other(reader: SiteBrowser, address: str) -> None:
    """The sidebar of each page has the matrix, whose page has a way back."""
    reader.visit(address + "reference/commands/onpanic-probe.html")
    reader.one(".sidebar-tree a[href$='matrix/index.html']").click()
    reader.wait("document.querySelectorAll('[role=grid] tbody tr').length > 0")
    reader.one("header a").click()
    assert reader.driver.current_url == address + "index.html"


def test_the_theme_can_be_chosen(reader: SiteBrowser, address: str) -> None:
    """The button changes the colours, and the next page keeps the choice."""
    reader.visit(address + "index.html")
    background = "getComputedStyle(document.body).backgroundColor"
    light = reader.script(background)
    reader.one(".theme-toggle-content button").click()  # from automatic: the other one than the screen's
    reader.wait("document.body.dataset.theme === 'dark'")
    assert reader.script(background) != light
    reader.driver.get(address + "how-to/probing.html")
    assert reader.script("document.body.dataset.theme") == "dark"


def test_copying_a_session_copies_its_commands(reader: SiteBrowser, address: str) -> None:
    """Neither prompts nor output are copied."""
    reader.visit(address + "index.html")
    reader.hover("div.highlight-console")
    reader.one("div.highlight-console button.copybtn").click()
    reader.wait("document.querySelector('button.copybtn.success') !== null")
    reader.one("input.sidebar-search").send_keys(Keys.CONTROL, "v")
    pasted = str(reader.one("input.sidebar-search").get_attribute("value"))
    assert pasted.startswith("onpanic probe")
    assert "onpanic accept restart --coredump" in pasted
    assert "$" not in pasted
    assert "accepted" not in pasted


def test_the_keyboard_skips_the_sidebar(reader: SiteBrowser, address: str) -> None:
    """The first stop of the tabulator is a link to the text of the page."""
    reader.visit(address + "how-to/probing.html")
    reader.press(Keys.TAB)
    assert reader.script("document.activeElement.innerText") == "Skip to content"
    reader.press(Keys.ENTER)
    reader.press(Keys.TAB)
    assert reader.script("document.querySelector('article').contains(document.activeElement)")


def test_the_keyboard_opens_and_closes_the_menu_of_a_phone(reader: SiteBrowser, address: str) -> None:
    """The menu has the focus while it is open, and no part of it when it is closed."""
    focus_in_menu = "document.querySelector('.sidebar-drawer').contains(document.activeElement)"
    reader.screen(*PHONE)
    reader.visit(address + "how-to/probing.html")
    reader.press(Keys.TAB, Keys.TAB)
    assert reader.focused() == "Toggle site navigation sidebar"
    assert not reader.one(".sidebar-drawer .sidebar-search").is_displayed()
    reader.press(Keys.ENTER)
    assert reader.script(focus_in_menu)
    assert reader.one("label[for=__navigation][role=button]").get_attribute("aria-expanded") == "true"
    reader.press(Keys.ESCAPE)
    assert reader.focused() == "Toggle site navigation sidebar"
    reader.press(*[Keys.TAB] * 4)
    assert not reader.script(focus_in_menu)


def test_a_wide_session_scrolls_within_itself(reader: SiteBrowser, address: str) -> None:
    """On a phone the arrow keys scroll a block of code; the page stays where it is."""
    reader.screen(*PHONE)
    reader.visit(address + "index.html")
    reader.script("document.querySelector('div.highlight-console pre').focus()")
    reader.press(Keys.ARROW_RIGHT)
    reader.wait("document.activeElement.scrollLeft > 0")
    assert reader.script("scrollX") == 0
