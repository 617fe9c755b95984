"""Which emulators a host has: those of its libvirt and its programs as one list.  Pure functions."""

from collections.abc import Sequence

import msgspec

from onpanic.fleet.collecting.emulator_programs import (
    EmulatorProgram,
    architectures_of,
    identity_of,
    preferred,
)
from onpanic.fleet.collecting.libvirt_guests import GuestArchitecture

__all__ = ("EmulatorSeen", "emulators_seen")


class EmulatorSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An emulator that was found.  The members are those of `HostEmulator`.

    :param identity: Equal for two names of the same emulator.
    """

    identity: tuple[str, str]
    path: str
    other_paths: tuple[str, ...] = ()
    found_in: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    domain_types: tuple[str, ...] = ()


def emulators_seen(
    programs: Sequence[EmulatorProgram], guests: Sequence[GuestArchitecture] | None, host_target: str
) -> list[EmulatorSeen]:
    """Return a host's emulators, by path.

    :param programs: In the order in which a shell looks for them.
    :param guests: The guests that libvirt runs; None without libvirt: then the programs' names tell.
    :param host_target: QEMU's name of the host's own architecture.
    """
    names: dict[tuple[str, str], list[EmulatorProgram]] = {}
    for program in programs:
        names.setdefault(program.identity, []).append(program)
    known: dict[tuple[str, str], list[str]] = {}
    for guest in guests or ():
        for path in (*guest.emulators, guest.default):
            if path:
                known.setdefault(identity_of(path, host_target), []).append(path)
    runs = _by_name(programs) if guests is None else _by_libvirt(guests, host_target)
    types = _domain_types(guests or (), host_target)
    found = []
    for identity in dict.fromkeys([*names, *known]):
        own, theirs = names.get(identity, []), known.get(identity, [])
        path = theirs[0] if theirs else preferred(own).path
        others = dict.fromkeys([*(one.path for one in own), *theirs])
        found.append(
            EmulatorSeen(
                identity=identity,
                path=path,
                other_paths=tuple(sorted(one for one in others if one != path)),
                found_in=tuple(["libvirt"] * bool(theirs) + ["path"] * bool(own)),
                runs=tuple(sorted(a for a, one in runs.items() if one == identity)),
                domain_types=tuple(sorted(types.get(identity, ()))),
            )
        )
    return sorted(found, key=lambda one: one.path)


def _by_name(programs: Sequence[EmulatorProgram]) -> dict[str, tuple[str, str]]:
    """Return the identity of the emulator for each architecture, as `host_emulator` chooses it."""
    found: dict[str, tuple[str, str]] = {}
    for program in sorted(
        programs, key=lambda one: not one.path.rpartition("/")[2].startswith("qemu-system-")
    ):
        for architecture in architectures_of(program):
            found.setdefault(architecture, program.identity)
    return found


def _by_libvirt(guests: Sequence[GuestArchitecture], host_target: str) -> dict[str, tuple[str, str]]:
    return {guest.architecture: identity_of(guest.default, host_target) for guest in guests if guest.default}


def _domain_types(guests: Sequence[GuestArchitecture], host_target: str) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for guest in guests:
        for path, kinds in guest.emulators.items():
            found.setdefault(identity_of(path, host_target), set()).update(kinds)
    return found
