"""How to act: settings, from a file in TOML and from the command line.

A reload reads the file again; what the command line says stays.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from onpanic.probe.errors import OnpanicError

__all__ = ("Settings", "read_settings")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """How to act.

    :param dump_dir: Where the memory of guests goes, on the host that they run on; empty for where
        libvirt puts its own, or QEMU's folder.
    :param dump_timeout: Seconds after which a dump is given up.
    :param dumps: How many dumps may go on at once; taken when the watcher starts.
    :param progress: Seconds between lines on how far a dump is.
    :param start_limit: Restarts of a guest that are allowed in an interval; 0 for any number.
    :param start_interval: Seconds.
    :param hook: A command that is called for each thing seen and done, as in a shell.
    :param hook_timeout: Seconds after which it is ended.
    :param start: A command that starts a guest again that is not libvirt's, as in a shell.
    """

    dump_dir: str = ""
    dump_timeout: float = 3600.0
    dumps: int = 2
    progress: float = 10.0
    start_limit: int = 5
    start_interval: float = 300.0
    hook: str = ""
    hook_timeout: float = 30.0
    start: str = ""

    def __post_init__(self) -> None:
        for name in ("dump_timeout", "progress", "start_interval", "hook_timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name.replace('_', '-')} has to be more than 0 seconds")
        if self.dumps < 1 or self.start_limit < 0:
            raise ValueError("dumps has to be at least 1, and start-limit at least 0")


def read_settings(path: Path | None, said: Mapping[str, Any]) -> Settings:
    """Return the settings of a file, and those that were said in its place.

    :param path: The file; None for none.
    :param said: Settings by their names in `Settings`; they count more than the file's.
    :raise OnpanicError: When the file cannot be read, or says what makes no sense.
    """
    name = path or "settings"
    try:
        found = tomllib.loads(path.read_text()) if path else {}
        found |= {key.replace("_", "-"): value for key, value in said.items()}
        return msgspec.convert(found, Settings)
    except OSError as error:
        raise OnpanicError(f"{path}: {error.strerror}", "name another file with --config") from error
    except ValueError as error:  # msgspec's and tomllib's are, too
        raise OnpanicError(f"{name}: {error}", "onpanic watch --help lists the settings") from error
