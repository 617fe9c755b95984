"""Write docs/reference/dependencies.md, what onpanic needs and under which licences: `make docs`."""

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/reference/dependencies.md"
HEAD = """\
# Dependencies

onpanic is under the [MIT licence](../../LICENSE). It imports the packages that are listed here, and its own packages contain nothing of
them. The licence of each is what its metadata state. `make docs` writes this page from `pyproject.toml`, `constraints.txt` and the
metadata of what is installed.

## What users install

pip chooses the versions within these ranges. [Install onpanic](../how-to/installing.md#extras) says what each extra is for. The extra `all` has
those of the other extras.

| package | version | for | licence |
|---|---|---|---|
"""
PINS = """
## What the developers' environment has

`constraints.txt` pins everything that `make test` installs, what these packages need included. A user who wants the versions that
the tests ran on gives the file to pip: `pip install --constraint constraints.txt '.[watch]'`.

| package | version | licence |
|---|---|---|
"""
FOOT = """
What the tests of the Ansible collection run in an environment of their own is pinned in `tests/ansible/requirements.txt`.

## Programs

onpanic starts other programs, and contains none of them: QEMU, and where they are used `xl`, `apt-get`, `dpkg-deb`, `bwrap` and `sh`.
"""
#: Extras that are not what a user installs one by one.
NO_USERS_EXTRA = ("all", "dev")
_ROW = re.compile(r"^\| (?!package )([\w.-]+) \|.* \| ([^|]+) \|$", re.ASCII | re.MULTILINE)


def asked_for() -> dict[str, dict[str, list[str]]]:
    """Return the packages of pyproject.toml with their ranges, and the extras of each: ``""`` for none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, dict[str, list[str]]] = {}
    for extra, texts in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        for wanted in map(Requirement, texts):
            if wanted.name != project["name"]:
                ranges = found.setdefault(wanted.name, {})
                ranges.setdefault(", ".join(sorted(map(str, wanted.specifier), reverse=True)), []).append(
                    extra
                )
    return found


def pins() -> dict[str, str]:
    """Return the versions of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [line.split("==") for line in lines if line and not line.startswith("#")]
    return dict(
        sorted(((name, version) for name, version in found), key=lambda pin: canonicalize_name(pin[0]))
    )


def stated_licence(name: str) -> str:
    """Return the licence that an installed package's metadata state; empty if they state none.

    :raise metadata.PackageNotFoundError: When it is not installed.
    """
    about = metadata.metadata(name)
    text: str = (about.get_all("License-Expression") or about.get_all("License") or [""])[0]
    if 0 < len(text) < 60 and "\n" not in text:
        return text
    classifiers = [c for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
    return "; ".join(c.rpartition(" :: ")[2] for c in classifiers)


def listed_licences() -> dict[str, str]:
    """Return the licences that the page states."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    return {canonicalize_name(name): licence for name, licence in _ROW.findall(text)}


def page() -> str:
    """Return the page.  What is not installed, or in another version, has the licence that it had."""
    listed, pinned = listed_licences(), pins()
    versions = {canonicalize_name(name): version for name, version in pinned.items()}

    def licence(name: str) -> str:
        key = canonicalize_name(name)
        try:
            if key not in listed or metadata.version(name) == versions.get(key):
                return stated_licence(name)
        except metadata.PackageNotFoundError:
            pass
        return listed.get(key, "")

    def rows() -> Iterator[str]:
        for name, ranges in sorted(asked_for().items()):
            for version, extras in ranges.items():
                users = [extra for extra in extras if extra not in NO_USERS_EXTRA]
                if users:
                    what = ", ".join(f"`{extra}`" if extra else "everything" for extra in users)
                    yield f"| {name} | {version} | {what} | {licence(name)} |\n"
        yield PINS
        for name, version in pinned.items():
            yield f"| {name} | {version} | {licence(name)} |\n"

    return "".join([HEAD, *rows(), FOOT])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
