"""The directory of libvirt's own dumps: ``auto_dump_path`` of its qemu.conf, or the default."""

import os
import re
from pathlib import Path
from urllib.parse import parse_qs

from onpanic.core.errors import MissingExtraError
from onpanic.core.files import read_at_most
from onpanic.shims.translation.local_uri import split_local_uri

__all__ = ("dump_folder",)

_SYSTEM = ("/etc/libvirt/qemu.conf", "/var/lib/libvirt/qemu/dump")
_SIZE_LIMIT = 2**20  # bytes
# libvirt's configuration format (virConf): a string in either kind of quotes; the last setting holds
_SETTING = re.compile(r"""^[ \t]*auto_dump_path[ \t]*=[ \t]*(?:"([^"\n]*)"|'([^'\n]*)')""", re.MULTILINE)


def dump_folder(uri: str, system: tuple[str, str] = _SYSTEM, session: Path | None = None) -> str:
    """Return the directory to which a QEMU driver of libvirt dumps the memory of crashed guests.

    :param uri: What libvirt says is the URI of the connection.
    :param system: The qemu.conf of the system's libvirt, and its directory by default.
    :param session: The configuration directory of the user's libvirt, which may be another user's; None to
        guess it from the URI and this user's.
    :raise MissingExtraError: When platformdirs is not installed and the URI is that of a user's libvirt.
    """
    parts = split_local_uri(uri)
    if parts is None:  # the configuration is on another host
        return system[1]
    query = parse_qs(parts.query)
    if parts.path == "/embed":
        root = Path(query.get("root", [""])[0])
        return _auto_dump_path(root / "etc/qemu.conf") or str(root / "lib/qemu/dump")
    if parts.path == "/session":
        folder = session or _session_folder(query.get("socket", [""])[0])
        return _auto_dump_path(folder / "qemu.conf") or str(folder / "qemu/dump")
    return _auto_dump_path(Path(system[0])) or system[1]


def _session_folder(socket_path: str) -> Path:
    """Return the configuration directory of a user's libvirt, which also has its dumps.

    A daemon of another place, named by its socket, has all its files beside the socket.

    :param socket_path: The socket that the URI names; empty if it names none.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    beside = Path(socket_path).parent
    if socket_path and (
        not runtime or beside != Path(runtime) / "libvirt" or (beside / "qemu.conf").exists()
    ):
        return beside
    try:
        from platformdirs import user_config_path
    except ImportError as error:
        raise MissingExtraError("platformdirs", "watch") from error
    return user_config_path("libvirt")


def _auto_dump_path(path: Path) -> str:
    """Return the setting of a qemu.conf; empty if it has none, or cannot be read."""
    try:
        text = read_at_most(path, _SIZE_LIMIT).decode("utf-8", "surrogateescape")
    except (OSError, ValueError):
        return ""
    found = _SETTING.findall(text)
    return "".join(found[-1]) if found else ""
