"""How the optional dependencies of an extra are installed: with pip, unless a distribution says otherwise.

A distribution that packages onpanic installs a file `COMMANDS`.  It is TOML: a key for each extra of
``pyproject.toml``, and as its value the command that installs the distribution's packages::

    xml = "apt install python3-lxml"
"""

import shlex
import sys
import tomllib
from pathlib import Path

__all__ = ("COMMANDS", "install_command")

#: The distribution's file; an installation with pip has none.
COMMANDS = Path(__file__).with_name("extras.toml")


def install_command(extra: str, commands: Path = COMMANDS) -> str:
    """Return the command that installs what an extra needs.

    pip's command is that of this Python: the pip of another one does not see this onpanic, and would look for
    the name on an index.

    :param extra: Its name.
    :param commands: The distribution's file; pip's command if there is none, or if it lacks the extra.
    :raise ValueError: When the file is not TOML.
    """
    try:
        known = tomllib.loads(commands.read_text("utf-8"))
    except FileNotFoundError:
        known = {}
    return str(known.get(extra) or f"{shlex.quote(sys.executable)} -m pip install 'onpanic[{extra}]'")
