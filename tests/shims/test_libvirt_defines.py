"""What to-libvirt accepts, libvirt defines; and what it refuses because of libvirt, libvirt refuses.

The domains are generated.  Most are only parsed, which takes libvirt a millisecond.
"""

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest

from onpanic.core.errors import OnpanicError, RefusedError
from onpanic.probe import CapabilityRecord
from onpanic.probe.decision.policy import Policy
from onpanic.shims import Libvirt, from_libvirt, to_libvirt
from onpanic.shims.domain_xml.domain_machine import DomainMachine

from ..running.libvirtd import EVERY
from .generated_domains import GeneratedDomain, generated_domain

RECORDS = Path(__file__).parents[2] / "compat-matrix/records"

#: How many domains each test generates.
DOMAINS = int(os.environ.get("ONPANIC_DOMAINS", "1000"))

#: The architectures of the suite that has the emulators of all of them; the others have x86_64 and i686.
ARCHITECTURES = ("x86_64", "aarch64", "riscv64", "ppc64", "s390x")

#: The refusals that say that libvirt would refuse the domain whatever its policy is.
BECAUSE_OF_LIBVIRT = (
    "lifecycle-action-refused",
    "no-default-panic-model",
    "no-such-panic-model",
    "panic-address-refused",
    "panic-model-twice",
    "panic-model-without-device",
)

pytestmark = [pytest.mark.libvirt, pytest.mark.libvirts(*EVERY)]

Refusal = Callable[[str], str]


@pytest.fixture
def refusal(connection: Any, libvirt: Any) -> Refusal:
    """Return a function that returns why libvirt refuses a domain; empty if it accepts it."""

    def ask(xml: str) -> str:
        try:
            connection.domainXMLToNative("qemu-argv", xml)
        except libvirt.libvirtError as error:
            return str(error)
        return ""

    return ask


@pytest.fixture(scope="session")
def record_of() -> Callable[[int, str], CapabilityRecord]:
    """Return a function that returns the published record of a QEMU, by libvirt's number of its version."""

    @cache
    def read(version: int, target: str) -> CapabilityRecord:
        found = {}
        for path in RECORDS.glob(f"qemu-system-{target}-[0-9]*-Debian-*.json"):
            record = CapabilityRecord.from_json(path.read_bytes())
            major, minor, micro = map(int, str(record.emulator.version).split("."))
            found[abs(version - major * 1_000_000 - minor * 1_000 - micro)] = record
        return found[min(found)]

    return read


@pytest.fixture
def emulator(connection: Any, record_of: Callable[[int, str], CapabilityRecord]) -> Any:
    """Return what stands for the emulators of this libvirt."""
    version = connection.getVersion()
    return lambda machine: record_of(version, _target(machine))


@pytest.fixture
def domains(libvirt_name: str) -> Iterator[GeneratedDomain]:
    """Return generated domains, always the same ones."""
    architectures = ARCHITECTURES if libvirt_name == "trixie" else ARCHITECTURES[:1]
    return (generated_domain(Random(seed), architectures) for seed in range(DOMAINS))


def _target(machine: DomainMachine) -> str:
    return {"i686": "i386", "armv7l": "arm"}.get(str(machine.arch), str(machine.arch))


def test_what_is_accepted_is_defined(
    domains: Iterator[GeneratedDomain], emulator: Any, refusal: Refusal, connection: Any
) -> None:
    """libvirt accepts every translation, unless it refuses the domain for other reasons."""
    libvirt = Libvirt.of_connection(connection)
    wrong: list[tuple[str, str]] = []
    accepted = 0
    for generated in domains:
        try:
            there = to_libvirt(generated.xml, emulator, libvirt=libvirt)
        except OnpanicError:
            continue
        refused = refusal(there.xml)
        if refused and not refusal(generated.without):
            wrong.append((refused, generated.xml))
        accepted += not refused
        if accepted % 20 == 1 and not refused:
            defined = connection.defineXML(there.xml)
            printed = defined.XMLDesc()
            assert from_libvirt(printed).policy == there.policy
            assert to_libvirt(printed, emulator, libvirt=libvirt).xml == printed
            defined.undefine()
    assert wrong == []
    assert accepted > DOMAINS / 10


def test_what_is_refused_because_of_libvirt_is_refused_by_it(
    domains: Iterator[GeneratedDomain], emulator: Any, refusal: Refusal, connection: Any
) -> None:
    """Whatever the policy is."""
    libvirt = Libvirt.of_connection(connection)
    wrong: list[tuple[str, str]] = []
    found = set()
    for generated in domains:
        try:
            to_libvirt(generated.xml, emulator, libvirt=libvirt)
        except RefusedError as error:
            if error.decision.code in BECAUSE_OF_LIBVIRT:
                found.add(error.decision.code)
                if not refusal(generated.unstated):
                    wrong.append((str(error), generated.unstated))
        except OnpanicError:
            continue
    assert wrong == []
    assert len(found) > 2


def test_what_is_accepted_is_defined_by_the_test_driver(
    record_of: Callable[[int, str], CapabilityRecord], test_driver: Any, libvirt: Any
) -> None:
    """It accepts every panic device."""
    installed = Libvirt.of_connection(test_driver)
    wrong: list[tuple[str, str]] = []
    accepted = 0

    def is_defined(xml: str, policy: Policy | None) -> str:
        try:
            defined = test_driver.defineXML(xml)
        except libvirt.libvirtError as error:
            return str(error)
        assert policy is None or from_libvirt(defined.XMLDesc()).policy == policy
        defined.undefine()
        return ""

    for seed in range(DOMAINS):
        generated = generated_domain(Random(seed), ("x86_64", "i686"), ("test",))
        try:
            there = to_libvirt(
                generated.xml, lambda asked: record_of(7_002_022, _target(asked)), libvirt=installed
            )
        except OnpanicError:
            continue
        refused = is_defined(there.xml, there.policy)
        if refused and not is_defined(generated.without, None):
            wrong.append((refused, generated.xml))
        accepted += not refused
    assert wrong == []
    assert accepted > DOMAINS / 10
