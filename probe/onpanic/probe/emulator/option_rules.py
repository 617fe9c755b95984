"""What a probe does with an option of QEMU, by the option's value: keep it, replace it, or leave it out."""

import json
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from onpanic.probe.emulator.needs_kvm import (
    NEED_HYPERV,
    cpu_without_kvm,
    device_needs_kvm,
    machine_without_kvm,
)
from onpanic.probe.emulator.option_table import (
    ACCELERATOR,
    AUDIO,
    CODE,
    CONNECTS,
    FILES,
    HOST_DEVICE,
    KVM,
    MEMORY,
    OPTIONS,
    PROCESS,
    WRITES,
)
from onpanic.probe.emulator.option_value import properties, without_properties

__all__ = ("Verdict", "ids_in", "judge", "refers_to_others")


class Verdict(NamedTuple):
    """What becomes of an option.

    :param value: The option's value; None if the option is left out.
    :param why: Why it is left out or replaced; empty if it is kept.
    """

    value: str | None
    why: str = ""


# Values with which an option opens nothing
_HARMLESS = {
    **dict.fromkeys(("serial", "parallel", "monitor", "display", "net", "nic"), ("none",)),
    "bios": ("none", "default"),
}
_CREATING = (
    "blockdev",
    "chardev",
    "device",
    "drive",
    "fsdev",
    "net",
    "netdev",
    "nic",
    "object",
    "tpmdev",
    "virtfs",
)
_NOT_IDS = ("", "on", "off", "auto", "none")

# Properties that refer to something that is always left out
_REFERENCES = (
    *("chardev", "chrA", "chrB", "drive", "driveA", "driveB", "fsdev", "memdev", "netdev", "tpmdev", "vlan"),
)
# Properties that make a device open or use something of the host
_OPENING = {
    **dict.fromkeys(("bios-name", "cdat", "file", "filename", "frudatafile", "kernel", "initrd"), FILES),
    **dict.fromkeys(("dir", "jsonfile", "mem-path", "path", "romfile", "rootdir", "sdrfile"), FILES),
    **dict.fromkeys(("logfile", "pcap", "pcapfile"), WRITES),
    **dict.fromkeys(("evdev", "hidraw", "host", "host-path", "hostaddr", "hostbus"), HOST_DEVICE),
    **dict.fromkeys(("hostdevice", "hostport", "sysfsdev"), HOST_DEVICE),
    **dict.fromkeys(("fd", "host_ip", "socket", "tapfd", "vhostdev", "vhostfd"), CONNECTS),
}
_OPENGL = "needs a display with OpenGL"
_DEVICES = (
    ("vfio- vhost- igd-passthrough pci-assign kvm-pci-assign usb-host virtio-input-host", HOST_DEVICE),
    ("u2f- ccid-card-", HOST_DEVICE),
    ("ivshmem usb-redir usb-bt-dongle usb-braille xen- x-pci-proxy-dev", CONNECTS),
    ("usb-mtp", "gives the guest files of the host"),
    ("loader guest-loader", CODE),
    ("virtio-vga-rutabaga virtio-gpu-rutabaga", _OPENGL),
    (NEED_HYPERV, KVM),
)
# Without audiodev= they use the default driver
_SOUND_DEVICES = (
    *("AC97", "ES1370", "adlib", "cs4231a", "gus", "hda-duplex", "hda-micro", "hda-output", "sb16"),
    *("usb-audio", "virtio-snd", "virtio-snd-pci", "virtio-sound", "virtio-sound-pci"),
)
_OBJECTS = (
    *("authz-list", "authz-simple", "can-bus", "cryptodev-backend", "cryptodev-backend-builtin", "iothread"),
    *("main-loop", "rng-builtin", "secret", "throttle-group", "tls-cipher-suites"),
)
_USB_DEVICES = ("ccid", "keyboard", "mouse", "tablet", "wacom-tablet")

# Buses that boards have by these names; pci.0 may be a bridge's
_BUSES = ("isa.0", "pcie.0")

_PROTECTED = "refers to an object that is left out"
_MACHINE = {
    "accel": ACCELERATOR,
    **dict.fromkeys(("append", "dtb", "firmware", "initrd", "kernel", "pflash0", "pflash1", "shim"), CODE),
    **dict.fromkeys(("confidential-guest-support", "memory-encryption"), _PROTECTED),
    **dict.fromkeys(("hmat", "memory-backend"), MEMORY),
    "dumpdtb": WRITES,
    "ras": "needs firmware, which is left out",
}


def judge(name: str, value: str, target: str, left_out: Collection[str]) -> Verdict:
    """Return what becomes of an option.

    :param name: The option, without dashes.
    :param value: Its argument; empty if it takes none.
    :param target: The emulator's target, e.g. ``x86_64``.
    :param left_out: The ids of what is left out.
    """
    option = OPTIONS.get(name)
    if option and option.why:
        return Verdict(value) if value in _HARMLESS.get(name, ()) else Verdict(None, option.why)
    if name == "cpu":
        return _cpu(value, target)
    rule = _RULES.get(name)
    return rule(value, left_out) if rule else Verdict(value)


def ids_in(name: str, value: str) -> set[str]:
    """Return the ids that an option gives to what it creates."""
    if name not in _CREATING:
        return set()
    return {word for key, word in properties(value, "") if key in ("id", "node-name")} - set(_NOT_IDS)


def refers_to_others(name: str, value: str, ids: Collection[str]) -> bool:
    """Return whether an option needs something that the command line does not create.

    :param name: The option, without dashes.
    :param value: Its argument.
    :param ids: The ids that the command line gives.
    """
    if name == "set":
        group, _, rest = value.partition(".")
        return group in _CREATING and rest.partition(".")[0] not in ids
    if name != "device":
        return False
    bus = dict(properties(value, "driver")).get("bus", "")
    return bus not in ("", *_BUSES) and bus.partition(".")[0] not in ids


def _cpu(value: str, target: str) -> Verdict:
    """Replace a CPU that needs KVM."""
    changed = cpu_without_kvm(value, target)
    return Verdict(changed, KVM) if changed != value else Verdict(value)


def _by_property(value: str, judge: Callable[[str, str], Verdict]) -> Verdict:
    """Drop or replace properties; leave the option out if nothing is left.

    :param judge: Judges a property by its name and value.
    """
    changed, reasons = without_properties(value, judge)
    return Verdict(changed or None, "; ".join(reasons)) if reasons else Verdict(value)


def _without(value: str, drop: Callable[[str, str], str]) -> Verdict:
    """Drop properties; leave the option out if nothing is left.

    :param drop: Returns why a property is dropped; empty if it is kept.
    """

    def judge(key: str, word: str) -> Verdict:
        why = drop(key, word)
        return Verdict(None, why) if why else Verdict(word)

    return _by_property(value, judge)


def _machine(value: str, left_out: Collection[str]) -> Verdict:
    def judge(key: str, word: str) -> Verdict:
        if key.startswith("sgx-epc."):
            return Verdict(None, MEMORY)
        changed = machine_without_kvm(key, word)
        if changed != word:
            return Verdict(changed, KVM)
        why = _MACHINE.get(key, _PROTECTED if word in left_out else "")
        return Verdict(None, why) if why else Verdict(word)

    return _by_property(value, judge)


def _device(value: str, left_out: Collection[str]) -> Verdict:
    pairs = properties(value, "driver")
    driver = dict(pairs).get("driver", "")
    for prefixes, why in _DEVICES:
        if driver.startswith(tuple(prefixes.split())):
            return Verdict(None, why)
    if driver.startswith("host-") and driver.endswith("-cpu"):
        return Verdict(None, KVM)
    if ("virgl", "on") in pairs or "-gl-" in f"{driver}-":  # e.g. virtio-vga-gl, virtio-gpu-gl-pci
        return Verdict(None, _OPENGL)
    why = _reaches_out(pairs, left_out)
    if why:
        return Verdict(None, why)
    if driver in _SOUND_DEVICES and not dict(pairs).get("audiodev"):
        return Verdict(None, AUDIO)

    def drop(key: str, word: str) -> str:
        if key in ("numa_node", "node-id"):
            return MEMORY
        if key == "blob" and word in ("on", "true", "yes"):
            return "maps memory that is left out"
        return KVM if device_needs_kvm(driver, key, word) else ""

    return _without(value, drop)


def _object(value: str, left_out: Collection[str]) -> Verdict:
    pairs = properties(value, "qom-type")
    kind = dict(pairs).get("qom-type", "")
    if kind.startswith("memory-backend-") or kind == "thread-context":  # threads that touch memory
        return Verdict(None, MEMORY)
    if kind not in _OBJECTS:
        return Verdict(None, "may open files or connections")
    why = _reaches_out(pairs, left_out)
    return Verdict(None, why) if why else Verdict(value)


def _reaches_out(pairs: Collection[tuple[str, str]], left_out: Collection[str]) -> str:
    """Return why a device or an object opens something or needs something left out; empty if it does not."""
    for key, word in pairs:
        name = key.rpartition(".")[2]
        if not word or name in ("id", "driver", "qom-type"):
            continue
        if (
            name.rstrip("0123456789") in _REFERENCES
            or word in left_out
            or (name == "bus" and word.split(".")[0] in left_out)
        ):
            return f"needs {key}={word}, which is left out"
        if name in _OPENING:
            return _OPENING[name]
    return ""


def _global(value: str, left_out: Collection[str]) -> Verdict:
    name, equals, word = value.partition("=")
    if name == "driver" and equals:
        parts = dict(properties(value, ""))
        name, word = parts.get("property", ""), parts.get("value", "")
    why = _reaches_out([(name.rpartition(".")[2], word)], left_out)
    return Verdict(None, why) if why else Verdict(value)


def _set(value: str, left_out: Collection[str]) -> Verdict:
    path, _, word = value.partition("=")
    group, _, rest = path.partition(".")
    one, _, name = rest.partition(".")
    if one in left_out or (group in OPTIONS and OPTIONS[group].why):
        return Verdict(None, f"changes {one}, which is left out")
    why = _reaches_out([(name, word)], left_out)
    return Verdict(None, why) if why else Verdict(value)


def _audiodev(value: str, _left_out: Collection[str]) -> Verdict:
    """Use the driver that discards all sound, so that devices can still refer to it."""
    pairs = dict(properties(value, "driver"))
    if pairs.get("driver") in ("none", "help"):
        return Verdict(value)
    if value.startswith("{"):
        return Verdict(json.dumps({"driver": "none", **{k: v for k, v in pairs.items() if k == "id"}}), AUDIO)
    return Verdict(
        ",".join(("none", *(f"{key}={pairs[key]}" for key in ("id", "model") if key in pairs))), AUDIO
    )


def _usbdevice(value: str, _left_out: Collection[str]) -> Verdict:
    return Verdict(value) if value in _USB_DEVICES else Verdict(None, HOST_DEVICE)


def _opens_file(*names: str) -> Callable[[str, Collection[str]], Verdict]:
    """Return a rule that leaves an option out if it has one of these properties."""

    def rule(value: str, _left_out: Collection[str]) -> Verdict:
        keys = {key for key, _ in properties(value, "")}
        return Verdict(None, FILES) if keys & set(names) else Verdict(value)

    return rule


def _drops(why: str, *pairs: str) -> Callable[[str, Collection[str]], Verdict]:
    """Return a rule that drops properties; ``name=value`` names the only value that is kept."""
    harmless = {name: kept for name, _, kept in (pair.partition("=") for pair in pairs)}

    def rule(value: str, _left_out: Collection[str]) -> Verdict:
        return _without(value, lambda key, word: why if harmless.get(key, word) != word else "")

    return rule


_RULES: Mapping[str, Callable[[str, Collection[str]], Verdict]] = {
    "M": _machine,
    "machine": _machine,
    "device": _device,
    "object": _object,
    "global": _global,
    "set": _set,
    "audio": _audiodev,
    "audiodev": _audiodev,
    "usbdevice": _usbdevice,
    "smbios": _opens_file("file", "path"),
    "fw_cfg": _opens_file("file", "gen_id"),
    "boot": _drops(FILES, "splash="),
    "icount": _drops(WRITES, "rr=", "rrfile=", "rrsnapshot="),
    "overcommit": _drops(PROCESS, "mem-lock=off"),
    "realtime": _drops(PROCESS, "mlock=off"),
}
