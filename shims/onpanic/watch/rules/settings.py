"""The watcher's settings, from a TOML file and from the command line.

A reload reads the file again; the options of the command line keep precedence over it.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from onpanic.core.errors import SettingsError
from onpanic.core.files import read_at_most
from onpanic.probe.decision.policy import LONGEST_GRACE, is_grace
from onpanic.watch.rules.dump_files import FORMATS

__all__ = ("Settings", "read_settings", "with_unit")

_SIZE_LIMIT = 2**20  # bytes
_HINT = "onpanic watch --help lists the settings"
_UNITS = ("", "K", "M", "G", "T")  # powers of 1024, as systemd has them
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)([KMGT]?)")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The watcher's settings.

    :param dump_dir: The directory for dumps of guests' memory, on the guests' host; empty for libvirt's own
        directory or, without libvirt, the watcher's working directory.
    :param dump_timeout: Seconds after which a dump is given up.
    :param dump_format: The formats of dumps, in order of preference: names in `FORMATS`, separated by commas.
    :param dump_paging: Whether a dump has the virtual addresses of the guest's memory; for ``elf`` without
        libvirt only.
    :param dump_quota: Bytes that the watcher's dumps in their directory may take, or a number with K, M, G or
        T; 0 for any number.
    :param dump_reserve: Bytes that must stay free on their file system, likewise; 0 for none.
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
    dump_quota: int | str = 0
    dump_reserve: int | str = 0
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
        _bytes_of("dump-quota", self.dump_quota)
        _bytes_of("dump-reserve", self.dump_reserve)

    @property
    def dump_formats(self) -> tuple[str, ...]:
        """The formats of dumps, in order of preference."""
        return tuple(dict.fromkeys(form.strip() for form in self.dump_format.split(",")))

    @property
    def limits_dumps(self) -> bool:
        """Whether the space that dumps take is limited."""
        return bool(self.quota_bytes or self.reserve_bytes)

    @property
    def quota_bytes(self) -> int:
        """What dumps may take; 0 for any number of bytes."""
        return _bytes_of("dump-quota", self.dump_quota)

    @property
    def reserve_bytes(self) -> int:
        """What must stay free."""
        return _bytes_of("dump-reserve", self.dump_reserve)


def with_unit(size: int) -> str:
    """Return a size as the settings take it, with one decimal place: ``1.5G``.

    :param size: Bytes.
    """
    value, unit = float(size), 0
    while abs(value) >= 1023.95 and unit + 1 < len(_UNITS):
        value, unit = value / 1024, unit + 1
    return f"{value:.1f}".removesuffix(".0") + _UNITS[unit]


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


def _bytes_of(name: str, value: int | str) -> int:
    """Return the bytes that a setting names.

    :raise SettingsError: When it names none.
    """
    found = _SIZE.fullmatch(str(value).strip())
    if not found:
        raise SettingsError(f"{name} must be a number of bytes, or one with K, M, G or T, not {value!r}")
    number, unit = found.groups()
    return int(float(number) * 1024 ** _UNITS.index(unit)) if unit or "." in number else int(number)


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
