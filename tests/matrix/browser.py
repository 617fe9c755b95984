"""A browser for tests of the page."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TypeVar, cast

from selenium.webdriver import Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from onpanic.matrix.model.matrix import Matrix
from onpanic.matrix.outputs.html_page import page

CHROMIUM, CHROMEDRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    " --disable-background-networking --disable-component-update --window-size=1440,900"
)

_DEADLINE = 120  # seconds


class Browser:
    """A headless Chromium that shows a page from a file."""

    def __init__(self, folder: Path) -> None:
        options = ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in [*_FLAGS.split(), f"--user-data-dir={folder}/profile"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = Chrome(options=options, service=Service(str(CHROMEDRIVER)))
        self.driver.set_script_timeout(_DEADLINE)
        self._folder = folder
        self._address = ""

    def show(self, matrix: Matrix, name: str = "page") -> None:
        """Write the page of a matrix to a file, and open it."""
        path = self._folder / f"{name}.html"
        path.write_text(page(matrix), "utf-8")
        self._address = path.as_uri()
        self.open()

    def open(self, link: str = "") -> None:
        """Load the page again, with a link to a part of it."""
        self.driver.get("about:blank")
        self.driver.get(self._address + link)

    def screen(self, width: int = 1440, height: int = 900, *, dark: bool = False) -> None:
        """Set the size of the screen and its colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def all(self, selector: str) -> list[WebElement]:
        """Return all elements that a selector matches."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """Return the first element that a selector matches."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """Return the visible text of an element."""
        return self.one(selector).text

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements that a selector matches."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
        return cast("list[str]", self.driver.execute_script(script, selector))

    def press(self, *keys: str) -> None:
        """Send keys to the element with the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def focused(self) -> str:
        """Return the accessible name of the element with the focus, or its text."""
        element = self.driver.switch_to.active_element
        return element.get_attribute("aria-label") or element.text

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a selector."""
        self.one(f"{selector} option[value='{value}']").click()

    def fill(self, selector: str, text: str) -> None:
        """Replace the text of an input field."""
        box = self.one(selector)
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(text or Keys.DELETE)

    def cell(self, row: str, column: str) -> WebElement:
        """Return a cell, given how its row's header starts, and its column's header."""
        script = """
            const heads = [...document.querySelectorAll("[role=grid] thead th[scope=col]")];
            const columns = heads.filter((one) => !one.classList.contains("corner"));
            const index = columns.findIndex((one) => one.textContent === arguments[1]);
            const rows = [...document.querySelectorAll("[role=grid] tbody tr:not(.group)")];
            const row = rows.find((one) => one.cells[0].textContent.startsWith(arguments[0]));
            return row && index >= 0 ? row.cells[index + 1] : null"""
        found = self.driver.execute_script(script, row, column)
        assert found is not None, (row, column)
        return cast("WebElement", found)

    def rows(self) -> list[str]:
        """Return the headers of the rows that are drawn."""
        return self.texts("[role=grid] tbody th[scope=row] a")

    def letters(self, row: str) -> str:
        """Return the letters of a row, with an ASCII dash and without the numbers of notes."""
        script = """
            const rows = [...document.querySelectorAll("[role=grid] tbody tr:not(.group)")];
            const row = rows.find((one) => one.cells[0].textContent.startsWith(arguments[0]));
            return [...row.cells].slice(1).map((one) => one.firstChild.textContent).join("")"""
        return cast("str", self.driver.execute_script(script, row)).replace("\N{EN DASH}", "-")

    def wait(self, script: str) -> None:
        """Wait until a script returns something true."""
        WebDriverWait(self.driver, _DEADLINE, 0.05).until(
            lambda driver: driver.execute_script(f"return {script}")
        )

    def complaints(self) -> list[str]:
        """Return the messages in the browser's console."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def inaccessible(self) -> list[str]:
        """Return the serious and critical violations that axe-core finds."""
        self.driver.execute_script(files("axe_core_python").joinpath("axe.min.js").read_text("utf-8"))
        script = """
            const done = arguments[arguments.length - 1];
            const failed = (error) => done(`${error}`);
            axe.run(document, { preload: false }).then((found) => done(found.violations), failed)"""
        found = self.driver.execute_async_script(script)
        assert isinstance(found, list), found
        return [
            f"{one['id']}: {one['nodes'][0]['html']} {one['nodes'][0]['any'][:1]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]


AnyBrowser = TypeVar("AnyBrowser", bound=Browser)


@contextmanager
def browser(folder: Path, kind: Callable[[Path], AnyBrowser]) -> Iterator[AnyBrowser]:
    """Run a browser."""
    one = kind(folder)
    try:
        yield one
    finally:
        one.driver.quit()
