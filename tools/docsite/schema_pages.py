"""The members of the JSON documents, from the types that their schemas are made of."""

import json
from functools import cache

from manual.format_pages import members
from schemas import SCHEMAS

from docsite.command_pages import manual_links
from docsite.man_markdown import ManLinks, markdown_of_man, slug
from onpanic.fleet import HostRecord
from onpanic.probe import CapabilityRecord

__all__ = ("SCHEMA_FILES", "schema_contents", "type_pages")

#: The files that the site has beside its pages, by their names.
SCHEMA_FILES = {path.name: path for path in SCHEMAS.values()}
_PAGE = "reference/json.md"
#: What manual pages describe.
_MANUALS = {CapabilityRecord: "onpanic-record", HostRecord: "onpanic-host-record"}


def schema_contents() -> str:
    """Return what the page about JSON documents ends with: a section for each document.

    A type is described once: in a manual page, or with the first document that has it.
    """
    described: list[type] = list(_MANUALS)
    links = _links()
    made = []
    for kind, path in SCHEMAS.items():
        schema = f"Its JSON Schema is [{path.name}](site:../schemas/{path.name})."
        if kind in _MANUALS:
            page = _MANUALS[kind]
            made.append(f"## {kind.__name__}\n\nSee [{page}(5)](commands/{page}.md). {schema}\n")
            continue
        text = markdown_of_man(f".SH MEMBERS\n{members(kind, *described)}", links)
        described.append(kind)
        made.append(
            text.replace(f"## Members\n\n### {kind.__name__}\n", f"## {kind.__name__}\n\n{schema}\n", 1)
        )
    return "\n" + "\n".join(made)


@cache
def type_pages() -> dict[str, str]:
    """Return where each type of a document is described: the page of the site, and the anchor."""
    schemas = (json.loads(path.read_text("utf-8")) for path in SCHEMAS.values())
    types = {name: f"{_PAGE}#{slug(name)}" for schema in schemas for name in schema["$defs"]}
    return types | {name: f"reference/commands/{page}" for name, page in manual_links().types.items()}


def _links() -> ManLinks:
    """Return what the page can link to: manual pages, commands, and types."""
    manuals = manual_links()
    return ManLinks(
        {name: f"commands/{target}" for name, target in manuals.commands.items()},
        {name: f"commands/{target}" for name, target in manuals.manuals.items()},
        manuals.options,
        {name: page.removeprefix(_PAGE).removeprefix("reference/") for name, page in type_pages().items()},
    )
