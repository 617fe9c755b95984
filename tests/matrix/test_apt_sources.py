"""Reading the host's apt sources, writing those of other suites, and naming what apt may touch."""

from __future__ import annotations

from pathlib import Path

import pytest

from onpanic.matrix import apt_sources
from onpanic.matrix.apt_sources import FetchError, Mirror, Source

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

ARCHIVE = Source("http://user:word@mirror.example/debian", ("bookworm",), ("main",), "/debian.gpg")
SECURITY = Source("http://safe.example/security", ("bookworm-security",), ("main",))


def test_deb822_gives_one_source_per_address() -> None:
    first, second, security = apt_sources.parse_deb822(DEB822)
    assert first.uri == "http://mirror.example/debian"
    assert second.uri == "http://other.example/debian"
    assert first.suites == ("bookworm", "bookworm-updates")
    assert first.components == ("main", "contrib")
    assert first.signed_by == "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert security.signed_by == "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc="


def test_deb822_embedded_key_survives_rewriting() -> None:
    security = apt_sources.parse_deb822(DEB822)[-1]
    (again,) = apt_sources.parse_deb822(apt_sources.sources_text({"trixie-security": security}))
    assert again == Source(security.uri, ("trixie-security",), ("main",), security.signed_by)


def test_one_line_style() -> None:
    assert apt_sources.parse_one_line(ONE_LINE) == [
        Source("http://mirror.example/debian", ("bookworm",), ("main", "contrib")),
        Source("http://mirror.example/security", ("bookworm-security",), ("main",), "/a.gpg /b.gpg"),
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "nonsense", " folded first", "deb", "deb [", "deb x y"])
def test_unusable_sources_are_no_sources(text: str) -> None:
    assert apt_sources.parse_deb822(text) == []
    assert apt_sources.parse_one_line(text) == []


def test_mirror_is_read_from_both_styles_and_passes_by_other_vendors(tmp_path: Path) -> None:
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
    (tmp_path / "sources.list").write_text("deb http://first.example/debian sid main\n")
    assert apt_sources.read_mirror(tmp_path).archive.uri == "http://first.example/debian"


def test_no_debian_mirror_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"(?s)none of .*next: add one"):
        apt_sources.read_mirror(tmp_path)


def test_pockets() -> None:
    both, alone = Mirror(ARCHIVE, SECURITY), Mirror(ARCHIVE, None)
    assert apt_sources.pockets(both, "trixie") == {
        "trixie": ARCHIVE,
        "trixie-updates": ARCHIVE,
        "trixie-security": SECURITY,
    }
    assert list(apt_sources.pockets(alone, "bullseye")) == ["bullseye", "bullseye-updates"]
    assert list(apt_sources.pockets(both, "sid")) == ["sid"]


def test_sources_text() -> None:
    assert apt_sources.sources_text({"sid": ARCHIVE, "x": SECURITY}) == (
        f"Types: deb\nURIs: {ARCHIVE.uri}\nSuites: sid\nComponents: main\nTargets: Packages\n"
        "Signed-By: /debian.gpg\n"
        "\n"
        f"Types: deb\nURIs: {SECURITY.uri}\nSuites: x\nComponents: main\nTargets: Packages\n"
    )


def test_the_mirror_is_not_named_in_errors() -> None:
    said = f"E: Failed to fetch {ARCHIVE.uri}/x: Could not resolve 'mirror.example'"
    veiled = Mirror(ARCHIVE, SECURITY).veil(said)
    assert veiled == "E: Failed to fetch MIRROR/x: Could not resolve 'MIRROR'"


def test_apt_writes_only_within_its_folder(tmp_path: Path) -> None:
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
    assert apt_sources.deb_version(name) == expected
