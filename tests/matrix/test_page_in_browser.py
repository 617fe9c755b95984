"""The page in a real browser: what users see of the matrix, and what they can do."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from onpanic.matrix.model.matrix import Range
from onpanic.matrix.model.matrix_file import published
from onpanic.probe.decision.catalogue import CATALOGUE

from .libvirt_samples import with_libvirts
from .page_samples import HOSTILE, Sample, hostile, large, sample
from .xen_samples import with_xen

pytest.importorskip("selenium")

from selenium.webdriver import Keys

from .browser import Browser, browser

pytestmark = pytest.mark.browser

LIBVIRT_CELL = "libvirt-12.8.0-qemu-7.2.22//" + quote("end=destroy,live=preserve-running,transient", safe="")
CELL = "qemu-system-x86_64-1.5.3/pc-i440fx-1.5/cont-after-panic"


@pytest.fixture(scope="module")
def chromium(chromium_folder: Path) -> Iterator[Browser]:
    with browser(chromium_folder, Browser) as started:
        yield started


@pytest.fixture
def reader(chromium: Browser) -> Iterator[Browser]:
    """Return a browser that shows the sample; its console must be empty at the end."""
    chromium.screen()
    chromium.show(sample())
    yield chromium
    assert chromium.complaints() == []


def test_the_first_screen_has_answers_and_ranges(reader: Browser) -> None:
    """The page opens with the builds of x86_64, accepted values, facts, and ranges above them."""
    assert reader.rows() == ["5.2.0", "7.2.9", "11.1.0", "0.12.1", "1.5.3", "1.6.0", "1.7.0"]
    heads = [re.sub(r"\s+", "", head) for head in reader.texts("thead .label")]
    assert heads[:7] == ["restart", "destroy", "preserve", "rename-restart", "pause", "ignore", "default"]
    assert heads[7:] == [
        "notifier",
        *(f.name for f in sample().facts[3:]),
        *(f.name for f in sample().facts[:3]),
    ]
    refused, accepted = "nnnnnyyisa", "yyyyyyyisa"
    assert [reader.letters(row) for row in ("7.2.9", "0.12.1", "1.5.3", "1.6.0", "1.7.0")] == [
        f"{accepted}nyyyyy",
        f"{refused}nyny?n",
        f"{refused}yynyyn",
        f"{refused}nynyyn",
        f"{accepted}nyyyyn",
    ]
    assert reader.cell("7.2.9", "restart").text == "y+"
    assert reader.cell("7.2.9", "ignore").text == "y"
    assert reader.texts(".group th") == [
        "Debian · qemu-system-x86_64",
        "RHEL · qemu-system-x86_64",
        "upstream · qemu-system-x86_64",
    ]
    assert reader.text("#since-title").startswith("Since when restart, destroy, preserve, rename-restart and")
    assert ranges(reader, "#since") == [
        "default machine typey at or before 5.2-n at or before 1.5, until 1.6y since 1.7",
    ]
    reader.one("#summary summary").click()
    assert ranges(reader, "#ranges") == [
        "set-action-commandy after 5.2, at or before 7.2--",
        "cont-after-panicy at or before 5.2n never, up to 0.12n at or before 1.5, until 1.6y since 1.7",
    ]


def ranges(reader: Browser, selector: str) -> list[str]:
    """Return the rows of a table of ranges, with an ASCII dash."""
    lines = [re.sub(r"\s+", " ", line) for line in reader.texts(f"{selector} tbody tr")]
    return [line.replace("\N{EN DASH}", "-") for line in lines]


def test_only_differences_leaves_out_builds_with_the_same_answers(reader: Browser) -> None:
    """Of neighbours with the same answers the first is shown, with their number and the last one."""
    assert reader.text("#count") == "7 builds shown, 2 builds alike and hidden"
    assert "7.2.9 to 10.0.2, 3 alike" in reader.texts("[role=grid] th[scope=row]")
    reader.one("#diff").click()
    assert reader.text("#count") == "9 builds shown"
    assert reader.rows() == [
        "5.2.0",
        "7.2.9",
        "7.2.22",
        "10.0.2",
        "11.1.0",
        "0.12.1",
        "1.5.3",
        "1.6.0",
        "1.7.0",
    ]
    reader.driver.back()
    assert len(reader.rows()) == 7
    reader.choose("#arch", "all")
    assert reader.rows()[:2] == ["7.2.22", "10.0.2"]  # of aarch64 and s390x: the same, but not neighbours


def test_the_filter_shows_builds_with_all_its_words(reader: Browser) -> None:
    """The words may be in any order and case."""
    reader.one("#diff").click()
    reader.fill("#q", "7.2 DEBIAN")
    assert reader.rows() == ["7.2.9", "7.2.22"]
    reader.fill("#q", "debian upstream")
    assert reader.rows() == []
    assert reader.one("#empty").is_displayed()
    reader.one("#reset").click()
    assert len(reader.rows()) == 9


def test_selectors_choose_architecture_era_and_line(reader: Browser) -> None:
    """Each selector narrows what is shown, and offers existing values only."""
    reader.one("#diff").click()
    reader.choose("#line", "upstream")
    assert reader.rows() == ["1.5.3", "1.6.0", "1.7.0"]
    reader.choose("#line", "")
    reader.choose("#era", "7.x")
    assert reader.rows() == ["7.2.9", "7.2.22"]
    reader.choose("#arch", "aarch64")
    assert reader.rows() == ["7.2.22"]
    reader.choose("#era", "")
    assert reader.rows() == ["7.2.22", "11.1.0"]
    reader.choose("#arch", "all")
    assert len(reader.rows()) == 12
    assert reader.texts("#line option") == ["all", "Debian", "RHEL", "upstream"]


def test_machine_facts_are_about_the_machine_type_chosen(reader: Browser) -> None:
    """A build without the machine type has a dash in the machine types' columns."""
    reader.choose("#machine", "q35")
    assert reader.letters("5.2.0") == "yyyyyyyisanyyyyn"
    assert reader.letters("1.5.3") == "-" * 11 + "yyn"
    reader.choose("#machine", "pc-i440fx-1.5")
    assert reader.letters("1.6.0") == "nnnnnyyisayynyyn"
    reader.choose("#arch", "aarch64")
    reader.choose("#machine", "")
    assert reader.letters("7.2.22") == "yyyyyyyisanyynyy"  # virt, as there is no default


def test_answers_are_about_the_notifier_chosen(reader: Browser) -> None:
    """Values and facts about notifiers are those of one that is not the best one, too."""
    reader.choose("#machine", "q35")
    assert reader.letters("11.1.0") == "nnnnnyyisanynyyy"
    reader.choose("#notifier", "pvpanic")
    assert "notifier" not in reader.texts("thead .label")
    assert reader.letters("11.1.0") == "yyyyyyynyyyyy"
    assert reader.letters("5.2.0") == "-------n--yyn"  # its record does not say anything about it
    reader.cell("11.1.0", "cont-after-panic").click()
    panel = reader.text("#panel")
    assert "pvpanic (type pvpanic-pci, offers event bits 0x3)" in panel
    assert "--notifier" not in reader.text("#panel .command")  # a recording needs no option
    assert reader.texts("#panel .notifiers dt") == ["isa", "pvpanic"]
    assert [text.split()[0] for text in reader.texts("#panel .notifiers dd")] == ["no", "yes"]
    reader.one("#panel .notifiers a").click()
    assert reader.one("#notifier").get_attribute("value") == "isa"
    assert reader.text("#panel .verdict b") == "no"
    assert reader.driver.current_url.endswith(
        "#notifier=isa&machine=q35&cell=qemu-system-x86_64-11.1.0/pc-q35-11.1/cont-after-panic"
    )


def test_the_best_notifier_is_named(reader: Browser) -> None:
    """Its column opens a panel in which each notifier is compared."""
    reader.choose("#machine", "q35")
    reader.cell("11.1.0", "notifier").click()
    assert reader.text("#panel .verdict b") == "isa"
    assert "Each notifier of this machine type: is restart accepted?" in reader.text("#panel")
    assert [text.split()[0] for text in reader.texts("#panel .notifiers dd")] == ["no", "yes"]


def test_builds_of_a_line_are_shown_over_time(reader: Browser) -> None:
    """Versions are columns, changes are marked, and versions with the same answers share a column."""
    reader.open("#view=line&line=upstream")
    assert reader.text("#heading") == "qemu-system-x86_64 of upstream over time: the default one"
    assert reader.texts("thead .label") == ["1.5.3", "1.6.0", "1.7.0"]
    assert reader.rows()[:7] == [
        "restart",
        "destroy",
        "preserve",
        "rename-restart",
        "pause",
        "ignore",
        "default",
    ]
    letters = {row: reader.letters(row) for row in ("restart", "ignore", "builtin", "cont", "pvpanic-type")}
    assert letters == {
        "restart": "nny",
        "ignore": "yyy",
        "builtin": "ynn",
        "cont": "nny",
        "pvpanic-type": "yyy",
    }
    assert reader.cell("restart", "1.7.0").get_attribute("aria-label") == "yes, also with coredump, changed"
    assert [cell.text for cell in reader.all("td.changed")] == [*["y+"] * 5, "n", "y"]
    reader.choose("#line", "Debian")
    assert reader.texts("thead .label") == ["5.2.0", "7.2.9"]
    assert reader.text("#count") == "14 rows shown, 3 builds alike and hidden"
    reader.one("#diff").click()
    assert len(reader.texts("thead .label")) == 5
    reader.cell("restart", "10.0.2").click()
    assert "pc-i440fx-10.0" in reader.text("#panel")


def test_machine_types_are_shown_over_time(reader: Browser) -> None:
    """Each has a row; a version that does not have it has a dash."""
    reader.open("#view=line&line=upstream")
    reader.choose("#rows", "machines")
    reader.choose("#fact", "cont-after-panic")
    assert reader.text("#asks") == "Does cont continue a panicked guest?"
    assert reader.rows() == ["none", "pc-i440fx-1.5", "pc-i440fx-1.7"]
    assert (
        reader.letters("pc-i440fx-1.5") == "n-"
    )  # 1.5.3 and 1.6.0 share a column, 1.7.0 has another answer on pc
    reader.one("#diff").click()
    assert [reader.letters(row) for row in reader.rows()] == ["???", "nn-", "-n-", "--y"]
    reader.one("[role=grid] tbody a[href*='1.5']").click()
    assert reader.letters("restart") == "nn-"
    reader.open(
        "#view=line&rows=machines&line=Debian&cell=qemu-system-x86_64-11.1.0/pc-q35-11.1/on_panic.restart"
    )
    assert reader.text("#panel .verdict b") == "refused"
    assert reader.text("[aria-selected]") == "n"


def test_a_line_of_another_view_is_not_kept(reader: Browser) -> None:
    """The view over time needs a line and chooses one; the others show all."""
    reader.one("#views a[data-view=line]").click()
    assert reader.one("#line").get_attribute("value") == "Debian"
    reader.one("#views a[data-view=facts]").click()
    assert reader.one("#line").get_attribute("value") == ""


def test_one_value_is_shown_for_all_machine_types(reader: Browser) -> None:
    """A value has the same views as a fact."""
    reader.one("[role=grid] thead a[href*='on_panic.restart']").click()
    assert reader.text("#heading") == "restart, x86_64"
    assert reader.text("#asks") == "Is <on_panic>restart</on_panic> accepted?"
    assert reader.letters("11.1.0") == "?yn"


def test_notes_name_machine_types_with_another_answer(reader: Browser) -> None:
    """A number beside the letter refers to the note, also for screen readers."""
    cell = reader.cell("1.6.0", "builtin-pvpanic")
    assert cell.text == "n2"
    assert cell.get_attribute("aria-label") == "no, recorded, note 2"
    assert reader.texts("#notes li")[1] == "yes on pc-i440fx-1.5"


def test_a_click_shows_the_evidence(reader: Browser) -> None:
    """The panel has the conversation, the command that asks again, and the source."""
    reader.cell("1.5.3", "cont-after-panic").click()
    panel = reader.text("#panel")
    assert "Does cont continue a panicked guest?" in panel
    assert "recorded: read from a recording" in panel
    assert "pc-i440fx-1.5 (pc, default)" in panel
    assert "2026-11-24T10:00:00Z by onpanic 0.1.0" in panel
    assert reader.texts("#panel .evidence span") == [
        "$ qemu-system -machine pc-i440fx-1.5 -qmp stdio # cont-after-panic\n",
        '-> {"execute": "cont"}\n',
        '<- {"error": {"class": "GenericError"}}\n',
        "= quit\n",
    ]
    assert reader.text("#panel .command") == (
        "onpanic probe --machine pc-i440fx-1.5 --recording qemu-1.5.3.jsonl"
    )
    assert f"builtin-panic-device {CATALOGUE['builtin-panic-device'].reason}" in panel
    assert reader.focused() == "cont-after-panic"
    assert reader.driver.current_url.endswith(f"#cell={CELL}")


def test_closing_the_panel_returns_the_focus(reader: Browser) -> None:
    """Escape, the button and the browser's back button close it, and the cell has the focus again."""
    for way in ("key", "button", "back"):
        reader.cell("1.5.3", "builtin-pvpanic").click()
        assert reader.one("#panel").is_displayed()
        if way == "key":
            reader.press(Keys.ESCAPE)
        elif way == "button":
            reader.one("#panel-close").click()
        else:
            reader.driver.back()
        assert not reader.one("#panel").is_displayed()
        assert reader.focused() == "yes, recorded"


def test_the_filter_can_be_used_beside_the_panel(reader: Browser) -> None:
    """Typing closes the panel, which is about another table then, and no letter is lost."""
    reader.cell("1.5.3", "builtin-pvpanic").click()
    reader.fill("#q", "1.7.0")
    assert not reader.one("#panel").is_displayed()
    assert reader.one("#q").get_attribute("value") == "1.7.0"
    assert reader.rows() == ["1.7.0"]


def test_the_command_can_be_copied(reader: Browser) -> None:
    """Pasting gives the command."""
    reader.cell("1.7.0", "cont-after-panic").click()
    reader.one("#panel .copy button").click()
    reader.wait("document.querySelector('.copy [role=status]').textContent === 'copied'")
    reader.one("#q").send_keys(Keys.CONTROL, "v")
    expected = "onpanic probe --machine pc-i440fx-1.7 --recording qemu-1.7.0.jsonl"
    assert reader.one("#q").get_attribute("value") == expected


def test_a_link_restores_everything(reader: Browser) -> None:
    """The address has view, selectors, filter, switch, and the cell whose evidence is shown."""
    cell = "qemu-system-x86_64-7.2.22/pc-q35-7.2/panic-reported"
    link = f"#view=fact&arch=x86_64&era=7.x&line=Debian&fact=panic-reported&q=dfsg%207.2&diff=0&cell={cell}"
    reader.open(link)
    assert reader.text("#views [aria-current]") == "One value or fact"
    chosen = {
        name: reader.one(f"#{name}").get_attribute("value") for name in ("arch", "era", "line", "fact", "q")
    }
    assert chosen == {
        "arch": "x86_64",
        "era": "7.x",
        "line": "Debian",
        "fact": "panic-reported",
        "q": "dfsg 7.2",
    }
    assert not reader.one("#diff").is_selected()
    assert reader.rows() == ["7.2.9", "7.2.22"]
    assert reader.texts("#panel-title") == ["panic-reported"]
    assert reader.all("[aria-selected]") == [reader.cell("7.2.22", "pc-q35-7.2")]
    assert reader.one("#panel .permalink a").get_attribute("href") == reader.driver.current_url


def test_a_link_to_a_cell_needs_nothing_else(reader: Browser) -> None:
    """The cell is shown although its build has another architecture, or the same answers as the one above."""
    reader.open("#cell=qemu-system-s390x-10.0.2/s390-ccw-virtio-10.0/cont-after-panic")
    assert reader.rows() == ["10.0.2"]
    assert "documented: specified for the architecture" in reader.text("#panel")
    reader.open("#cell=qemu-system-x86_64-10.0.2//set-action-command")
    assert reader.all("[aria-selected]") == [reader.cell("10.0.2", "set-action-command")]
    reader.press(Keys.ESCAPE)
    assert reader.focused() == "yes, observed"


@pytest.mark.parametrize(
    "link",
    ["#cell=nothing/pc/cont-after-panic", f"#cell={CELL}x", "#cell=%zz/%/__proto__", "#build=%&view=x"],
)
def test_a_link_to_a_missing_answer_is_reported(reader: Browser, link: str) -> None:
    """The table is shown nevertheless, without evidence."""
    reader.open(link)
    assert reader.one("#lost").is_displayed() == ("cell" in link)
    assert not reader.one("#panel").is_displayed()
    assert reader.rows()


def test_back_and_forward_go_through_the_views(reader: Browser) -> None:
    """Links in the headers lead to one fact and to one build."""
    reader.one("[role=grid] thead a[href*='fact=cont-after-panic']").click()
    assert reader.text("#heading") == "cont-after-panic, x86_64"
    reader.one("[role=grid] tbody a[href*='1.7.0']").click()
    assert reader.text("#heading") == "Machine types of qemu-system-x86_64 1.7.0"
    reader.driver.back()
    assert reader.text("#heading") == "cont-after-panic, x86_64"
    reader.driver.back()
    assert reader.text("#heading") == "Accepted values and facts, x86_64"
    reader.driver.forward()
    assert reader.text("#heading") == "cont-after-panic, x86_64"


def test_one_build_shows_machine_types_and_policies(reader: Browser) -> None:
    """Each machine type has a row, with its facts and the accepted values of <on_panic>."""
    reader.open("#view=build&build=qemu-system-x86_64-7.2.22")
    assert reader.rows() == ["none", "pc-i440fx-7.2", "xenfv"]
    assert reader.letters("pc-i440fx-7.2") == "yyyyyyyn" + "isa" + "nyy"
    assert reader.letters("xenfv") == "-" * 12
    assert reader.texts("#notes li") == ["no Xen here"]
    assert reader.texts(".chips button") == ["pvpanic-typey", "guest-panicked-eventy", "set-action-commandy"]
    assert reader.cell("pc-i440fx", "restart").get_attribute("aria-label") == "yes, also with coredump"
    reader.cell("pc-i440fx", "crash").click()
    assert "refused: crash-needs-xen" in reader.text("#panel .verdict")
    assert CATALOGUE["crash-needs-xen"].reason in reader.text("#panel .verdict")
    reader.press(Keys.ESCAPE)
    reader.fill("#q", "q35")
    assert reader.rows() == ["pc-q35-7.2"]


def test_one_fact_shows_machine_types_that_differ(reader: Browser) -> None:
    """Machine types for which no build has different answers share a column."""
    reader.open("#view=fact&fact=builtin-pvpanic")
    assert reader.texts("thead .label") == ["none", "pc-i440fx-1.5", "pc-i440fx-1.6"]
    assert reader.texts("thead small")[-1].endswith(" alike")
    assert [reader.letters(row) for row in ("1.5.3", "1.6.0")] == ["ny-", "nyn"]
    reader.cell("5.2.0", "pc-i440fx-1.6" + reader.texts("thead small")[-1]).click()
    assert "pc-q35-5.2" in reader.text("#panel")  # the newest one of the column that the build has
    reader.press(Keys.ESCAPE)
    reader.one("#diff").click()
    assert len(reader.texts("thead .label")) == 14
    assert reader.letters("1.6.0").count("-") == 11


def test_the_table_is_one_tab_stop_and_arrows_move_in_it(reader: Browser) -> None:
    """Arrows, Home and End move between cells and headers, Enter opens, and Tab leaves the table."""
    reader.one("#diff").send_keys(Keys.TAB, Keys.NULL)
    reader.press(Keys.TAB)
    reader.press(*[Keys.TAB] * len(reader.all("#since a")))  # the last one opens the other ranges
    assert reader.focused() == "yes, also with coredump"
    first = reader.driver.switch_to.active_element
    reader.press(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert reader.driver.switch_to.active_element == reader.cell("7.2.9", "preserve")
    reader.press(Keys.HOME)
    assert reader.focused() == "7.2.9"
    reader.press(Keys.ARROW_UP, Keys.ARROW_UP, Keys.END)
    assert reader.focused() == "set-action-command"
    reader.press(Keys.ARROW_DOWN, Keys.ENTER)
    assert reader.text("#panel-title") == "set-action-command"
    reader.press(Keys.ESCAPE)
    assert reader.driver.switch_to.active_element == reader.cell("5.2.0", "set-action-command")
    reader.driver.switch_to.active_element.send_keys(Keys.SHIFT, Keys.TAB)
    assert reader.driver.switch_to.active_element.tag_name == "summary"
    assert first.get_attribute("tabindex") == "-1"


def test_the_skip_link_leads_to_the_table(reader: Browser) -> None:
    """The first tab stop of the page skips the controls."""
    reader.press(Keys.TAB)
    assert reader.focused() == "Skip to the table"
    reader.press(Keys.ENTER)
    reader.wait("document.activeElement.closest('[role=grid]')")
    assert reader.text("#heading") == "Accepted values and facts, x86_64"


def test_texts_of_emulators_are_never_interpreted(reader: Browser) -> None:
    """None becomes an element, a script, or a command."""
    reader.show(hostile(), "hostile")
    shown = HOSTILE.replace("\u2028", " ")
    for link in ("", "#view=fact&fact=cont-after-panic&diff=0", "#view=build"):
        reader.open(link)
        facts = reader.all("[role=grid] td[class~=observed]")
        facts[-1 if link == "" else 0].click()  # a fact in each view: of the emulator, of a machine type
        assert shown in reader.text("#panel").replace("\u2028", " ").replace("\n", " ")
        assert reader.texts("#panel .evidence span") == [f"<- {HOSTILE}\n"]
        assert reader.driver.execute_script("return window.hit") is None
        assert reader.all("img") == []
        # A fact about the emulator needs no machine type
        for quoted in ("--machine '</script>", "'\\''"):
            assert (quoted in reader.text("#panel .command")) == (link != "")
    reader.driver.refresh()
    assert reader.one("#panel").is_displayed()  # the address is quoted, too


def test_every_cell_of_a_large_matrix_can_be_reached(reader: Browser) -> None:
    """With 300 builds of 100 machine types, by key, by scrolling, and by link."""
    reader.show(large(), "large")
    reader.open("#view=fact&fact=cont-after-panic&diff=0")
    assert reader.text("#count") == "300 builds shown"
    assert reader.one("[role=grid]").get_attribute("aria-rowcount") == "303"  # with two headers and a group
    first = reader.all("[role=grid] td")[0]
    reader.driver.execute_script("arguments[0].focus()", first)
    reader.driver.switch_to.active_element.send_keys(Keys.CONTROL, Keys.END)
    last = reader.driver.switch_to.active_element
    assert last == reader.cell("9.29.0", "pc-i440fx-9.9")
    assert last.find_element("xpath", "..").get_attribute("aria-rowindex") == "303"
    last.send_keys(Keys.PAGE_UP)
    assert reader.driver.switch_to.active_element == reader.cell("9.19.0", "pc-i440fx-9.9")
    reader.open("#view=fact&diff=0&cell=build-150/pc-i440fx-5.0/cont-after-panic")
    found = reader.cell("5.0.0", "pc-i440fx-5.0")
    assert reader.all("[aria-selected]") == [found]
    box, cell = reader.one("#table").rect, found.rect
    assert box["x"] < cell["x"] < box["x"] + box["width"]
    assert box["y"] < cell["y"] < box["y"] + box["height"]
    reader.press(Keys.ESCAPE)
    reader.driver.execute_script("document.getElementById('table').scrollIntoView()")
    seen = set()
    for top in range(0, 9000, 800):
        reader.driver.execute_script("document.getElementById('table').scrollTo(0, arguments[0])", top)
        reader.wait(
            """(() => {
                const box = document.getElementById("table").getBoundingClientRect();
                const at = (y) => document.elementFromPoint(box.left + 30, y)?.closest("tr");
                const rows = [box.bottom - 30, box.top + box.height / 2].map(at);
                return rows.every((row) => row && !row.classList.contains("space"));
            })()"""
        )
        seen.update(reader.rows())
    assert len(seen) == 300


def test_a_phone_shows_everything(reader: Browser) -> None:
    """The page is not wider than the screen; the table scrolls; the evidence fills the screen."""
    reader.screen(390, 844)
    for link in ("", "#view=fact&diff=0", "#view=build", "#view=line", "#view=line&rows=machines&diff=0"):
        reader.open(link)
        assert reader.driver.execute_script("return document.documentElement.scrollWidth") <= 390
    reader.open(f"#cell={CELL}")
    panel = reader.one("#panel").rect
    assert (panel["width"], panel["height"]) == (390, 844)
    assert reader.driver.execute_script("return document.querySelector('#panel').scrollWidth") <= 390
    reader.press(Keys.ESCAPE)
    assert reader.focused() == "no, recorded"


@pytest.mark.parametrize(
    ("screen", "link"),
    [
        ("light", ""),
        ("light", "#view=fact&diff=0"),
        ("light", f"#view=build&cell={CELL}"),
        ("dark", f"#view=build&cell={CELL}"),
        ("dark", f"#cell={CELL}"),
        ("light", "#view=line"),
        ("dark", "#view=line&rows=machines&diff=0"),
        ("dark", "#notifier=pvpanic&machine=q35&cell=qemu-system-x86_64-11.1.0/pc-q35-11.1/on_panic.restart"),
        ("light", "#view=libvirts"),
        ("dark", f"#view=libvirts&cell={LIBVIRT_CELL}"),
        ("phone", "#view=libvirts"),
        ("phone", "#view=line"),
        ("phone", "#view=fact"),
        ("phone", f"#cell={CELL}"),
    ],
)
def test_the_page_is_accessible(reader: Browser, screen: str, link: str) -> None:
    """axe-core finds nothing serious in any view, light or dark, or on a phone."""
    pytest.importorskip("axe_core_python")
    if screen == "phone":
        reader.screen(390, 844)
    else:
        reader.screen(dark=screen == "dark")
    if "libvirts" in link:
        reader.show(with_libvirts(sample()), "libvirts")
    reader.open(link)
    assert reader.inaccessible() == []


def test_libvirts_have_a_view(reader: Browser) -> None:
    """A row for each word, model and panic; a cell opens what was asked and what came."""
    assert not reader.one("[data-view=libvirts]").is_displayed()  # there are none
    reader.show(with_libvirts(sample()), "libvirts")
    reader.one("[data-view=libvirts]").click()
    assert reader.text("#heading") == "What libvirt accepts, and what a panic ends in"
    heads = reader.texts("thead th[scope=col]")
    assert heads == ["value or model", "libvirt 9.0.0QEMU 7.2.22", "libvirt 12.8.0QEMU 7.2.22"]
    assert reader.texts(".group th")[0] == "<on_crash> values accepted"
    assert reader.letters("preserve-running") == "not knowny"
    assert not reader.one("#arch").is_displayed()
    reader.fill("#q", "ends in restart")
    assert reader.texts("[role=grid] tbody th[scope=row]") == ["restart", "coredump-restart"]
    cell = reader.one("[role=grid] tbody td")
    assert cell.text == "running (crashed), reset"
    cell.click()
    assert reader.text("#panel-title") == "restart"
    assert "<- event: crashed (panicked) [8, 0]\n" in reader.texts("#panel .evidence span")
    assert "onpanic matrix collect -o records --libvirt URI" in reader.text("#panel dl")
    reader.press(Keys.ESCAPE)
    assert reader.focused() == "running (crashed), reset"
    reader.one("[data-view=facts]").click()
    assert len(reader.rows()) == 7
    assert reader.one("#arch").is_displayed()


def test_an_answer_of_a_libvirt_can_be_linked_to(reader: Browser) -> None:
    """Also where libvirt and QEMU do not agree; an unknown one is reported."""
    reader.show(with_libvirts(sample()), "libvirts")
    reader.open(f"#view=libvirts&cell={LIBVIRT_CELL}")
    assert reader.text("#panel-title") == "destroy to preserve-running"
    assert reader.text("#panel .verdict b") == "running (crashed), QEMU is guest-panicked"
    assert reader.one("#table [aria-selected]").is_displayed()
    reader.open("#view=libvirts&cell=libvirt-1/x/y")
    assert reader.one("#lost").is_displayed()


def test_xen_is_beside_qemu(reader: Browser) -> None:
    """Its guests have groups of their own, in which QEMU's libvirt has no answers."""
    reader.show(with_xen(sample()), "xen")
    reader.open("#view=libvirts")
    heads = reader.texts("thead th[scope=col]")
    assert heads == ["value or model", "libvirt 9.0.0QEMU 7.2.22", "libvirt 9.0.0Xen 4.17"]
    reader.fill("#q", "PV guest of Xen")
    assert reader.texts(".group th")[0] == "what a panic ends in, PV guest of Xen"
    kept = next(cell for cell in reader.all("[role=grid] tbody td") if "kept" in cell.text)
    assert kept.text == "shut off (crashed), crashed domain kept"
    kept.click()
    assert reader.text("#panel-title") == "preserve"
    assert "-> resume: the guest crashes\n" in reader.texts("#panel .evidence span")
    assert "the domain that crashed is still there" in reader.text("#panel .verdict")
    assert "onpanic matrix collect -o records --libvirt xen:///system" in reader.text("#panel dl")


def test_texts_of_libvirts_are_never_interpreted(reader: Browser) -> None:
    """None becomes an element or a script, not even the name of a record."""
    reader.show(with_libvirts(hostile(), HOSTILE), "hostile-libvirts")
    reader.open("#view=libvirts")
    reader.all("[role=grid] td")[-1].click()
    assert reader.texts("#panel .evidence span")[-1] == f"{HOSTILE}\n"
    assert reader.driver.execute_script("return window.hit") is None
    assert reader.all("img") == []


def test_an_empty_matrix_has_a_page(reader: Browser) -> None:
    """It shows a notice, and no error."""
    reader.show(Sample().matrix(), "empty")
    links = ("", "#view=fact", "#view=line", "#view=line&rows=machines", "#view=build", "#view=libvirts")
    for link in (*links, "#cell=a/b/c"):
        reader.open(link)
        assert reader.one("#empty").is_displayed()


def test_ranges_follow_the_machine_type(reader: Browser) -> None:
    """Ranges are those of the chosen machine type, and hidden if there are none."""
    matrix = sample()
    about = Range(
        "panic-reported", "qemu-system-x86_64", "Debian", "yes", "5.2.0", "11.1.0", "since 5.2", "q35"
    )
    reader.show(msgspec.structs.replace(matrix, ranges=[*matrix.ranges, about]), "ranges")
    reader.one("#summary summary").click()
    assert "panic-reported" not in reader.texts("#ranges tbody th")
    reader.choose("#machine", "q35")
    assert reader.texts("#ranges tbody th") == ["set-action-command", "panic-reported"]
    reader.choose("#notifier", "pvpanic")
    assert reader.texts("#ranges tbody th") == ["set-action-command"]
    reader.open("#view=build")
    assert not reader.one("#summary").is_displayed()
    assert not reader.one("#since-box").is_displayed()


def test_a_line_without_the_usual_machine_types_has_its_ranges(reader: Browser) -> None:
    """RHEL 6's QEMU lists no machine types: its answer is that of the default one, in a row of its own."""
    matrix = sample()
    facts = [f"on_panic.{value}" for value in ("restart", "destroy", "preserve", "rename-restart", "pause")]
    emulator = "qemu-system-x86_64"
    added = [
        *(
            Range(fact, emulator, "RHEL", "no", "0.12.1", "0.12.1", "never in 0.12", "default")
            for fact in facts
        ),
        *(
            Range(fact, emulator, line, "yes", "1.7.0", "1.7.0", "since 1.7", "pc")
            for fact in facts
            for line in ("Debian", "upstream")
        ),
    ]
    reader.show(msgspec.structs.replace(matrix, ranges=[*matrix.ranges, *added]), "lines")
    reader.open("#arch=x86_64")
    shown = ranges(reader, "#since")
    assert shown == [
        "pcy since 1.7-y since 1.7",
        "default machine typey at or before 5.2n never in 0.12n at or before 1.5, until 1.6y since 1.7",
    ]


def test_the_command_for_acpi_tables_has_the_option(reader: Browser) -> None:
    """Without it the fact would be unknown."""
    matrix = published()
    build = next(b for b in matrix.builds if b.version == "7.2.22" and b.emulator == "qemu-system-x86_64")
    reader.show(matrix, "published")
    reader.open(f"#view=facts&arch=x86_64&cell={quote(build.id)}/pc/acpi-exposes-pvpanic")
    assert reader.text("#panel .command") == (
        "onpanic probe --acpi --machine pc-i440fx-7.2 -- "
        "python3 -m onpanic.matrix.debian bookworm --run qemu-system-x86_64"
    )
    assert any("QEMU0001, present" in line for line in reader.texts("#panel .evidence span"))
