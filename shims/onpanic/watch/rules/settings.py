"""The watcher's settings, from a TOML file and from the command line.

A reload reads the file again; the options of the command line keep precedence over it.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from onpanic.core.errors import SettingsError
from onpanic.core.files import read_at_most
from onpanic.core.untrusted import printable
from onpanic.probe.decision.policy import LONGEST_GRACE, is_grace
from onpanic.watch.rules.dump_files import FORMATS

__all__ = ("Settings", "read_settings", "with_unit")

_SIZE_LIMIT = 2**20  # bytes
_LONGEST_READING = 60.0  # seconds
_HINT = "onpanic watch --help lists the settings"
_UNITS = ("", "K", "M", "G", "T")  # powers of 1024, as systemd has them
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)([KMGT]?)")
_OTHER_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*(?:([KMGT])(?:i?B)?|B)", re.IGNORECASE)  # 1GB, 10 GiB


class Settings(msgspec.Struct, frozen=True, rename="kebab"):
    """The watcher's settings.

    :param dump_dir: The directory for dumps of guests' memory, on the guests' host; empty for libvirt's own
        directory or, without libvirt, the watcher's working directory.
    :param dump_timeout: Seconds after which a dump is given up.
    :param dump_format: The formats of dumps, in order of preference, separated by commas.
    :param dump_paging: Whether a dump has the virtual addresses of the guest's memory; for ``elf`` without
        libvirt only.
    :param dump_quota: Bytes that the watcher's dumps in their directory may take, or a number with K, M, G or
        T; 0 for any number.
    :param dump_reserve: Bytes that must stay free on their file system, likewise; 0 for none.
    :param dumps: Dumps that may run at the same time.  A reload does not change it.
    :param progress: Seconds between log lines about the progress of a dump.
    :param start_limit: Restarts of a guest that are allowed within the interval; 0 for any number.
    :param start_interval: The interval in which restarts are counted, in seconds.
    :param grace: The grace period of policies that do not state one, in seconds; 0 for none.
    :param why_timeout: Seconds for reading why a guest panicked; 0 to not read it.
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
    why_timeout: float = 2.0
    hook: str = ""
    hook_timeout: float = 30.0
    start: str = ""

    def __post_init__(self) -> None:
        for name in ("dump_timeout", "progress", "start_interval", "hook_timeout"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name.replace('_', '-')} must be more than 0 seconds")
        if not 0 <= self.why_timeout <= _LONGEST_READING:
            raise SettingsError(f"why-timeout must be from 0 to {_LONGEST_READING:g} seconds")
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


_DEFAULTS = {field.encode_name: field.default for field in msgspec.structs.fields(Settings)}
_SIZES = ("dump-quota", "dump-reserve")
_KINDS = {
    bool: "true or false",
    float: "a number of seconds",
    int: "a whole number",
    str: "a text in quotation marks",
}


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
    :param options: Settings that replace the file's, by their names in `Settings`; numbers may be texts.
    :raise SettingsError: When the file cannot be read, or a setting is unknown or invalid.
    """
    named = {name.replace("_", "-"): value for name, value in options.items()}
    stated = {name: _from_text(name, value) for name, value in named.items()}
    settings = _settings("settings", stated)
    return _settings(str(path), _read(path) | stated) if path else settings


def _settings(source: str, values: Mapping[str, Any]) -> Settings:
    """Return settings of any values.

    :param source: Where the values are from.
    :param values: Values by the names that a file has, such as ``dump-dir``.
    :raise SettingsError: When a setting is unknown or invalid.
    """
    try:
        return Settings(**{name.replace("-", "_"): _checked(name, value) for name, value in values.items()})
    except SettingsError as error:
        raise SettingsError(f"{source}: {error.message}", error.hint or _HINT) from error


def _from_text(name: str, value: Any) -> Any:
    """Return the value of an option, a number if it is one and the setting takes one."""
    kind = type(_DEFAULTS[name]) if name in _DEFAULTS else str
    if isinstance(value, str) and kind in (int, float) and name not in _SIZES:
        with suppress(ValueError):
            return kind(value)
    return value


def _checked(name: str, value: Any) -> Any:
    """Return a setting's value as `Settings` has it.

    :raise SettingsError: When there is no such setting, or it takes no value of this type.
    """
    shown = printable(name, 40)
    if name not in _DEFAULTS:
        close = difflib.get_close_matches(name, _DEFAULTS, 1)
        hint = f"did you mean {close[0]}?" if close else ""
        raise SettingsError(f"unknown setting {shown!r}", hint)
    kind = type(_DEFAULTS[name])
    if name in _SIZES and type(value) in (int, str):
        return value
    if kind is float and type(value) is int:
        with suppress(OverflowError):
            return float(value)
    elif type(value) is kind:
        return value
    raise SettingsError(f"{shown} must be {_KINDS[kind]}, not {printable(repr(value), 40)}")


def _bytes_of(name: str, value: int | str) -> int:
    """Return the bytes that a setting names.

    :raise SettingsError: When it names none.
    """
    text = str(value).strip()
    found = _SIZE.fullmatch(text)
    if not found:
        other = _OTHER_SIZE.fullmatch(text)
        raise SettingsError(
            f"{name} must be a number of bytes, or one with K, M, G or T, not {printable(repr(value), 40)}",
            f"write {other[1]}{(other[2] or '').upper()}" if other else "",
        )
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
