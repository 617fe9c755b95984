"""Domains with everything in them that bears on a panic, generated from a seed."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

__all__ = ("KINDS", "MACHINES", "GeneratedDomain", "generated_domain")

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"

#: Architectures, as libvirt calls them, with machine types; empty to leave the choice to libvirt.
MACHINES = {
    "x86_64": ("pc", "q35", "isapc", "microvm", ""),
    "i686": ("pc", "q35"),
    "aarch64": ("virt", "virt-7.2", "sbsa-ref", ""),
    "armv7l": ("virt", "vexpress-a15"),
    "riscv64": ("virt", "sifive_u"),
    "ppc64": ("pseries", "powernv", ""),
    "s390x": ("s390-ccw-virtio", ""),
}

#: libvirt's domain types; most hosts of tests have no KVM.
KINDS = (*["qemu"] * 12, "kvm", "hvf")

_MODELS = (
    *(None, None, None, "", "isa", "isa", "pvpanic", "pvpanic", "hyperv"),
    *("pseries", "s390", "default", "x"),
)
_ADDRESSES = (
    *[""] * 12,
    "<address type='isa' iobase='0x505'/>",
    "<address type='isa'/>",
    "<address type='pci'/>",
    "<address type='pci' domain='0x0000' bus='0x00' slot='0x1c' function='0x0'/>",
    "<address type='spapr-vio' reg='0x30000000'/>",
    "<address type='ccw' cssid='0xfe' ssid='0x0' devno='0x0009'/>",
    "<address type='none'/>",
    "<address/>",
    "<address type='isa' iobase='0x600'/><alias name='panic0'/>",
    "<alias name='panic0'/>",
    "<address type='isa' iobase='+0x505' irq='5'/>",
    "<address type='isa' iobase='1285.'/>",
    "<address type='isa' iobase='0x505' irq=''/>",
    "<address type='pci' domain='0x0001' slot='0x1c'/>",
    "<address type='pci' bus='0x01' slot='0x1c'/>",
    "<address type='pci' slot='0x20'/>",
    "<address type='pci' slot='034' function='0x8'/>",
    "<address type='pci' slot='034' multifunction='on'/>",
    "<address type='pci' slot='28' multifunction='yes'/>",
    "<address type='pci' slot='x'/>",
    "<address type='pci' function='0x9'/>",
)
_ACTIONS = (*[""] * 40, *["destroy", "restart"] * 20)
_UNUSUAL_ACTIONS = (
    "preserve",
    "rename-restart",
    "coredump-destroy",
    "coredump-restart",
    "preserve-running",
    "ignore",
    "soft-reset",
)
_POLICIES = ("ignore", "default", "restart", "restart", "destroy", "preserve", "rename-restart", "pause")
_OPTIONS = (
    "-no-reboot",
    "-no-shutdown",
    "-action panic=none",
    "-action panic=exit-failure",
    "-action reboot=shutdown",
    "-action shutdown=poweroff",
    "-device pvpanic",
    "-device pvpanic-pci",
    "-device pvpanic,events=2",
    '-device {"driver":"pvpanic"}',
    "-device vmcoreinfo",
    "-global pvpanic.events=0",
    "-cpu host,hv-relaxed",
    "-readconfig /dev/null",
    "-name x",
)
_FEATURES = (
    "<acpi/>",
    "<acpi/>",
    "<acpi/>",
    "<apic/>",
    "<hyperv><relaxed state='on'/></hyperv>",
    "<hyperv mode='passthrough'/>",
    "<vmcoreinfo/>",
    "<vmcoreinfo state='off'/>",
)
_SECURITY = (
    (
        "<launchSecurity type='sev'><cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits>"
        "<policy>0x0003</policy></launchSecurity>"
    ),
    "<launchSecurity type='sev-snp'><policy>0x30000</policy></launchSecurity>",
    "<launchSecurity type='tdx'><policy>0x10000001</policy></launchSecurity>",
    "<launchSecurity type='s390-pv'/>",
)
_METADATA = ("<metadata/>", "<metadata>\n  </metadata>", "<metadata><a xmlns='urn:a'/></metadata>")


class GeneratedDomain(NamedTuple):
    """A domain that states a policy.

    :param xml: The domain.
    :param without: The same without its policy, its actions and its panic devices: if libvirt refuses it, the
        domain is none.
    :param unstated: The same with everything but ``<on_panic>`` and ``<on_crash>``, which libvirt lacks.
    """

    xml: str
    without: str
    unstated: str


def generated_domain(
    random: Random, architectures: Sequence[str], kinds: Sequence[str] = KINDS
) -> GeneratedDomain:
    """Return a domain for one of these architectures, and of one of these types."""
    arch = random.choice(architectures)
    machine = random.choice(MACHINES[arch])
    kind = random.choice(kinds)
    system = f"<os><type arch='{arch}'{f' machine={machine!r}' if machine else ''}>hvm</type></os>"
    head = f"<domain type='{kind}' xmlns:qemu='{QEMU}'>\n  <name>generated</name>\n"
    head += f"  <memory unit='MiB'>64</memory>\n  {system}\n"
    rest = [f"<features>{''.join(random.sample(_FEATURES, random.randint(0, 3)))}</features>"]
    rest += [random.choice(_METADATA)] * (random.random() < 0.2)
    rest += [random.choice(_SECURITY)] * (random.random() < 0.05)
    panics = [_panic(random) for _ in range(random.choice((0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 3)))]
    events = [_element(random, name) for name in ("on_poweroff", "on_reboot")]
    policy = [_policy(random), _on_crash(random)]
    arguments = _arguments(random) if random.random() < 0.25 else ""
    bare = ["<controller type='usb' model='none'/>", "<memballoon model='none'/>"]

    def domain(stated: list[str], actions: list[str], devices: list[str]) -> str:
        parts = [*rest, *stated, *actions, f"<devices>{''.join([*bare, *devices])}</devices>", arguments]
        return head + "".join(f"  {part}\n" for part in parts if part) + "</domain>\n"

    return GeneratedDomain(domain(policy, events, panics), domain([], [], []), domain([], events, panics))


def _panic(random: Random) -> str:
    model, address = random.choice(_MODELS), random.choice(_ADDRESSES)
    start = "<panic" if model is None else f"<panic model='{model}'"
    return f"{start}>{address}</panic>" if address else f"{start}/>"


def _element(random: Random, name: str) -> str:
    value = random.choice(_UNUSUAL_ACTIONS if random.random() < 0.07 else _ACTIONS)
    if random.random() < 0.05:
        return f"<{name}/>"
    return f"<{name}>{value}</{name}>" if value else ""


def _policy(random: Random) -> str:
    dumps = " coredump='yes'" if random.random() < 0.3 else ""
    grace = random.choice((*[""] * 5, " grace='0'", " grace='30'"))
    return f"<on_panic{dumps}{grace}>{random.choice(_POLICIES[2 * bool(dumps) :])}</on_panic>"


def _on_crash(random: Random) -> str:
    if random.random() < 0.3:
        return f"<on_crash>{random.choice((*_UNUSUAL_ACTIONS, 'destroy', 'restart'))}</on_crash>"
    if random.random() < 0.1:
        return f"<on_crash coredump='yes'>{random.choice(('destroy', 'restart', 'preserve'))}</on_crash>"
    return _element(random, "on_crash")


def _arguments(random: Random) -> str:
    words = " ".join(random.sample(_OPTIONS, random.randint(0, 3))).split()
    arguments = "".join(f"<qemu:arg value='{word.replace(chr(34), '&quot;')}'/>" for word in words)
    return f"<qemu:commandline>{arguments}</qemu:commandline>"
