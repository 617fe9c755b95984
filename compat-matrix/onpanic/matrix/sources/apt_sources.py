"""Reads the host's apt sources, and runs apt-get for another suite without changing the host.

Sources are read as sources.list(5) describes them, in both formats.  Those of other vendors are
ignored.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from onpanic.core.errors import FetchError

__all__ = (
    "APT_CONF",
    "SUITES",
    "AptSource",
    "Mirror",
    "apt_command",
    "deb_version",
    "parse_deb822",
    "parse_one_line",
    "pockets",
    "read_mirror",
    "sources_text",
)

#: The Debian suites that can be fetched, oldest first.
SUITES: tuple[str, ...] = ("bullseye", "bookworm", "trixie", "sid")

# Other names of suites in the host's sources
_OTHER_SUITES = ("stable", "oldstable", "oldoldstable", "testing", "unstable", "forky", "duke")

#: A configuration without the host's hooks, which would act on its package cache; only a file can clear them.
APT_CONF = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear Acquire::Languages;
Acquire::Languages { "none"; };
"""

# Names of files that apt reads (sources.list(5)); hidden files are not among them
_READ_BY_APT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\.(list|sources)")

# A word of the one-line format, with quotes and brackets as apt's ParseQuoteWord reads them
_WORD = re.compile(r'(?:"[^"]*"|\[[^\]]*\]|[^\s"\[])+')
_BRACKETS_OR_COMMENT = re.compile(r"\[[^\]]*\]|#.*")
_OPTIONS = re.compile(r"\s*\[([^\]]*)\]")

# What apt's StringToBool takes for no
_NO = ("no", "false", "without", "off", "disable", "0")


@dataclass(frozen=True)
class AptSource:
    """One entry of apt's sources.

    :ivar uri: The base of the archive.
    :ivar suites: Names of suites.
    :ivar components: Such as ``main``.
    :ivar signed_by: Paths of keyrings, fingerprints, or a key; empty for apt's own keyrings.
    """

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


@dataclass(frozen=True)
class Mirror:
    """Where the host gets Debian from.

    :ivar archive: The entry of the archive.
    :ivar security: The entry of the security archive; None if the host has none.
    """

    archive: AptSource
    security: AptSource | None

    def redact(self, text: str) -> str:
        """Return a text without the mirror's address, which may contain a password."""
        for source in (self.archive, self.security):
            if source is not None:
                text = text.replace(source.uri, "MIRROR")
                text = text.replace(urlsplit(source.uri).hostname or source.uri, "MIRROR")
        return text


def parse_deb822(text: str) -> list[AptSource]:
    """Return the enabled ``deb`` entries of a ``*.sources`` file (sources.list(5), DEB822-STYLE FORMAT)."""
    sources = []
    for fields in _stanzas(text):
        enabled = fields.get("enabled", "yes").strip().lower() not in _NO
        if enabled and "deb" in fields.get("types", "").split():
            suites = tuple(fields.get("suites", "").split())
            components = tuple(fields.get("components", "").split())
            sources += [
                AptSource(uri, suites, components, fields.get("signed-by", ""))
                for uri in fields.get("uris", "").split()
                if not uri.startswith("cdrom:")
            ]
    return sources


def parse_one_line(text: str) -> list[AptSource]:
    """Return the ``deb`` entries of a ``*.list`` file (sources.list(5), ONE-LINE-STYLE FORMAT)."""
    sources = []
    for line in text.split("\n"):
        entry = _BRACKETS_OR_COMMENT.sub(lambda match: match[0] * (match[0][0] == "["), line).strip()
        kind = _WORD.match(entry)
        if kind is None or kind[0] != "deb":
            continue
        options = _OPTIONS.match(entry, kind.end())
        words = _words(entry[options.end() if options else kind.end() :])
        pairs = (word.partition("=") for word in _words(options[1] if options else ""))
        keyrings = [value.replace(",", " ") for name, _, value in pairs if name == "signed-by"]
        if len(words) > 2 and not words[0].startswith("cdrom:"):
            uri, suite, *components = words
            sources.append(AptSource(uri, (suite,), tuple(components), "".join(keyrings[-1:])))
    return sources


def read_mirror(etc: Path = Path("/etc/apt")) -> Mirror:
    """Return where the host gets Debian from.

    :param etc: The folder with ``sources.list`` and ``sources.list.d``.
    :raise FetchError: When none of the host's apt sources is a Debian archive, or they cannot be read.
    """
    archive = security = None
    for source in _host_sources(etc):
        # Other vendors use the names of Debian's suites, with keyrings of their own
        keyrings = source.signed_by.strip()
        vendor = keyrings.startswith("/") and "debian" not in keyrings
        if vendor or "main" not in source.components:
            continue
        if any(suite in (*SUITES, *_OTHER_SUITES) for suite in source.suites):
            archive = archive or source
        if any(suite.endswith(("-security", "/updates")) for suite in source.suites):
            security = security or source
    if archive is None:
        raise FetchError(
            "none of the host's apt sources is a Debian archive",
            f"add one (main is enough) to {etc / 'sources.list.d'}, see sources.list(5)",
        )
    return Mirror(archive, security)


def pockets(mirror: Mirror, suite: str) -> dict[str, AptSource]:
    """Return the suites to read for a suite, starting with the suite itself, and the source of each."""
    found = {suite: mirror.archive}
    if suite != "sid":  # a rolling suite has no updates of its own
        found[f"{suite}-updates"] = mirror.archive
        if mirror.security is not None:
            found[f"{suite}-security"] = mirror.security
    return found


def sources_text(chosen: Mapping[str, AptSource]) -> str:
    """Return the text of a ``*.sources`` file with these suites and no others."""
    stanzas = []
    for suite, source in chosen.items():
        uri = re.sub(r"^file:", "copy:", source.uri)  # apt does not copy the packages of file: sources
        lines = ["Types: deb", f"URIs: {uri}", f"Suites: {suite}", "Components: main"]
        lines += ["Targets: Packages"]  # no icons or the like, whatever the host is configured for
        if source.signed_by:
            lines.append(f"Signed-By: {source.signed_by}")
        stanzas.append("\n".join(lines) + "\n")
    return "\n".join(stanzas)


def apt_command(work: Path, *words: str) -> list[str]:
    """Return an ``apt-get`` command that reads and writes its state below a folder only."""
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
        "APT::Update::Error-Mode": "any",  # without it a mirror that is down is only a warning
        "Acquire::Retries": "3",
    }
    pairs = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["apt-get", "-q", "-c", str(work / "apt.conf"), *pairs, *words]


def deb_version(name: str) -> tuple[str, str]:
    """Return package and version from the name of a file that apt has downloaded.

    Apt writes ``%3a`` for the colon: ``x_1%3a2-3_all.deb`` is x, version 1:2-3.
    """
    package, version, _ = name.split("_", 2)
    return package, unquote(version)


def _host_sources(etc: Path) -> Iterator[AptSource]:
    """Yield the host's sources in the order in which apt reads them."""
    files = [path for path in (etc / "sources.list.d").glob("*") if _READ_BY_APT.fullmatch(path.name)]
    for path in (etc / "sources.list", *sorted(files)):
        if not path.is_file():
            continue
        try:
            data = path.read_bytes()
        except OSError as error:
            raise FetchError(f"{path}: {error.strerror}", "apt must be able to read it, too") from error
        text = data.decode("utf-8", "surrogateescape")  # comments may be in any encoding
        yield from parse_deb822(text) if path.suffix == ".sources" else parse_one_line(text)


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """Yield the fields of each stanza, by their names in lower case."""
    fields: dict[str, str] = {}
    name = ""
    for line in [*(line.rstrip("\r") for line in text.split("\n") if not line.startswith("#")), ""]:
        if not line:  # a line of spaces continues a field, and ends no stanza
            yield fields
            fields, name = {}, ""
        elif line[0].isspace():
            fields[name] = fields.get(name, "") + (f"\n{line.rstrip()}" if line.strip() else "")
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()


def _words(text: str) -> list[str]:
    """Return the words of a line, unquoted as apt does: without ``"``, and with ``%20`` decoded."""
    return [
        unquote(match[0].replace('"', ""), encoding="utf-8", errors="surrogateescape")
        for match in _WORD.finditer(text)
    ]
