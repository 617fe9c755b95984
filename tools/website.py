"""Build the documentation as a site: `make site` writes it to build/site.

It needs no network.  A warning of Sphinx is an error.  When it fails or is cancelled, an earlier site stays.
"""

import argparse
import signal
import sys
from pathlib import Path

from docsite.site_build import SiteError, build_site

ROOT = Path(__file__).parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the documentation as a site.")
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "build/site", help="default: build/site")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it removes what it has made, too
    try:
        build_site(arguments.out)
    except (SiteError, OSError) as error:
        print(f"website: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("website: cancelled", file=sys.stderr)
        return 130
    print(arguments.out / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
