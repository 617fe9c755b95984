"""How a libvirt domain is named in a command that somebody may copy."""

import re
from shlex import quote
from typing import Any

from onpanic.core.untrusted import printable

__all__ = ("virsh_name",)

# What virsh takes for an option, an ID or a UUID before it looks for a name
_AMBIGUOUS = re.compile(r"-.*|\+?[0-9]+|.{8}-.{4}-.{4}-.{4}-.{12}")


def virsh_name(domain: Any) -> str:
    """Return a word that names a domain, and no other one, in a command of virsh: its name if that will do.

    It is quoted for a shell.  Of a name that a terminal would not show as it is, the domain's UUID is
    returned.

    :param domain: A `libvirt.virDomain`.
    """
    name = str(domain.name())
    plain = printable(name) == name and not _AMBIGUOUS.fullmatch(name)
    return quote(name) if plain else str(domain.UUIDString())
