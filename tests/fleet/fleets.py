"""Hosts and fleets for tests, made of the records that the matrix is built from."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from zlib import crc32

import msgspec

from onpanic.fleet import Fleet, HostDocument, HostRecord, read_fleet
from onpanic.fleet.hosts.host_record import (
    HostCollected,
    HostEmulator,
    HostKvm,
    HostLibvirt,
    HostName,
    HostSystem,
)
from onpanic.probe import CapabilityRecord
from onpanic.shims import Libvirt

__all__ = ("NOW", "documents", "emulator", "fleet", "host", "record")

RECORDS = Path(__file__).parents[2] / "compat-matrix/records"

#: The present.
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)

# What libvirt calls the architecture of each target, where the names differ
_ARCHITECTURES = {"i386": "i686"}


@cache
def record(version: str, target: str = "x86_64") -> CapabilityRecord:
    """Return the record of a build, without excerpts.

    :param version: Such as ``7.2.22``; the first build that begins with it.
    """
    path = next(iter(sorted(RECORDS.glob(f"qemu-system-{target}-{version}*.json"))))
    found = CapabilityRecord.from_json(path.read_bytes())
    return msgspec.structs.replace(found, evidence=msgspec.UNSET)


def emulator(
    version: str, target: str = "x86_64", machines: Sequence[str] = ("pc", "q35"), *, kvm: bool = True
) -> HostEmulator:
    """Return an emulator of a host.

    :param machines: The machine types that were asked about.
    """
    known = record(version, target)
    asked = [known.machine(name) for name in machines]
    return HostEmulator(
        path=f"/usr/bin/qemu-system-{target}",
        found_in=["libvirt", "path"],
        runs=[_ARCHITECTURES.get(target, target)],
        domain_types=["qemu", "kvm"] if kvm else ["qemu"],
        machine_types=[machine.name for machine in known.machines],
        aliases={alias: machine.name for machine in known.machines for alias in machine.aliases},
        record=msgspec.structs.replace(known, machines=list({one.name: one for one in asked}.values())),
    )


def host(
    name: str = "kvm1",
    *,
    qemu: str = "7.2.22",
    libvirt: str | None = "9.0.0",
    machines: Sequence[str] = ("pc", "q35"),
    emulators: Sequence[HostEmulator] | None = None,
    at: str = "2026-11-27T11:00:00Z",
    id: str | None = "",  # noqa: A002
) -> HostRecord:
    """Return the record of a host.

    :param libvirt: The version; None for a host without libvirt.
    :param emulators: Those of the host; one for x86_64 of the version `qemu` if None.
    :param id: See `HostName`; one that is made from the name if empty.
    """
    asked = None if libvirt is None else msgspec.structs.replace(Libvirt.of(libvirt), known_by="asked")
    found = None if asked is None or libvirt is None else HostLibvirt.of("qemu:///system", libvirt, asked)
    return HostRecord(
        host=HostName(name, f"{crc32(name.encode()):032x}" if id == "" else id),
        collected=HostCollected(at, "onpanic 0.1.0", 0.9),
        system=HostSystem(
            os="Debian GNU/Linux 12 (bookworm)", kernel="6.1.0-31-amd64", architecture="x86_64"
        ),
        kvm=HostKvm(usable="yes", hyperv="yes", detail="KVM's interface is 12"),
        libvirt=found,
        libvirt_found="no" if found is None else "yes",
        emulators=list(emulators) if emulators is not None else [emulator(qemu, machines=machines)],
    )


def documents(hosts: Iterable[HostRecord]) -> list[HostDocument]:
    """Return the documents of hosts, as if each had a file."""
    return [HostDocument(f"{one.host.name}.json", one.to_json()) for one in hosts]


def fleet(*hosts: HostRecord) -> Fleet:
    """Return the fleet of some hosts."""
    return read_fleet(documents(hosts), NOW)
