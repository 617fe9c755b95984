"""apt's side of fetching: the host's own sources, and an apt-get that touches nothing of the host's.

The sources are read as `sources.list(5)` describes them, in both styles, and are written
for other suites; what vendors add for themselves is passed by.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = [
    "APT_CONF",
    "SUITES",
    "FetchError",
    "Mirror",
    "Source",
    "apt_command",
    "deb_version",
    "parse_deb822",
    "parse_one_line",
    "pockets",
    "read_mirror",
    "sources_text",
]

SUITES: tuple[str, ...] = ("bullseye", "bookworm", "trixie", "sid")
"""The Debian suites that can be fetched, oldest first."""

_ALIASES = ("stable", "oldstable", "oldoldstable", "testing", "unstable", "forky", "duke")

# The host's hooks would act on the host's own package cache; only a file can clear them.
APT_CONF = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear Acquire::Languages;
Acquire::Languages { "none"; };
"""


class FetchError(Exception):
    """A suite's emulators can't be had. One or two lines: what failed, what to do next.

    Example: ``tar, bwrap not found`` / ``next: apt-get install bubblewrap tar``
    """


@dataclass(frozen=True)
class Source:
    """One entry of apt's sources: where, which suites, which components, which keyring."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


@dataclass(frozen=True)
class Mirror:
    """Where the host gets Debian from; `security` is None when it has no such entry."""

    archive: Source
    security: Source | None

    def veil(self, text: str) -> str:
        """Return `text` without the mirror's address, which may hold a password."""
        for source in (self.archive, self.security):
            if source is not None:
                text = text.replace(source.uri, "MIRROR")
                text = text.replace(urlsplit(source.uri).hostname or source.uri, "MIRROR")
        return text


def parse_deb822(text: str) -> list[Source]:
    """Return the enabled ``deb`` entries of a ``*.sources`` file (sources.list(5), DEB822)."""
    sources = []
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in "\n".join(line.rstrip() for line in lines).split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1].isspace():
                fields[name] = fields.get(name, "") + "\n" + line
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        types, enabled = fields.get("types", "").split(), fields.get("enabled", "yes")
        if "deb" in types and enabled.lower() not in ("no", "false", "0", "off", "without"):
            suites = tuple(fields.get("suites", "").split())
            components = tuple(fields.get("components", "").split())
            sources += [
                Source(uri, suites, components, fields.get("signed-by", ""))
                for uri in fields.get("uris", "").split()
            ]
    return sources


def parse_one_line(text: str) -> list[Source]:
    """Return the ``deb`` entries of a ``*.list`` file (sources.list(5), one-line style)."""
    sources = []
    for line in text.splitlines():
        kind, _, rest = line.partition("#")[0].strip().partition(" ")
        if kind != "deb" or "cdrom:" in rest:
            continue
        rest, options = rest.strip(), ""
        if rest.startswith("["):
            options, _, rest = rest[1:].partition("]")
        keys = [word[10:] for word in options.split() if word.startswith("signed-by=")]
        if len(words := rest.split()) > 2:  # address, suite, components
            keyring = keys[0].replace(",", " ") if keys else ""
            sources.append(Source(words[0], (words[1],), tuple(words[2:]), keyring))
    return sources


def read_mirror(etc: Path = Path("/etc/apt")) -> Mirror:
    """Return where the host gets Debian from.

    :raise FetchError: When none of the host's apt sources is a Debian archive.
    """
    listed = [etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list"))]
    sources = [source for path in listed if path.is_file() for source in parse_one_line(path.read_text())]
    for path in sorted(etc.glob("sources.list.d/*.sources")):
        sources += parse_deb822(path.read_text())
    archive = security = None
    for source in sources:
        # Other vendors name their suites after Debian's, but sign with keyrings of their own.
        vendor = source.signed_by.startswith("/") and "debian" not in source.signed_by
        if vendor or "main" not in source.components:
            continue
        if any(suite in (*SUITES, *_ALIASES) for suite in source.suites):
            archive = archive or source
        if any(suite.endswith(("-security", "/updates")) for suite in source.suites):
            security = security or source
    if archive is None:
        raise FetchError(
            "none of the host's apt sources is a Debian archive\n"
            f"next: add one (main is enough) to {etc / 'sources.list.d'}, see sources.list(5)"
        )
    return Mirror(archive, security)


def pockets(mirror: Mirror, suite: str) -> dict[str, Source]:
    """Return the suites to read for `suite`, itself first, and where each one comes from."""
    found = {suite: mirror.archive}
    if suite != "sid":  # a rolling suite has no updates beside it
        found[f"{suite}-updates"] = mirror.archive
        if mirror.security is not None:
            found[f"{suite}-security"] = mirror.security
    return found


def sources_text(chosen: Mapping[str, Source]) -> str:
    """Return a ``*.sources`` file for apt that has the suites given, and only those."""
    stanzas = []
    for suite, source in chosen.items():
        uri = re.sub(r"^file:", "copy:", source.uri)  # apt would leave its packages where they are
        lines = ["Types: deb", f"URIs: {uri}", f"Suites: {suite}", "Components: main"]
        lines += ["Targets: Packages"]  # not the icons and such that the host may want
        if source.signed_by:
            lines.append(f"Signed-By: {source.signed_by}")
        stanzas.append("\n".join(lines) + "\n")
    return "\n".join(stanzas)


def apt_command(work: Path, *words: str) -> list[str]:
    """Return an ``apt-get`` command that keeps everything that it writes within `work`."""
    options = {
        "Dir::Etc::SourceList": work / "debian.sources",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State": work / "state",
        "Dir::State::Lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "Dir::Cache::Archives": work / "debs",
        "Dir::Log": work / "log",
        "APT::Install-Recommends": "false",
        "APT::Keep-Downloaded-Packages": "true",
        "APT::Update::Error-Mode": "any",  # without it a mirror that's down is a warning
        "Acquire::Retries": "3",
    }
    pairs = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["apt-get", "-q", "-c", str(work / "apt.conf"), *pairs, *words]


def deb_version(name: str) -> tuple[str, str]:
    """Return package and version from the name of a file that apt downloaded.

    Apt writes ``%3a`` for the colon: ``x_1%3a2-3_all.deb`` is x, version 1:2-3.
    """
    package, version, _ = name.split("_", 2)
    return package, unquote(version)
