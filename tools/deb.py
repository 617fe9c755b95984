"""Build the Debian packages in a clean root, and check them with lintian: `make deb`."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Build them; return the exit status: 1 if lintian has something to say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder for the packages")
    parser.add_argument("--suite", default="trixie", help="Debian's suite (default: trixie)")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))  # the tests know how to build them
    from tests.running.debian_builds import build_debs, build_requirements, lint, pack_sources
    from tests.running.debian_root import open_root, root_archive

    from onpanic.core.errors import OnpanicError

    try:
        print(f"making a root of {options.suite}, unless there is one", flush=True)
        archive = root_archive(options.suite, build_requirements())
        with tempfile.TemporaryDirectory() as scratch, open_root(archive, Path(scratch)) as root:
            print("building", flush=True)
            pack_sources(Path(scratch))
            build_debs(root)
            said = lint(root)
            options.folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(Path(scratch).glob("*onpanic*_*")):
                shutil.copy(path, options.folder)
                print(options.folder / path.name)
    except OnpanicError as error:
        print(f"{error.message}\nnext: {error.hint}", file=sys.stderr)
        return 2
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 2
    print(said or "lintian has nothing to say")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
