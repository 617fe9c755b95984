"""A document about a host, split into the parts that differ between equal hosts and those that do not.

The parts are not decoded: what was read once is recognised by its bytes.
"""

from hashlib import blake2b

import msgspec

from onpanic.core.untrusted import printable
from onpanic.fleet.hosts.host_record import HostCollected, HostName, HostRecord, HostSystem
from onpanic.probe.record.capability_record import Probed

__all__ = (
    "SCHEMA_VERSION",
    "BytesKey",
    "ForeignError",
    "OtherVersionError",
    "RawHost",
    "bytes_key",
    "decode_record",
    "meaning_key",
    "name_in",
    "split_document",
)

SCHEMA_VERSION = 1

#: The parts of a document in which equal hosts do not differ.
BytesKey = tuple[bytes | tuple[bytes, ...] | None, ...]

_EMPTY = msgspec.Raw(b"")


class ForeignError(ValueError):
    """The document is JSON, and not the record of a host."""


class OtherVersionError(ValueError):
    """Another version of onpanic wrote the document."""


class _RawRecord(msgspec.Struct):
    """A capability record; what equal hosts may have differently is decoded, so that it is checked."""

    schema_version: msgspec.Raw = _EMPTY
    emulator: msgspec.Raw = _EMPTY
    facts: msgspec.Raw = _EMPTY
    machines: msgspec.Raw = _EMPTY
    problems: msgspec.Raw = _EMPTY
    probed: Probed | None = None
    evidence: list[list[str]] = []


class _RawEmulator(msgspec.Struct):
    """A `HostEmulator`, whose parts are not decoded."""

    record: _RawRecord | None
    path: msgspec.Raw = _EMPTY
    found_in: msgspec.Raw = _EMPTY
    runs: msgspec.Raw = _EMPTY
    domain_types: msgspec.Raw = _EMPTY
    machine_types: msgspec.Raw = _EMPTY
    aliases: msgspec.Raw = _EMPTY
    problem: msgspec.Raw = _EMPTY
    other_paths: msgspec.Raw = _EMPTY


class RawHost(msgspec.Struct):
    """A `HostRecord` or a `FailedHost`; what equal hosts may have differently is decoded."""

    host: HostName
    schema_version: int = 0
    collected: HostCollected | None = None
    failure: str | None = None
    at: str = ""
    system: HostSystem | None = None
    kvm: msgspec.Raw = _EMPTY
    libvirt: msgspec.Raw = _EMPTY
    libvirt_found: msgspec.Raw = _EMPTY
    emulators: list[_RawEmulator] | None = None
    problems: msgspec.Raw = _EMPTY
    xen: _RawEmulator | None = None


_decoder = msgspec.json.Decoder(RawHost)


def split_document(data: bytes) -> RawHost:
    """Return the parts of a document.

    :raise ForeignError: When it is not about a host.
    :raise OtherVersionError: When it has another schema version.
    :raise msgspec.DecodeError: When it is not JSON.
    """
    try:
        raw = _decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _why_foreign(data, str(error)) from error
    if raw.schema_version != SCHEMA_VERSION:
        raise _why_foreign(data, "")
    if not printable(raw.host.name):
        raise ForeignError("the host has no name")
    if raw.failure is None and raw.collected is None:
        raise ForeignError("it does not say when it was made, or why the host did not answer")
    if raw.failure is None and (raw.system is None or raw.emulators is None):
        raise ForeignError("not a record of a host: it has no system, or no emulators")
    if any(one.record and one.record.probed is None for one in (*(raw.emulators or ()), raw.xen) if one):
        raise ForeignError("not a record of a host: an emulator's record does not say when it was made")
    return raw


def bytes_key(raw: RawHost) -> BytesKey:
    """Return the bytes of a record without what may differ between equal hosts."""
    parts: list[bytes | tuple[bytes, ...] | None] = [
        raw.system.architecture.encode(errors="surrogatepass") if raw.system else None,
        *map(bytes, (raw.kvm, raw.libvirt, raw.libvirt_found, raw.problems)),
    ]
    parts.append(b"xen" if raw.xen else None)
    for one in (*(raw.emulators or ()), *([raw.xen] if raw.xen else [])):
        lists = (one.found_in, one.runs, one.domain_types, one.machine_types, one.aliases, one.other_paths)
        parts.append(tuple(map(bytes, (one.path, one.problem, *lists))))
        found = one.record
        if found is None:
            parts.append(None)
        else:
            members = (found.schema_version, found.emulator, found.facts, found.machines, found.problems)
            parts.append(tuple(map(bytes, members)))
    return tuple(parts)


def decode_record(data: bytes) -> HostRecord:
    """Return the record that a document holds.

    :raise ForeignError: When it is none.
    """
    try:
        return msgspec.json.decode(data, type=HostRecord)
    except msgspec.ValidationError as error:
        raise ForeignError(f"not a record of a host: {error}") from error


def meaning_key(record: HostRecord) -> bytes:
    """Return a digest that two records have in common if they say the same, however they are written."""
    data = msgspec.json.encode(record.comparable(), order="deterministic")
    return blake2b(data, digest_size=32).digest()


class _Head(msgspec.Struct):
    """What tells whether a document is the record of a host; anything else is allowed."""

    schema_version: msgspec.Raw = _EMPTY
    host: msgspec.Raw = _EMPTY
    emulator: msgspec.Raw = _EMPTY
    collected: msgspec.Raw = _EMPTY
    failure: msgspec.Raw = _EMPTY


def _why_foreign(data: bytes, words: str) -> Exception:
    """Return the error about a JSON document that is not the record of a host, or of another version.

    :param words: What is wrong with it; empty if only its schema version is.
    """
    try:
        head = msgspec.json.decode(data, type=_Head)
    except msgspec.ValidationError:
        return ForeignError("not a JSON object")
    if head.host and (head.collected or head.failure):
        version = printable(bytes(head.schema_version).decode(errors="replace"), 20) or "none"
        if version != str(SCHEMA_VERSION):
            return OtherVersionError(f"schema version {version}, not {SCHEMA_VERSION}")
        return ForeignError(f"not a record of a host: {words}")
    if head.emulator:
        return ForeignError("the record of an emulator, not of a host: onpanic host writes one")
    return ForeignError("not a record of a host: onpanic host writes one")


class _NamedHost(msgspec.Struct):
    host: HostName


def name_in(data: bytes) -> str:
    """Return the name of the host that a document is about; empty if it does not say."""
    try:
        return printable(msgspec.json.decode(data, type=_NamedHost).host.name, 100)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
