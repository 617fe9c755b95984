"""The watcher's settings, from a TOML file and from the command line.

A reload reads the file again; the options of the command line keep precedence over it.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from onpanic.core.errors import SettingsError
from onpanic.core.files import read_at_most
from onpanic.probe.decision.policy import LONGEST_GRACE, is_grace
from onpanic.watch.rules.dump_files import FORMATS

__all__ = ("Settings", "read_settings")

_SIZE_LIMIT = 2**20  # bytes
_HINT = "onpanic watch --help lists the settings"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The watcher's settings.

    :param dump_dir: The directory for dumps of guests' memory, on the guests' host; empty for libvirt's own
        directory or, without libvirt, the watcher's working directory.
    :param dump_timeout: Seconds after which a dump is given up.
    :param dump_format: The formats of dumps, in order of preference: names in `FORMATS`, separated by commas.
    :param dump_paging: Whether a dump has the virtual addresses of the guest's memory; for ``elf`` without
        libvirt only.
    :param dumps: Dumps that may run at the same time.  A reload does not change it.
    :param progress: Seconds between log lines about the progress of a dump.
    :param start_limit: Restarts of a guest that are allowed within the interval; 0 for any number.
    :param start_interval: That interval, in seconds.
    :param grace: The grace period of policies that do not state one, in seconds; 0 for none, see `Policy`.
    :param hook: A command to run for each event and action, split as a shell would.
    :param hook_timeout: Seconds after which the hook is killed.
    :param start: A command that starts a guest without libvirt again, split as a shell would.
    :raise SettingsError: When a number is out of range, or a format is unknown.
    """

    dump_dir: str = ""
    dump_timeout: float = 3600.0
    dump_format: str = "elf"
    dump_paging: bool = False
    dumps: int = 2
    progress: float = 10.0
    start_limit: int = 5
    start_interval: float = 300.0
    grace: float = 0.0
    hook: str = ""
    hook_timeout: float = 30.0
    start: str = ""

    def __post_init__(self) -> None:
        for name in ("dump_timeout", "progress", "start_interval", "hook_timeout"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name.replace('_', '-')} must be more than 0 seconds")
        if self.dumps < 1 or self.start_limit < 0:
            raise SettingsError("dumps must be at least 1, and start-limit at least 0")
        if not is_grace(self.grace):
            raise SettingsError(f"grace must be from 0 to {LONGEST_GRACE:.0f} seconds")
        for form in self.dump_formats:
            if form not in FORMATS:
                raise SettingsError(f"dump-format has no {form!r}; the formats are {', '.join(FORMATS)}")
        if self.dump_paging and self.dump_formats != ("elf",):
            raise SettingsError("dump-paging is for dump-format elf alone")

    @property
    def dump_formats(self) -> tuple[str, ...]:
        """The formats of dumps, in order of preference."""
        return tuple(dict.fromkeys(form.strip() for form in self.dump_format.split(",")))


def read_settings(path: Path | None, options: Mapping[str, Any]) -> Settings:
    """Return the settings of a file, with some of them replaced.

    :param path: A TOML file in UTF-8; None for no file.
    :param options: Settings that replace the file's, by their names in `Settings`.
    :raise SettingsError: When the file cannot be read, or a setting is unknown or invalid.
    """
    found = _read(path) if path else {}
    found |= {name.replace("_", "-"): value for name, value in options.items()}
    try:
        return msgspec.convert(found, Settings)
    except (SystemError, ValueError, msgspec.ValidationError) as error:  # ValueError since msgspec 0.21
        raise SettingsError(f"{path or 'settings'}: {error}", _HINT) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        data = read_at_most(path, _SIZE_LIMIT)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}", "name another file with --config") from error
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8: {error.reason} at byte {error.start}", _HINT) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}", _HINT) from error
    except RecursionError as error:
        raise SettingsError(f"{path}: nested too deeply", _HINT) from error
    except ValueError as error:  # int's, of thousands of digits
        raise SettingsError(f"{path}: a number has too many digits", _HINT) from error
