"""What Fedora's %pyproject macros are documented to do, as a program that macros of the tests start.

It is a stand-in, written from the documentation of the macros.  It knows what the spec file of this
project uses, and nothing else.  It runs on its own: nothing of the project is imported.
"""

import argparse
import csv
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterable
from pathlib import Path

__all__ = ("check_import", "install", "main", "requirements", "save_files")


def requirements(project: Path, extras: Iterable[str]) -> list[str]:
    """Return what a build requires: the backend, the dependencies, and those of extras, as RPM has them."""
    metadata = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    needed = [*metadata["build-system"]["requires"], *metadata["project"].get("dependencies", [])]
    for extra in extras:
        needed += metadata["project"]["optional-dependencies"][extra]
    return sorted({line for one in needed for line in _capabilities(one)})


def _capabilities(requirement: str) -> list[str]:
    name, specifiers = re.fullmatch(r"([\w.-]+)\s*(.*)", requirement).groups()  # type: ignore[union-attr]
    capability = f"python3dist({re.sub(r'[-_.]+', '-', name).lower()})"
    return [f"{capability} {one.strip()}" for one in specifiers.split(",") if one] or [capability]


def install(wheels: Path, root: Path) -> None:
    """Install the only wheel below a root, with the shebang of the distribution's interpreter."""
    (wheel,) = wheels.glob("*.whl")
    _run("-m", "pip", "--no-cache-dir", "--disable-pip-version-check", "install", "--quiet",
         "--root", str(root), "--prefix", "/usr", "--no-deps", "--no-index", "--no-compile",
         "--ignore-installed", "--no-warn-script-location", str(wheel))  # fmt: skip
    for script in (root / "usr/bin").iterdir():
        text = script.read_text("utf-8")
        script.write_text(re.sub(r"\A#!.*", "#!/usr/bin/python3 -sP", text), "utf-8")


def save_files(root: Path, site: str, names: Collection[str]) -> tuple[list[str], list[str]]:
    """Return lines for ``%files -f``, and the names of the modules, of top-level modules and the metadata.

    The licence is marked as such; that there is none is an error.
    """
    (info,) = (root / site.lstrip("/")).glob("*.dist-info")
    with (info / "RECORD").open(encoding="utf-8", newline="") as file:
        recorded = [Path(row[0]) for row in csv.reader(file)]
    (info / "RECORD").unlink()  # what RPM installs is not pip's to remove
    (info / "REQUESTED").unlink(missing_ok=True)
    kept = {info.name, *names, *(f"{name}.py" for name in names)}
    lines, modules, folders = [], [], set()
    for path in recorded:
        top = path.parts[0]
        if top not in kept or not (info.parent / path).exists():
            continue
        folders |= {parent for parent in path.parents if parent.parts}
        kind = "%license " if top == info.name and "licenses" in path.parts else ""
        lines.append(f"{kind}{site}/{path}")
        if path.suffix == ".py" and path.stem != "__main__":
            modules.append(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    if not any(line.startswith("%license ") for line in lines):
        sys.exit("the metadata have no licence file")
    return [*(f"%dir {site}/{folder}" for folder in sorted(folders)), *lines], modules


def check_import(path: str, names: Iterable[str]) -> None:
    """Import modules from a folder.

    :raise ImportError: When one cannot be imported.
    """
    sys.path.insert(0, path)
    for name in names:
        importlib.import_module(name)


def main() -> None:
    """Carry out one of the macros."""
    parser = argparse.ArgumentParser()
    parser.add_argument("macro")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--site")
    parser.add_argument("--state", type=Path)
    parser.add_argument("-l", action="store_true")
    parser.add_argument("-x", default="")
    parser.add_argument("names", nargs="*")
    given = parser.parse_intermixed_args()
    state: Path = given.state
    state.mkdir(exist_ok=True)
    match given.macro:
        case "buildrequires":
            print("\n".join(requirements(Path(), filter(None, given.x.split(",")))))
        case "wheel":
            _run("-m", "pip", "--no-cache-dir", "--disable-pip-version-check", "wheel", "--quiet",
                 "--no-deps", "--no-index", "--no-build-isolation", "-w", str(state), ".")  # fmt: skip
        case "install":
            install(state, given.root)
        case "save_files":
            assert given.l, "-l checks that there is a licence"
            lines, modules = save_files(given.root, given.site, given.names)
            (state / "files").write_text("\n".join(lines) + "\n", "utf-8")
            (state / "modules").write_text("\n".join(modules), "utf-8")
        case "check_import":
            check_import(f"{given.root}{given.site}", (state / "modules").read_text("utf-8").split())


def _run(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True)


if __name__ == "__main__":
    main()
