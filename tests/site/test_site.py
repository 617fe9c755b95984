"""The documentation's site: complete, with links that lead somewhere, and the same wherever it is built."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

import pytest

from .conftest import ROOT, SECONDS, environment

html = pytest.importorskip("lxml.html")

pytestmark = pytest.mark.consumers

Build = Callable[..., subprocess.CompletedProcess[str]]
#: The theme names itself below each page.
THEME = "https://github.com/pradyunsg/furo"


@cache
def document(page: Path) -> tuple[list[tuple[str, str, str]], frozenset[str]]:
    """Return the links of a page, each with its element and attribute, and the names of its elements."""
    tree = html.fromstring(page.read_bytes())
    links = [
        (one.tag, name, one.get(name))
        for one in tree.iter("a", "img", "link", "script", "source", "iframe", "object", "use", "form")
        for name in ("href", "src", "data", "action")
        if one.get(name) is not None
    ]
    return links, frozenset(one.get("id") for one in tree.iter() if one.get("id"))


def links(site: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield each link of each page: the page, the element and the target."""
    for page in sorted(site.rglob("*.html")):
        for element, _, target in document(page)[0]:
            yield page, element, target


def test_every_link_leads_to_a_page_and_a_place_on_it(site: Path) -> None:
    """Links within the site, pictures, styles and scripts exist, and so does what a fragment names."""
    dead = [
        (str(page.relative_to(site)), target) for page, _, target in links(site) if not leads(page, target)
    ]
    assert dead == []


def leads(page: Path, target: str) -> bool:
    """Return whether a link of a page is one to another host, or has its target."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return parts.scheme in ("https", "mailto", "data")
    path = Path(os.path.normpath(page.parent / unquote(parts.path))) if parts.path else page
    stateful = path.parent.name == "matrix"  # its fragments are what it shows
    return path.is_file() and (not parts.fragment or stateful or unquote(parts.fragment) in document(path)[1])


def test_other_hosts_are_only_those_that_the_pages_name(site: Path) -> None:
    """A link to another host is written in a page, in a docstring, or names the theme."""
    sources = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("cli/share/man/man?/*")]
    sources += [path for root in ("probe", "shims", "why", "fleet") for path in ROOT.glob(f"{root}/**/*.py")]
    written = {host for path in sources for host in re.findall(r"https://([\w.-]+)", path.read_text("utf-8"))}
    others = {target for _, _, target in links(site) if re.match(r"https?:|//", target)} - {THEME}
    assert others
    assert [target for target in others if not target.startswith("https://")] == []
    assert {urlsplit(target).netloc for target in others} <= written


def test_opening_a_page_asks_no_other_host(site: Path) -> None:
    """Styles, scripts, pictures and fonts are the site's own."""
    loaded = {target for _, element, target in links(site) if element not in ("a", "use")}
    for style in site.rglob("*.css"):
        loaded |= set(re.findall(r"url\(['\"]?([^)'\"]+)", style.read_text("utf-8")))
        loaded |= set(re.findall(r"@import ['\"]([^'\"]+)", style.read_text("utf-8")))
    assert loaded
    assert [target for target in loaded if re.match(r"(?!data:)[a-z]+:|//", target)] == []


def test_no_page_names_the_machine_that_built_it(site: Path) -> None:
    """Neither the checkout's path nor that of the folder with the source is in any file."""
    roots = "|".join(re.escape(f"{ROOT}/{name}/") for name in ("docs", "probe", "shims", "tools"))
    of_this_machine = re.compile(rf"\.onpanic-site-\w|{roots}".encode())
    for path in site.rglob("*"):
        if path.is_file():
            assert of_this_machine.findall(path.read_bytes()) == [], path


def test_what_pages_lead_to_is_shown(site: Path) -> None:
    """A linked file has a page with its text, and a linked folder one that lists its files.

    Those of the documentation's folders have pages, too, and no others.
    """
    pages = {str(path.relative_to(site / "files")) for path in (site / "files").rglob("*.html")}
    assert {"docs/samples/index.html", "docs/samples/systemd/watch.toml.html"} <= pages
    shown = html.fromstring((site / "files/docs/samples/systemd/watch.toml.html").read_bytes())
    for number in [one for one in shown.iter("span") if one.get("class") == "linenos"]:
        number.drop_tree()
    (text,) = [one.text_content() for one in shown.iter("pre")]
    assert text.strip() == (ROOT / "docs/samples/systemd/watch.toml").read_text("utf-8").strip()
    folder = html.fromstring((site / "files/probe/onpanic/core/index.html").read_bytes())
    (listed,) = folder.xpath("//section[contains(@class, 'shown-file')]/ul")
    assert {item.text_content().strip() for item in listed} >= {"py.typed", "errors.py"}
    assert [link.text for link in listed.iter("a")] == [
        name
        for name in sorted(item.text_content().strip() for item in listed)
        if f"probe/onpanic/core/{name}.html" in pages
    ]
    assert "probe/onpanic/core/py.typed.html" not in pages


@pytest.mark.package
def test_a_release_builds_the_same_site_without_a_network(
    site: Path, built: Path, build_site: Build, unavailable: Callable[[str], NoReturn], tmp_path: Path
) -> None:
    """An unpacked sdist, which git does not know, in another folder: each file is the same."""
    alone = ("unshare", "--map-root-user", "--net")
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], check=False).returncode:
        unavailable("unshare makes no network namespace here")
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (release,) = tmp_path.iterdir()
    done = build_site(tmp_path / "site", release, alone)
    assert (done.returncode, done.stderr) == (0, "")
    here, there = contents(site), contents(tmp_path / "site")
    assert there.keys() == here.keys()
    assert [name for name, content in there.items() if content != here[name]] == []


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copied_checkout(folder: Path) -> Path:
    """Return a checkout whose pages can be changed: all but docs and tools are those of this one."""
    for path in ROOT.iterdir():
        if path.name in ("docs", "tools"):
            shutil.copytree(path, folder / path.name)
        elif not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    return folder


def test_a_dead_link_is_named(build_site: Build, tmp_path: Path) -> None:
    """The message is a line with page and target, and nothing is left behind."""
    (tmp_path / "checkout").mkdir()
    checkout = copied_checkout(tmp_path / "checkout")
    with (checkout / "docs/how-to/running.md").open("a", encoding="utf-8") as page:
        page.write("\n[No page](no-page.md)\n")
    done = build_site(tmp_path / "out/site", checkout)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "website: docs/how-to/running.md: the link to no-page.md leads nowhere\n"
    assert [path.name for path in tmp_path.iterdir()] == ["checkout"]


def test_other_files_are_not_replaced(build_site: Build, tmp_path: Path) -> None:
    """A folder that has something else than a site is refused, and keeps it."""
    (tmp_path / "thesis.txt").write_text("two years of work")
    done = build_site(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"website: {tmp_path} is not a site that was built here: name a new or an empty folder\n"
    )
    assert (tmp_path / "thesis.txt").read_text() == "two years of work"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_build_changes_nothing(site: Path, tmp_path: Path, number: signal.Signals) -> None:
    """The site of before is still there, and nothing beside it."""
    out = tmp_path / "site"
    shutil.copytree(site, out)
    (out / "old.html").write_text("the site of before")
    words = [sys.executable, str(ROOT / "tools/website.py"), str(out)]
    started = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment(ROOT))
    with started:
        while not list(tmp_path.glob("*/*/index.md")) and started.poll() is None:
            time.sleep(0.05)
        started.send_signal(number)
        assert started.communicate(timeout=SECONDS)[1] == "website: cancelled\n"
    assert started.returncode == 130
    assert list(tmp_path.iterdir()) == [out]
    assert (out / "old.html").exists()
