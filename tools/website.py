"""Build the documentation as a site: `make site` writes it to build/site.

It needs no network.  A warning of Sphinx is an error.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from docsite.site_source import write_site_source
from sphinx.cmd.build import main as sphinx

ROOT = Path(__file__).parent.parent


def main() -> int:
    out = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "build/site"
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="onpanic-site-") as scratch:
        source = Path(scratch, "source")
        write_site_source(source)
        options = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet", "--jobs=auto"]
        status = sphinx([*options, "-d", f"{scratch}/doctrees", str(source), str(out)])
    if status == 0:
        print(out / "index.html")
    return status


if __name__ == "__main__":
    sys.exit(main())
