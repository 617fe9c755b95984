"""Generated builds: a strategy over played emulators, and what each of them hides.

`hidden` is the list of what may be unknown, and why.  All else must be answered, and as
`onpanic.probe.testing.truth` says.
"""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from onpanic.probe.testing import PlayedEmulator, PlayedNotifier

__all__ = ("asked_machines", "builds", "hidden")

_ISA = ("pvpanic", "isa-pvpanic")
_PCI = "pvpanic-pci"
_MACHINES = ("pc-i440fx-9.9=pc", "pc-q35-9.9=q35", "isapc", "microvm", "none")
_STATES = ("guest-panicked", "paused", "running", "shutdown", "internal-error", "x-crashed")
#: `cont` is refused in these words for a while only, whatever becomes of a panicked guest.
_TEMPORARY = "Migration is in progress"
_REFUSALS = ("Resetting the Virtual Machine is required", "the guest has crashed", _TEMPORARY)
_LACKS = (
    *("qom-list", "qom-list-types", "device-list-properties", "ioport", "qom-get"),
    *("query-machines", "query-commands", "query-events", "query-qmp-schema", "query-target", "query-pci"),
    *("info qtree", "info mtree", "info mtree -f", "o", "xp", "human-monitor-command"),
)


def _among(*values: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for one of some values; those that are named twice are twice as likely."""
    return st.sampled_from(values)


# Strategies are made once: making them for each build would take longer than probing it
_YES_OR_NO = st.booleans()
_RARELY = _among(False, False, False, True)
_MOMENTS = _among("at-once", "at-once", "after-reply", "after-next-reply")
_LIVE_MASKS = (0x03, 0x01, 0x01, 0x02, 0x0F, 0x81, 0x89, 0x04, 0x00)
_ISA_TYPES = _among(("pvpanic",), ("isa-pvpanic",), _ISA, (), ("pvpanic",))
_PCI_TYPES = _among((_PCI,), (_PCI,), ())
_LACKING = st.one_of(st.just(()), st.lists(st.sampled_from(_LACKS), max_size=3, unique=True).map(tuple))
_PORTS = _among(0x505, 0x505, 0x506, 0x600)
_OTHER_PORTS = _among(0x505, 0x505, 0x506, 0x610)
_MORE_EVENTS = _among((), ("GUEST_CRASHLOADED",))
_COMMANDS = _among(("query-qmp-schema",), ("query-qmp-schema", "set-action"))
_RESUMABLE = _among(True, True, False)
_CONT_REFUSALS = st.sampled_from(_REFUSALS)
_ERROR_CLASSES = _among("GenericError", "ResetRequired")
_WAYS_TO_PCI = _among(*["by-hand"] * 12, *["by-firmware"] * 6, "never", "none")
_KVM = _among("absent", "denied", "plain", "hyperv")
_TARGETS = _among(*["x86_64"] * 6, "s390x", "ppc64")
_MACHINE_LISTS = st.lists(st.sampled_from(_MACHINES), min_size=1, max_size=4, unique=True)
_MICROVM = _among((), (), ("microvm",))
_OLD = _among((), (), ("pc-i440fx-9.9", "isapc"))
_LISTINGS = ("qom-list", "info qtree", "info mtree")
_HIDING = st.lists(st.sampled_from(_LISTINGS), max_size=3, unique=True)
_PATHS = _among("/machine/unattached/device[9]", "/machine/pvpanic", "/machine/board/pvpanic")
_BUILTIN_MACHINES = st.sets(st.sampled_from([w.partition("=")[0] for w in _MACHINES[:4]])).map(
    lambda names: tuple(sorted(names))
)
_NUMBERS = st.integers(0, 59)


def _notifier(**does: Any) -> PlayedNotifier:
    """Return a notifier; of a named tuple, Hypothesis would draw the fields that have defaults, too."""
    return PlayedNotifier(**does)


def _notifiers(masks: st.SearchStrategy[int | None]) -> st.SearchStrategy[PlayedNotifier]:
    """Return what notifiers may do.

    :param masks: What their registers may read as.
    """
    works = st.builds(
        _notifier, mask=masks, when=_MOMENTS, times=_among(1, 1, 2), lost=_among(0, 0, 0, 1, 2, 6)
    )
    ends = st.builds(
        _notifier,
        mask=masks,
        event=_among("poweroff", "poweroff", "pause", ""),
        when=_MOMENTS,
        ends=_among(0, 1),
        ends_first=_YES_OR_NO,
        lost=_among(0, 0, 1),
    )
    other = st.builds(
        _notifier,
        mask=masks,
        event=_among("pause", "run", "poweroff", "", "x-halt"),
        state=st.sampled_from(_STATES),
        when=_MOMENTS,
        crashloaded=_YES_OR_NO,
        lost=_among(0, 0, 0, 1, 6),
    )
    return st.one_of(works, works, other, ends)


_SHOW_DEAD_ONES = {"ioport", "qom-get", "qom-list", "info qtree", "o", "human-monitor-command"}
_LIVE = _notifiers(_among(*_LIVE_MASKS))
_LIVE_OR_DEAD = _notifiers(_among(*_LIVE_MASKS, None))
_WITHOUT_REGISTER = _LIVE.map(
    lambda does: PlayedNotifier(0x01, does.event, does.state, does.when, does.ends, does.ends_first)
)


@st.composite
def builds(draw: st.DrawFn) -> PlayedEmulator:
    """Return a strategy for emulators.

    They never contradict themselves: an event that they send is listed, a builtin device is shown by one
    listing at least, and a device that does not answer says at which port, which can be tried.
    """
    target = draw(_TARGETS)
    if target != "x86_64":
        return _architectural(draw, target)
    types = draw(_ISA_TYPES) + draw(_PCI_TYPES)
    lacks = draw(_LACKING)
    unsaid = {"ioport", "qom-get", "o", "human-monitor-command"} & set(lacks)
    unsaid |= {"qom-list"} if {"qom-list", "info qtree"} <= set(lacks) else set()  # no port is listed
    does = _LIVE if unsaid else _LIVE_OR_DEAD
    notifiers = {kind: draw(does) for kind in types}
    notifiers["hyperv"] = draw(_WITHOUT_REGISTER)
    port = draw(_PORTS)
    changes: dict[str, Any] = {"types": types, "port": port, "builtin_port": port}
    changes["vmcoreinfo"] = not draw(_RARELY)
    changes |= _machine_types(draw)
    isa = [kind for kind in types if kind in _ISA]
    if bool(isa) and draw(_YES_OR_NO):
        changes |= _builtin(draw, isa, lacks)
        if changes["beside_builtin"]:  # two devices at one port: either may answer
            notifiers |= dict.fromkeys(isa, notifiers[changes["builtin_type"]])
        else:
            notifiers["builtin"] = draw(does)
            changes["builtin_port"] = draw(_OTHER_PORTS)
        if notifiers.get("builtin", notifiers[changes["builtin_type"]]).mask is None:
            changes["hides"] = ()  # its port does not show it either
    listed = ("GUEST_PANICKED", *draw(_MORE_EVENTS))
    old = draw(_YES_OR_NO)
    return PlayedEmulator(
        commands=() if old else draw(_COMMANDS),
        events=listed if old or draw(_YES_OR_NO) else None,
        schema=() if old else listed,
        notifiers=notifiers,
        lacks=lacks,
        pci=draw(_WAYS_TO_PCI),
        kvm=draw(_KVM),
        hv_crash=not draw(_RARELY),
        **_cont(draw),
        **changes,
    )


def _cont(draw: st.DrawFn) -> dict[str, Any]:
    """Return the fields about ``cont``."""
    return {
        "resumable": draw(_RESUMABLE),
        "cont_stays": draw(_RARELY),
        "cont_refusal": draw(_CONT_REFUSALS),
        "error_class": draw(_ERROR_CLASSES),
        "early_event": draw(_RARELY),
    }


def _architectural(draw: st.DrawFn, target: str) -> PlayedEmulator:
    """Return an emulator of an architecture that has a notifier of its own."""
    name, machines = {
        "s390x": ("s390", ("s390-ccw-virtio-9.9=s390-ccw-virtio", "none")),
        "ppc64": ("pseries", ("pseries-9.9=pseries", "none")),
    }[target]
    return PlayedEmulator(
        target=target,
        machines=machines,
        types=(),
        notifiers={name: draw(_WITHOUT_REGISTER)},
        pci="by-hand",
        lacks=draw(_LACKING),
        **_cont(draw),
    )


def _machine_types(draw: st.DrawFn) -> dict[str, Any]:
    """Return the fields about machine types."""
    machines = sorted(draw(_MACHINE_LISTS), key=lambda word: word == "none")  # it is never the default
    names = [word.partition("=")[0] for word in machines]
    return {
        "machines": tuple(machines),
        "without_isa": ("none", *draw(_MICROVM)),
        "without_pci": ("none", "isapc", *draw(_MICROVM)),
        "without_fw_cfg": ("none", *draw(_MICROVM)),
        "without_dma": draw(_OLD),
        "late_fw_cfg": ("pc-q35-9.9",) if draw(_RARELY) else (),
        "has_default": not draw(_RARELY),
        "unstartable": {n: "xencall: error: Could not obtain handle" for n in names[1:2] if draw(_RARELY)},
    }


def _builtin(draw: st.DrawFn, types: Sequence[str], lacks: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a builtin device."""
    path, hides = draw(_PATHS), draw(_HIDING)
    monitor = "human-monitor-command" not in lacks
    there = [name for name in _LISTINGS if name not in lacks and (monitor or name == "qom-list")]
    if there == ["qom-list"]:
        path = "/machine/pvpanic"
    in_folder = path.rpartition("/")[0] in ("/machine", "/machine/unattached")
    showing = [name for name in there if name != "qom-list" or in_folder]
    if showing and set(showing) <= set(hides):  # one listing at least shows it
        hides.remove(showing[draw(_NUMBERS) % len(showing)])
    return {
        "builtin": draw(_BUILTIN_MACHINES),
        "builtin_type": types[draw(_NUMBERS) % len(types)],
        "builtin_path": path,
        "beside_builtin": draw(_YES_OR_NO),
        "hides": tuple(hides),
    }


_WORDS = st.lists(_NUMBERS, max_size=3)


def asked_machines(like: PlayedEmulator) -> st.SearchStrategy[tuple[str, ...]]:
    """Return a strategy for the machine types that are asked for: names, aliases, and misspelt ones."""
    words = [word for name, alias in like.machine_names.items() for word in (name, alias) if word]
    words.append("misspelt")
    return _WORDS.map(lambda numbers: tuple(words[number % len(words)] for number in numbers))


_LISTS = ("qom-list-types", "device-list-properties")
_PANIC = ("panic-reported", "panic-action", "panic-stops-guest", "cont-after-panic")


def hidden(like: PlayedEmulator) -> set[str]:
    """Return which facts the build itself hides: those may be ``unknown``, but not wrong.

    :param like: The emulator.
    :return: The names of facts, those of a notifier after its model and a colon.
    """
    lacks = set(like.lacks)
    found: set[str] = set()
    schema = "query-qmp-schema" in like.commands and "query-qmp-schema" not in lacks
    if not schema and (like.events is None or "query-events" in lacks):
        found |= {"guest-panicked-event", "guest-crashloaded-event"}  # nothing lists the events
    if not schema and "query-commands" in lacks:
        found.add("set-action-command")  # nothing lists the commands
    if lacks >= {*_LISTS}:
        found |= {"isa-pvpanic-type", "pvpanic-type", "pvpanic-pci-type"}  # nothing lists the types
    if {"ioport", "qom-get"} & lacks:
        found.add("builtin-port")
    if {"qom-get", "device-list-properties"} & lacks:
        found.add("vmcoreinfo-attachable")  # nothing shows fw_cfg, or the type for each machine type
    in_folder = like.builtin_path.rpartition("/")[0] in ("/machine", "/machine/unattached")
    silent = {*lacks, *like.hides}
    if {*_ISA} <= {*like.types} and "info qtree" in silent and ("qom-list" in silent or not in_folder):
        found.add("builtin-type")  # only its port is shown, which could be either's
    if "human-monitor-command" in lacks:
        found |= {f"s390:{name}" for name in _PANIC}  # nothing shows whether the guest has panicked
        lacks |= {"info qtree", "info mtree", "info mtree -f", "i", "o", "xp"}
    if lacks >= {"qom-list", "info qtree", "info mtree"}:
        found.add("builtin-pvpanic")  # nothing lists the devices
        if not {*_ISA} & {*like.types}:
            found |= {f"isa:{name}" for name in _PANIC}  # types are listed once, not for each machine type
    if {*lacks, *like.hides} >= {"qom-list", "info qtree", "info mtree"}:
        found |= {"builtin-port", "builtin-type"}  # only the refusal of a second device shows it
    if "o" in lacks:
        found |= {f"isa:{name}" for name in _PANIC}  # no port can be written
    unsaid = "ioport" in lacks or {"qom-get", "info qtree"} <= silent
    elsewhere = "info mtree" in silent and (like.port, like.builtin_port) != (0x505, 0x505)
    if unsaid and elsewhere:
        found |= {f"isa:{name}" for name in _PANIC}  # nothing says at which port it is
    if like.pci in ("never", "none") or lacks & {"query-pci", "info mtree -f"}:
        found |= {f"pvpanic:{name}" for name in _PANIC}  # its register has no address, or nothing shows it
    if "xp" in lacks:
        found |= {
            f"{model}:{name}" for model in ("hyperv", "pseries") for name in _PANIC
        }  # nothing shows whether the guest has panicked
    if like.kvm == "denied":
        found |= {f"hyperv:{name}" for name in _PANIC}  # TCG has no such registers
    if like.cont_refusal == _TEMPORARY:
        found |= {f"{model}:cont-after-panic" for model in ("isa", "pvpanic", "hyperv", "s390", "pseries")}
    return found
