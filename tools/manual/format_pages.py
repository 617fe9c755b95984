"""The manual pages of section 5: the record and the watcher's settings, from what their types say."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import msgspec

from manual.command_pages import Edition, tail
from manual.parsers import Command
from manual.roff import bold, code, escaped, head, prose, section, sentence, tagged
from onpanic.fleet import HostRecord
from onpanic.probe import CapabilityRecord
from onpanic.probe.facts import QUESTIONS
from onpanic.watch import Settings
from onpanic.watch.rules.dump_files import FORMATS

__all__ = ("host_record_page", "members", "record_page", "settings_page")

_SAMPLE = Path(__file__).parent.parent.parent / "docs/samples/systemd/watch.toml"
_SCALARS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_TOML = {bool: "true or false", float: "seconds", int: "number", str: "text"}


def settings_page(edition: Edition, watch: Command) -> str:
    """Return the page of the watcher's settings.

    :param watch: The subcommand, whose options have the names of the settings.
    """
    page = "onpanic-watch.toml"
    described = _parameters(str(inspect.getdoc(Settings)))
    options = {flag.removeprefix("--") for one in watch.options for flag in one.flags}
    entries = []
    for field in msgspec.structs.fields(Settings):
        if field.encode_name not in options:
            raise ValueError(f"onpanic watch has no option --{field.encode_name}")
        kind = "size" if "quota" in field.name or "reserve" in field.name else _TOML[type(field.default)]
        tag = f"{bold(field.encode_name)} ({kind}; default: {bold(json.dumps(field.default))})"
        said = sentence(described[field.name])
        if field.name == "dump_format":
            said += f"  They are {', '.join(f'``{form}``' for form in FORMATS)}."
        entries.append(tagged(tag, prose(said)))
    summary = "settings of onpanic watch"
    return "".join(
        (
            head(page, 5, edition.date, edition.source),
            section("Name", f"{escaped(page, literal=True)} \\- {summary}\n"),
            section("Synopsis", f"{bold('onpanic watch --config')} \\fIFILE\\fR\n"),
            section("Description", prose(_SETTINGS)),
            section("Settings", "".join(entries)),
            tail(page, page, edition, _SETTINGS).replace(
                ".SH SEE ALSO", section("Examples", code(_SAMPLE.read_text("utf-8"))) + ".SH SEE ALSO"
            ),
        )
    )


_SETTINGS = """
The file is in TOML, encoded in UTF-8.  Each setting has the name of an option of onpanic watch, without
the leading dashes, and the option takes precedence.  A setting that is missing has its default; one that
is unknown or has a wrong value is an error.  On SIGHUP, the watcher reads the file again; if the file has
an error, the watcher keeps the settings that it has.  A size is a number of bytes, or a text with a
number and K, M, G or T, which stand for powers of 1024.
"""


def record_page(edition: Edition) -> str:
    """Return the page of the capability record."""
    page = "onpanic-record"
    asked = "".join(
        tagged(
            f"{bold(one.name)} ({one.scope})",
            prose(f"{one.asks}  {sentence(f'known from: {one.known_from}')}"),
        )
        for one in QUESTIONS
    )
    return "".join(
        (
            head(page, 5, edition.date, edition.source),
            section("Name", "onpanic\\-record \\- the capability record of an emulator, in JSON\n"),
            section("Synopsis", f"{bold('onpanic probe --format json')}\n"),
            section("Description", prose(_RECORD) + ".PP\n" + prose(_STABILITY)),
            section("Members", members(CapabilityRecord)),
            section("Facts", prose(_FACTS) + asked),
            tail(page, page, edition, _RECORD),
        )
    )


def host_record_page(edition: Edition) -> str:
    """Return the page of the record of a host."""
    page = "onpanic-host-record"
    return "".join(
        (
            head(page, 5, edition.date, edition.source),
            section("Name", "onpanic\\-host\\-record \\- the record of a host, in JSON\n"),
            section("Synopsis", f"{bold('onpanic host --format json')}\n"),
            section("Description", prose(_HOST_RECORD) + ".PP\n" + prose(_STABILITY)),
            section("Members", members(HostRecord, CapabilityRecord)),
            tail(page, page, edition, _HOST_RECORD),
        )
    )


_RECORD = """
A record has all that is known about an emulator, or about the toolstack of a Xen host, and the decision
about every value of <on_panic>.  onpanic probe prints a record as one line of JSON.  It is an object of the
type CapabilityRecord, of which the other types are parts.
"""
_HOST_RECORD = """
A record has what is known about a host: its emulators or its Xen, its libvirt, and KVM.  onpanic host
prints it as one line of JSON; onpanic fleet verdict, onpanic fleet migrate, onpanic fleet diff and
onpanic to-libvirt read it.  It is an object of the type HostRecord, of which the other types are parts.
A CapabilityRecord is described in onpanic-record(5).
"""
_STABILITY = """
An optional member may be missing, and is then null or empty unless another default is stated.  A reader must
ignore members that it does not know: later versions may have more of them.  schema_version changes if a
member changes its meaning or is removed.
"""
_FACTS = """
The names of facts, each with what is asked, for which part of a record, and how the answer is obtained.
"""


def members(kind: type, *elsewhere: type) -> str:
    """Return the descriptions of a type and of those that it refers to, each in a subsection.

    :param elsewhere: Types that another page describes, with those that they refer to.
    """
    schema = msgspec.json.schema(kind)
    skipped = {name for other in elsewhere for name in msgspec.json.schema(other)["$defs"]}
    top, kinds = schema["$ref"].rpartition("/")[2], schema["$defs"]
    return "".join(_object(name, kinds[name]) for name in _reached(top, kinds) if name not in skipped)


def _reached(name: str, kinds: dict[str, Any], seen: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the names of a type and of those that it refers to, in the order of the reference."""
    if name in seen:
        return seen
    seen = (*seen, name)
    for other in re.findall(r"#/\$defs/(\w+)", msgspec.json.encode(kinds[name]).decode()):
        seen = _reached(other, kinds, seen)
    return seen


def _object(name: str, schema: dict[str, Any]) -> str:
    described = inspect.cleandoc(schema["description"])
    parameters = _parameters(described)
    lead = described.partition("\n\n:param")[0]
    entries = ""
    for member, kind in schema["properties"].items():
        fixed = member in schema.get("required", ()) or len(kind.get("enum", ())) == 1
        optional = "" if fixed else "; optional"
        if not fixed and kind.get("default") not in (None, "", [], (), {}):
            optional += f", default: {bold(json.dumps(kind['default']))}"
        tag = f"{bold(member)} ({escaped(_kind(kind))}{optional})"
        entries += tagged(tag, prose(_json(sentence(parameters[member]))))
    return f".SS {name}\n{prose(_json(lead))}{entries}"


def _kind(schema: dict[str, Any]) -> str:
    """Return the type of a member, for people."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return _or([json.dumps(value) for value in schema["enum"]])
    if "anyOf" in schema:
        return _or([_kind(one) for one in schema["anyOf"]])
    if "prefixItems" in schema:
        return f"array of {len(schema['prefixItems'])} {_plural(_kind(schema['prefixItems'][0]))}"
    if schema.get("type") == "array":
        return f"array of {_plural(_kind(schema['items']))}"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"object of {_plural(_kind(values))}" if values else "object"
    return _SCALARS[schema["type"]]


def _plural(kind: str) -> str:
    if kind.startswith('"'):
        return kind
    first, _, rest = kind.partition(" ")
    return f"{first}s {rest}".strip()


def _or(words: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _json(text: str) -> str:
    """Return a description with JSON's names of Python's constants."""
    return re.sub(
        r"\b(None|True|False)\b", lambda found: {"None": "null"}.get(found[0], found[0].lower()), text
    )


def _parameters(described: str) -> dict[str, str]:
    """Return what a docstring says of each parameter."""
    found = re.findall(r"^:param (\w+): (.*(?:\n[ \t]+.*)*)", described, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
