"""What is installed is pinned, and listed with its licence."""

import runpy
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOOL: dict[str, Any] = runpy.run_path(str(Path(__file__).parent.parent / "tools" / "dependencies.py"))


def pinned() -> set[str]:
    return {canonicalize_name(name) for name in TOOL["pins"]()}


def required(name: str, extras: frozenset[str], seen: set[tuple[str, str]]) -> Iterator[str]:
    """Yield what an installed package requires in this environment, and what that requires."""
    for extra in extras | {""}:
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for wanted in map(Requirement, metadata.requires(name) or ()):
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                found = canonicalize_name(wanted.name)
                yield found
                yield from required(found, frozenset(wanted.extras), seen)


def test_the_page_is_that_of_the_metadata() -> None:
    """`make docs` writes it."""
    assert TOOL["PAGE"].read_text(encoding="utf-8") == TOOL["page"]()


def test_every_dependency_has_a_licence() -> None:
    """Those of each extra, and what is pinned for them; it is what their metadata state."""
    listed = TOOL["listed_licences"]()
    asked = {canonicalize_name(name) for name in TOOL["asked_for"]()}
    assert asked | pinned() == listed.keys()
    assert [name for name, licence in listed.items() if not licence.strip()] == []
    versions = {canonicalize_name(name): version for name, version in TOOL["pins"]().items()}
    installed = [name for name in asked if metadata.version(name) == versions[name]]
    assert installed
    assert {name: TOOL["stated_licence"](name) for name in installed} == {
        name: listed[name] for name in installed
    }


def test_what_is_required_is_pinned() -> None:
    """Also what the packages need that pyproject.toml names."""
    direct = {canonicalize_name(name) for name in TOOL["asked_for"]()}
    seen: set[tuple[str, str]] = set()
    found = {inner for name in direct for inner in required(name, frozenset(), seen)}
    assert found | direct <= pinned()
