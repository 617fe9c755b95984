"""A browser for tests of the page, and matrices for it to show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from selenium.webdriver import Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from onpanic.matrix.model import Build, Fact, Machine, Matrix, Profile, Range, Statement
from onpanic.matrix.page import page

CHROMIUM, CHROMEDRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    " --disable-background-networking --disable-component-update --window-size=1440,900"
)


class Browser:
    """A headless Chromium with a page from a file."""

    def __init__(self, folder: Path) -> None:
        options = ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in [*_FLAGS.split(), f"--user-data-dir={folder}/profile"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = Chrome(options=options, service=Service(str(CHROMEDRIVER)))
        self._folder = folder
        self._address = ""

    def show(self, matrix: Matrix, name: str = "page") -> None:
        """Write a matrix's page into a file, and open it."""
        path = self._folder / f"{name}.html"
        path.write_text(page(matrix))
        self._address = path.as_uri()
        self.open()

    def open(self, link: str = "") -> None:
        """Open the page afresh, by a deep link."""
        self.driver.get("about:blank")
        self.driver.get(self._address + link)

    def screen(self, width: int = 1440, height: int = 900, *, dark: bool = False) -> None:
        """Take another screen."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.one(selector).text

    def texts(self, selector: str) -> list[str]:
        """Return the texts of many elements at once."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
        return cast("list[str]", self.driver.execute_script(script, selector))

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def focused(self) -> str:
        """Return what has the focus, as a screen reader names it, or its text."""
        element = self.driver.switch_to.active_element
        return element.get_attribute("aria-label") or element.text

    def choose(self, selector: str, value: str) -> None:
        """Choose in a selector, as a user does with the keyboard."""
        self.one(f"{selector} option[value='{value}']").click()

    def fill(self, selector: str, text: str) -> None:
        box = self.one(selector)
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(text or Keys.DELETE)

    def cell(self, row: str, column: str) -> WebElement:
        """Return a cell by the beginning of its row's head, and its column's head."""
        script = """
            const heads = [...document.querySelectorAll("[role=grid] thead th[scope=col]")];
            const columns = heads.filter((one) => !one.classList.contains("corner"));
            const place = columns.findIndex((one) => one.textContent === arguments[1]);
            const rows = [...document.querySelectorAll("[role=grid] tbody tr:not(.group)")];
            const row = rows.find((one) => one.cells[0].textContent.startsWith(arguments[0]));
            return row && place >= 0 ? row.cells[place + 1] : null"""
        found = self.driver.execute_script(script, row, column)
        assert found is not None, (row, column)
        return cast("WebElement", found)

    def rows(self) -> list[str]:
        """Return the heads of the rows that are drawn."""
        return self.texts("[role=grid] tbody th[scope=row] a")

    def letters(self, row: str) -> str:
        """Return the letters of a row, the dash as a plain one, and notes' numbers left out."""
        script = """
            const rows = [...document.querySelectorAll("[role=grid] tbody tr:not(.group)")];
            const row = rows.find((one) => one.cells[0].textContent.startsWith(arguments[0]));
            return [...row.cells].slice(1).map((one) => one.firstChild.textContent).join("")"""
        return cast("str", self.driver.execute_script(script, row)).replace("\N{EN DASH}", "-")

    def wait(self, script: str) -> None:
        """Wait until a script returns something true."""
        WebDriverWait(self.driver, 30, 0.05).until(lambda driver: driver.execute_script(f"return {script}"))

    def complaints(self) -> list[str]:
        """Return what the browser's console has to say."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def inaccessible(self) -> list[str]:
        """Return what axe-core finds that is serious or critical."""
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


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser, and end it."""
    one = Browser(folder)
    try:
        yield one
    finally:
        one.driver.quit()


FACTS = [
    Fact("pvpanic-type", "emulator", "Is there a type pvpanic, the ISA device?"),
    Fact("guest-panicked-event", "emulator", "Does the emulator have the event GUEST_PANICKED?"),
    Fact("set-action-command", "emulator", "Can it be set at run time what a panic does?"),
    Fact("builtin-pvpanic", "machine", "Is a pvpanic there although none was asked for?"),
    Fact("panic-reported", "machine", "Does a panic raise GUEST_PANICKED?"),
    Fact("cont-after-panic", "machine", "Does cont continue a panicked guest?"),
]
_ACTIVE = ("restart", "destroy", "preserve", "rename-restart", "pause")
_ANSWERS: Mapping[str, Any] = {"y": "yes", "n": "no", "?": "unknown"}


class Sample:
    """A matrix in the making."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.profiles: list[Profile] = []
        self.evidence: list[list[str]] = []
        self.builds: list[Build] = []
        self.ranges: list[Range] = []

    def statements_of(self, scope: str, letters: str, how: Any) -> dict[str, int]:
        """Return the places of new statements: a letter for each fact of the scope."""
        names = [fact.name for fact in FACTS if fact.scope == scope]
        places = {}
        for name, letter in zip(names, letters, strict=True):
            known = letter != "?"
            if known:
                self.evidence.append(_excerpt(name, letter))
            statement = Statement(
                _ANSWERS[letter],
                how if known else None,
                f"{name}: seen" if known else "not looked at",
                len(self.evidence) - 1 if known else None,
            )
            self.statements.append(statement)
            places[name] = len(self.statements) - 1
        return places

    def profile(self, letters: str, how: Any = "observed", problem: str = "") -> int:
        """Add a profile: letters for the facts of a machine type; none if it does not start."""
        works = letters == "nyy"
        refused = {"crash": "crash-needs-xen"}
        if not works:
            code = "builtin-panic-device" if letters[:1] == "y" else "cont-refused-after-panic"
            refused |= dict.fromkeys(_ACTIVE, code if letters else "probe-inconclusive")
        self.profiles.append(
            Profile(
                facts=self.statements_of("machine", letters, how) if letters else {},
                accepted={
                    "default": False,
                    "ignore": False,
                    **(dict.fromkeys(_ACTIVE, True) if works else {}),
                },
                refused=refused,
                notifier="isa" if letters else None,
                event_mask=1 if letters else None,
                started=bool(letters),
                problem=problem,
            )
        )
        return len(self.profiles) - 1

    def build(
        self,
        version: str,
        machines: Sequence[Machine],
        letters: str = "yyn",
        *,
        target: str = "x86_64",
        line: str = "upstream",
        package: str = "",
        how: Any = "observed",
        name: str = "",
    ) -> None:
        """Add a build: letters for pvpanic-type, guest-panicked-event and set-action-command."""
        emulator = f"qemu-system-{target}"
        self.builds.append(
            Build(
                id=name or f"{emulator}-{version}",
                emulator=emulator,
                target=target,
                version=version,
                package=package,
                line=line,
                era=f"{version.partition('.')[0]}.x",
                source=f"recording qemu-{version}.jsonl",
                reproduce=f"onpanic probe --machine {{machine}} --recording qemu-{version}.jsonl",
                at="2026-11-24T10:00:00Z",
                by="onpanic 0.1.0",
                facts=self.statements_of("emulator", letters, how),
                machines=list(machines),
            )
        )

    def matrix(self) -> Matrix:
        return Matrix(
            facts=FACTS,
            builds=self.builds,
            ranges=self.ranges,
            profiles=self.profiles,
            statements=self.statements,
            evidence=self.evidence,
        )


def _excerpt(name: str, letter: str) -> list[str]:
    answer = '<- {"return": {}}' if letter == "y" else '<- {"error": {"class": "GenericError"}}'
    return [
        f"$ qemu-system -machine {{machine}} -qmp stdio # {name}",
        '-> {"execute": "cont"}',
        answer,
        "= quit",
    ]


def sample() -> Matrix:
    """Return a matrix of a dozen builds, as they are in the world."""
    one = Sample()
    broken, fixed, works = one.profile("yyn", "recorded"), one.profile("nyn", "recorded"), one.profile("nyy")
    noted, away = one.profile("n??"), one.profile("", problem="no Xen here")
    rhel = one.profile("nyn", "recorded")
    spoken = one.profile("nyy", "documented")
    one.build(
        "0.12.1", [Machine("rhel6.6.0", rhel, ["pc"], True)], "y?n", line="RHEL", package="qemu-kvm-0.12.1.2"
    )
    for version, profile in (("1.5.3", broken), ("1.6.0", fixed), ("1.7.0", works)):
        older = [Machine("pc-i440fx-1.5", broken)] if version == "1.6.0" else []
        newest = Machine(f"pc-i440fx-{version[:3]}", profile, ["pc"], True)
        one.build(version, [Machine("none", noted), *older, newest], how="recorded")
    for version in ("5.2.0", "7.2.9", "7.2.22", "10.0.2", "11.1.0"):
        series = ".".join(version.split(".")[:2])
        machines = [Machine("none", noted), Machine(f"pc-i440fx-{series}", works, ["pc"], True)]
        machines += [Machine(f"pc-q35-{series}", works, ["q35"]), Machine("xenfv", away)]
        package = f"Debian 1:{version}+dfsg-1"
        one.build(version, machines, "yyn" if version == "5.2.0" else "yyy", line="Debian", package=package)
    for target, version, machine, profile in (
        ("aarch64", "7.2.22", "virt", works),
        ("aarch64", "11.1.0", "virt", works),
        ("s390x", "10.0.2", "s390-ccw-virtio-10.0", spoken),
    ):
        is_s390 = target == "s390x"
        machines = [Machine("none", noted), Machine(machine, profile, [], is_s390)]
        one.build(
            version, machines, "nyy", target=target, line="Debian", package=f"Debian 1:{version}+dfsg-1"
        )
    one.builds.sort(
        key=lambda build: (build.target, build.emulator, build.line)
    )  # stable: versions keep theirs
    emulator, line = "qemu-system-x86_64", "upstream"
    one.ranges += [
        Range(
            "cont-after-panic", emulator, "Debian", "yes", "5.2.0", "11.1.0", "at or before 5.2", "default"
        ),
        Range("cont-after-panic", emulator, "RHEL", "no", "0.12.1", "0.12.1", "never, up to 0.12", "default"),
        Range(
            "cont-after-panic",
            emulator,
            line,
            "no",
            "1.5.3",
            "1.6.0",
            "at or before 1.5, until 1.6",
            "default",
        ),
        Range(
            "cont-after-panic", emulator, line, "yes", "1.7.0", "1.7.0", "since 1.7", "default", exact=True
        ),
        Range(
            "set-action-command", emulator, "Debian", "yes", "7.2.9", "11.1.0", "after 5.2, at or before 7.2"
        ),
    ]
    return one.matrix()


def large(builds: int = 300, machines: int = 100) -> Matrix:
    """Return a matrix of many builds with many machine types, in which neighbours differ."""
    one = Sample()
    profiles = [one.profile(letters) for letters in ("nyy", "nyn", "yyn", "nn?")]
    for place in range(builds):
        names = [f"pc-i440fx-{number // 10}.{number % 10}" for number in range(machines)]
        made = [
            Machine(name, profiles[(place * 7 + number * 3) % 4], default=number == machines - 1)
            for number, name in enumerate(names)
        ]
        version = f"{place // 30}.{place % 30}.0"
        one.build(version, made, "yyy" if place % 2 else "yyn", name=f"build-{place}")
    return one.matrix()
