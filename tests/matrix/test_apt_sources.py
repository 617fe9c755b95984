"""Reading the host's apt sources, as apt does, and writing those of other suites."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onpanic.core.errors import FetchError
from onpanic.matrix.sources import apt_sources
from onpanic.matrix.sources.apt_sources import AptSource, Mirror

DEB822 = """\
# comment
Types: deb deb-src
URIs: http://mirror.example/debian http://other.example/debian
Suites: bookworm
 bookworm-updates
# comment within a stanza
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc=

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
# deb http://off.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb cdrom:[Debian GNU/Linux 12 _Bookworm_]/ bookworm main

deb http://mirror.example/debian bookworm main contrib # why
deb [arch=amd64 signed-by=/a.gpg,/b.gpg] http://mirror.example/security bookworm-security main
deb http://flat.example/ ./
"""

ARCHIVE = AptSource("http://user:word@mirror.example/debian", ("bookworm",), ("main",), "/debian.gpg")
SECURITY = AptSource("http://safe.example/security", ("bookworm-security",), ("main",))


def test_deb822_gives_one_source_per_address() -> None:
    """An entry may have several URIs, and several suites."""
    first, second, security = apt_sources.parse_deb822(DEB822)
    assert first.uri == "http://mirror.example/debian"
    assert second.uri == "http://other.example/debian"
    assert first.suites == ("bookworm", "bookworm-updates")
    assert first.components == ("main", "contrib")
    assert first.signed_by == "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert security.signed_by == "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc="


def test_an_embedded_key_survives_rewriting() -> None:
    """Sources for another suite have the key of the host's."""
    security = apt_sources.parse_deb822(DEB822)[-1]
    (again,) = apt_sources.parse_deb822(apt_sources.sources_text({"trixie-security": security}))
    assert again == AptSource(security.uri, ("trixie-security",), ("main",), security.signed_by)


def test_one_line_style() -> None:
    """Comments, sources of source packages and CD-ROMs are left out."""
    assert apt_sources.parse_one_line(ONE_LINE) == [
        AptSource("http://mirror.example/debian", ("bookworm",), ("main", "contrib")),
        AptSource("http://mirror.example/security", ("bookworm-security",), ("main",), "/a.gpg /b.gpg"),
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "nonsense", " folded first", "deb", "deb [", "deb x y"])
def test_invalid_sources_are_left_out(text: str) -> None:
    """Apt complains about them when it is run."""
    assert apt_sources.parse_deb822(text) == []
    assert apt_sources.parse_one_line(text) == []


def test_the_mirror_is_read_from_both_styles_without_other_vendors(tmp_path: Path) -> None:
    """The first Debian archive counts, in the order in which apt reads the files."""
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "a.list").write_text("deb [signed-by=/usr/share/vendor.gpg] http://v.example bookworm main\n")
    (parts / "b.list").write_text("deb http://w.example bookworm stable\n")
    (parts / "c.sources").write_text(DEB822)
    (parts / "d.sources.off").write_text(DEB822.replace("mirror", "wrong"))
    mirror = apt_sources.read_mirror(tmp_path)
    assert mirror.archive.uri == "http://mirror.example/debian"
    assert mirror.security is not None
    assert mirror.security.uri == "http://mirror.example/debian-security"
    (parts / ".hidden.list").write_text("deb http://hidden.example/debian sid main\n")
    (parts / "a b.list").write_text("deb http://space.example/debian sid main\n")
    (parts / "c.list").write_text("deb http://before.example/debian sid main\n")
    assert apt_sources.read_mirror(tmp_path).archive.uri == "http://before.example/debian"
    (tmp_path / "sources.list").write_text("deb http://first.example/debian sid main\n")
    assert apt_sources.read_mirror(tmp_path).archive.uri == "http://first.example/debian"


def test_a_vendors_keyring_on_a_line_of_its_own_is_noticed(tmp_path: Path) -> None:
    """Otherwise a vendor's bookworm would be taken for Debian's."""
    (tmp_path / "sources.list.d").mkdir()
    vendor = DEB822.replace(" /usr/share/keyrings/debian-archive-keyring.gpg", "\n /v.gpg")
    (tmp_path / "sources.list.d/a.sources").write_text(vendor)
    with pytest.raises(FetchError, match="none of the host's apt sources"):
        apt_sources.read_mirror(tmp_path)


def test_no_debian_mirror_says_what_to_add(tmp_path: Path) -> None:
    """The hint names the folder and the manual."""
    with pytest.raises(FetchError, match=r"(?s)none of .*add one"):
        apt_sources.read_mirror(tmp_path)


def test_pockets() -> None:
    """Updates are read beside a suite, but not beside sid, which has none."""
    both, alone = Mirror(ARCHIVE, SECURITY), Mirror(ARCHIVE, None)
    assert apt_sources.pockets(both, "trixie") == {
        "trixie": ARCHIVE,
        "trixie-updates": ARCHIVE,
        "trixie-security": SECURITY,
    }
    assert list(apt_sources.pockets(alone, "bullseye")) == ["bullseye", "bullseye-updates"]
    assert list(apt_sources.pockets(both, "sid")) == ["sid"]


def test_sources_text() -> None:
    """Each suite has an entry with main only."""
    assert apt_sources.sources_text({"sid": ARCHIVE, "x": SECURITY}) == (
        f"Types: deb\nURIs: {ARCHIVE.uri}\nSuites: sid\nComponents: main\nTargets: Packages\n"
        "Signed-By: /debian.gpg\n"
        "\n"
        f"Types: deb\nURIs: {SECURITY.uri}\nSuites: x\nComponents: main\nTargets: Packages\n"
    )


def test_the_mirror_is_not_named_in_errors() -> None:
    """Its URI may contain a password."""
    message = f"E: Failed to fetch {ARCHIVE.uri}/x: Could not resolve 'mirror.example'"
    redacted = Mirror(ARCHIVE, SECURITY).redact(message)
    assert redacted == "E: Failed to fetch MIRROR/x: Could not resolve 'MIRROR'"


def test_apt_writes_only_below_its_folder(tmp_path: Path) -> None:
    """The host's own state is not touched."""
    command = apt_sources.apt_command(tmp_path, "install", "x")
    assert command[0] == "apt-get"
    assert command[-2:] == ["install", "x"]
    options = dict(word.split("=", 1) for word in command if "=" in word)
    for name in ("Dir::State", "Dir::State::Lists", "Dir::State::status", "Dir::Cache", "Dir::Log"):
        assert Path(options[name]).is_relative_to(tmp_path)
    assert options["Dir::Etc::SourceParts"] == "/dev/null"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qemu-system-x86_1%3a7.2+dfsg-7_amd64.deb", ("qemu-system-x86", "1:7.2+dfsg-7")),
        ("seabios_1.16.2-1_all.deb", ("seabios", "1.16.2-1")),
    ],
)
def test_deb_version(name: str, expected: tuple[str, str]) -> None:
    """An epoch's colon is encoded in file names."""
    assert apt_sources.deb_version(name) == expected


#: Entries in the one-line style.
ONE_LINES = {
    "tabs": "deb\thttp://tabs.example/debian\tbookworm\tmain\tcontrib",
    "mixed space": "\t deb \t http://mixed.example/debian  bookworm   main\t",
    "options": "deb [ arch=amd64   signed-by=/a.gpg,/b.gpg ] http://options.example/debian bookworm main",
    "tab before options": "deb\t[arch=amd64]\thttp://tabopt.example/debian\tbookworm main",
    "comment": "deb http://comment.example/debian bookworm main# non-free",
    "hash in options": "deb [signed-by=/a#b.gpg] http://hash.example/debian bookworm main # why",
    "quotes": 'deb "http://quotes.example/debian" "bookworm" main',
    "percent": "deb http://percent.example/de%62ian bookworm main",
    "source": "deb-src\thttp://source.example/debian\tbookworm\tmain",
    "disabled": "#deb http://off.example/debian bookworm main",
    "CRLF": "deb http://crlf.example/debian bookworm main\r",
    "other white space": "deb http://vt.example/debian bookworm main\x0bcontrib\x0cnon-free",
    "another encoding": "deb http://enc.example/debian bookworm main # caf\xe9",
}

#: Files in DEB822 style.
STANZAS = {
    "tabs": "Types:\tdeb\nURIs:\thttp://a.example/debian\nSuites:\tbookworm\nComponents:\tmain\tcontrib\n",
    "no space": "Types:deb\nURIs:http://a.example/debian\nSuites:bookworm\nComponents:main\n",
    "case": "tYPES: deb\nuris: http://a.example/debian\nSUITES: bookworm\ncomponents: main\n",
    "lines": "Types: deb\nURIs:\n http://a.example/debian\n\thttp://b.example/debian\n"
    "Suites: bookworm\n bookworm-updates\nComponents:\n main\n",
    "comments": "# one\nTypes: deb\n# two\nURIs: http://a.example/debian\n#\nSuites: bookworm\n#x\n sid\n"
    "Components: main\n",
    "line of spaces": "Types: deb\nURIs: http://a.example/debian\n  \t\nSuites: bookworm\nComponents: main\n",
    "CRLF": "Types: deb\r\nURIs: http://a.example/debian\r\nSuites: bookworm\r\nComponents: main\r\n\r\n"
    "Types: deb\r\nURIs: http://b.example/debian\r\nSuites: bookworm\r\nComponents: main\r\n",
    "empty lines": "\n\n\nTypes: deb\nURIs: http://a.example/debian\nSuites: sid\nComponents: main\n\n\n",
    **{
        f"enabled {value.strip()}": f"Enabled: {value}\nTypes: deb\nURIs: http://a.example/debian\n"
        "Suites: bookworm\nComponents: main\n"
        for value in ("No", "no", "FALSE", "off", "without", "disable", "0", "yes", "1", "maybe", "\tNO")
    },
    "source": "Types: deb-src\nURIs: http://a.example/debian\nSuites: bookworm\nComponents: main\n",
    "both": "Types: deb-src deb\nURIs: http://a.example/debian\nSuites: bookworm\nComponents: main\n",
}


def indexes(sources: list[AptSource]) -> set[tuple[str, ...]]:
    """Return the package indexes of sources: URI, suite and component."""
    return {
        (source.uri.rstrip("/"), suite, component)
        for source in sources
        for suite in source.suites
        for component in source.components
    }


Apt = Callable[[str, str], set[tuple[str, ...]]]


@pytest.fixture
def apt(tmp_path: Path, unavailable: Callable[[str], NoReturn]) -> Apt:
    """Return a function that returns which package indexes apt reads, given a file's name and text."""
    shutil.which("apt-get") or unavailable("no apt-get here")

    def read(name: str, text: str) -> set[tuple[str, ...]]:
        path = tmp_path / name
        path.write_bytes(text.encode("latin-1"))
        settings = {
            "Dir::Etc::SourceList": path,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": tmp_path,
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        form = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
        words = ["indextargets", "--no-release-info", "--format", form, "Created-By: Packages"]
        done = subprocess.run(
            ["apt-get", *options, *words], capture_output=True, timeout=60, check=True, text=True
        )
        found = (line.split("|") for line in done.stdout.splitlines())
        return {(uri.rstrip("/"), suite, component) for uri, suite, component in found}

    return read


@pytest.mark.processes
@pytest.mark.parametrize("line", ONE_LINES.values(), ids=ONE_LINES)
def test_one_line_sources_are_those_that_apt_reads(apt: Apt, line: str) -> None:
    """Apt itself is the reference."""
    text = f"{line}\ndeb http://last.example/debian sid main\n"
    found = indexes(apt_sources.parse_one_line(text))
    assert found == apt("x.list", text)
    assert ("http://last.example/debian", "sid", "main") in found


@pytest.mark.processes
@pytest.mark.parametrize("text", STANZAS.values(), ids=STANZAS)
def test_deb822_sources_are_those_that_apt_reads(apt: Apt, text: str) -> None:
    """Apt itself is the reference."""
    assert indexes(apt_sources.parse_deb822(text)) == apt("x.sources", text)


@pytest.mark.parametrize(
    ("line", "keyrings"),
    [
        ("deb [ signed-by=/a.gpg,/b.gpg ] http://a.example bookworm main", "/a.gpg /b.gpg"),
        ('deb [arch=amd64 signed-by="/a.gpg"] http://a.example bookworm main', "/a.gpg"),
        ("deb\t[signed-by=/a#b.gpg\tarch=amd64]\thttp://a.example bookworm main # x", "/a#b.gpg"),
        ("deb [arch=amd64] http://a.example bookworm main", ""),
    ],
)
def test_options_name_the_keyring(line: str, keyrings: str) -> None:
    """Options may be separated by any white space, and quoted."""
    (source,) = apt_sources.parse_one_line(line)
    assert source.signed_by == keyrings


@pytest.mark.parametrize("line", [*ONE_LINES.values(), *STANZAS.values()])
def test_a_line_with_a_tab_is_a_source(line: str) -> None:
    """Every entry here but the disabled ones and those of source packages is one, without apt to compare."""
    found = apt_sources.parse_one_line(line) + apt_sources.parse_deb822(line)
    off = ("#deb", "deb-src\t", "Types: deb-src\n")
    disabled = line.startswith("Enabled: ") and line.split()[1].lower() not in ("yes", "1", "maybe")
    assert bool(found) is not (line.startswith(off) or disabled)


NOT_ASCII = "# Spiegelserver für Tübingen\ndeb http://mirror.example/debian bookworm main\n"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_comments_may_be_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    """Apt reads bytes."""
    (tmp_path / "sources.list").write_bytes(NOT_ASCII.encode(encoding))
    assert apt_sources.read_mirror(tmp_path).archive.uri == "http://mirror.example/debian"


@pytest.mark.processes
def test_sources_are_not_read_in_the_locales_encoding(tmp_path: Path) -> None:
    """The C locale has ASCII only, if Python neither coerces it nor turns its UTF-8 mode on."""
    (tmp_path / "sources.list").write_text(NOT_ASCII, "utf-8")
    script = (
        "import sys, pathlib; from onpanic.matrix.sources.apt_sources import read_mirror\n"
        "print(read_mirror(pathlib.Path(sys.argv[1])).archive.uri)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("http://mirror.example/debian\n", "")


BLANKS = st.text(" \t", min_size=1, max_size=3)
WORDS = st.from_regex(r"[a-z][a-z0-9.+/-]{0,10}", fullmatch=True)
SOURCES = st.builds(
    AptSource,
    WORDS.map("http://a.example/{}".format),
    st.tuples(WORDS),
    st.lists(WORDS, min_size=1, max_size=3).map(tuple),
    WORDS.map("/{}".format) | st.just(""),
)


@given(SOURCES, st.lists(BLANKS, min_size=8, max_size=8), st.sampled_from(["", "#", " # why", "\t#x", "\r"]))
def test_any_white_space_separates_words(source: AptSource, blanks: list[str], end: str) -> None:
    """Spaces and tabs are the same, in and around options and before comments."""
    options = f"[{blanks[0]}arch=amd64{blanks[1]}signed-by={source.signed_by}{blanks[2]}]"
    words = [options] * bool(source.signed_by) + [source.uri, *source.suites, *source.components]
    line = f"{blanks[3]}deb{blanks[4]}{blanks[5].join(words)}{end}"
    assert apt_sources.parse_one_line(f"{line}\n") == [source]


@settings(max_examples=30)
@given(st.dictionaries(WORDS, SOURCES, min_size=1, max_size=2))
def test_written_sources_read_back(chosen: dict[str, AptSource]) -> None:
    """Apt is given the mirror and the keyring of the host, for other suites."""
    found = apt_sources.parse_deb822(apt_sources.sources_text(chosen))
    assert found == [AptSource(s.uri, (name,), ("main",), s.signed_by) for name, s in chosen.items()]


@given(st.text(st.sampled_from('deb-srcUTys:#[]=" \t\r\n/.\udcff')))
def test_any_text_is_read(text: str) -> None:
    """What apt would refuse raises nothing here."""
    apt_sources.parse_one_line(text)
    apt_sources.parse_deb822(text)
