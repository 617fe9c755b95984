"""A browser that reads the documentation's site."""

from importlib.resources import files
from typing import cast

from selenium.webdriver import ActionChains

from ..matrix.browser import Browser

__all__ = ("SiteBrowser",)


class SiteBrowser(Browser):
    """A headless Chromium that opens pages by their address."""

    def visit(self, address: str) -> None:
        """Open a page with the theme that a first visitor gets, and forget what earlier ones have logged."""
        self.driver.get(address)
        self.driver.execute_script("localStorage.clear()")
        self.complaints()
        self.driver.get(address)

    def complaints(self) -> list[str]:
        """Return the warnings and errors in the browser's console; the theme also tells of choices there."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if entry["level"] != "INFO"]

    def violations(self) -> list[str]:
        """Return what axe-core finds against WCAG 2.2, levels A and AA."""
        self.driver.execute_script(files("axe_core_python").joinpath("axe.min.js").read_text("utf-8"))
        script = """
            const done = arguments[arguments.length - 1];
            const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
            const options = { runOnly: { type: "tag", values: tags }, resultTypes: ["violations"] };
            axe.run(document, options).then((found) => done(found.violations), (error) => done(`${error}`))"""
        found = self.driver.execute_async_script(script)
        assert isinstance(found, list), found
        return [
            f"{one['id']}: {len(one['nodes'])}: {one['nodes'][0]['html']} {one['nodes'][0]['any'][:1]}"
            for one in found
        ]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        script = "const e = document.documentElement; return e.scrollWidth - e.clientWidth"
        return cast("int", self.driver.execute_script(script))

    def begins_on_the_first_screen(self, selector: str) -> bool:
        """Return whether an element is seen, at least in part, before the page is scrolled."""
        script = "return document.querySelector(arguments[0]).getBoundingClientRect().top < innerHeight"
        return cast("bool", self.driver.execute_script(script, selector))

    def hover(self, selector: str) -> None:
        """Move the pointer to an element."""
        ActionChains(self.driver).move_to_element(self.one(selector)).perform()

    def script(self, script: str) -> object:
        """Return what a script evaluates to."""
        return self.driver.execute_script(f"return {script}")
