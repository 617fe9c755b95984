"""What an emulator is like that is played: the description, as data.

A description is JSON as well, so that a process can be told what to play.  Many such processes are started,
so they import neither msgspec nor dataclasses, which take longer to load than all else.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

__all__ = ("Fault", "Moment", "PlayedEmulator", "PlayedNotifier")

#: When a panic takes effect: before the answer to the write, after it, or after the answer that follows.
Moment = Literal["at-once", "after-reply", "after-next-reply"]


class Fault(NamedTuple):
    """What goes wrong, and when.

    :param kind: ``exit`` (with status 1), ``abort`` (SIGABRT), ``hang``, ``hang-up`` (closes the channel,
        and goes on), ``junk`` (a line that is not QMP), ``endless-junk`` (without a newline), ``babble``
        (endless lines of junk), ``long-line`` (64 MiB), ``flood`` (endless events), ``wrong-shape`` (an
        answer that is not what the command returns), ``nesting`` (100,000 brackets), ``silence`` (one
        answer never comes), ``stray`` (exits, and leaves a child that holds the pipes open).
    :param at: ``start`` (before the greeting), or a QMP command; a line of the human
        monitor is named by its first word.
    :param words: Written to stderr first.
    """

    kind: str
    at: str = "start"
    words: str = ""


class PlayedNotifier(NamedTuple):
    """What a panic notifier does when the guest reports a panic through it.

    :param mask: What its register reads as; None if nothing answers there although the device is listed.
    :param event: The action of the event GUEST_PANICKED; empty for no event.
    :param state: The run state that a panic takes a running guest to; ``running`` to change nothing.
    :param when: When the panic takes effect.
    :param ends: The status with which the emulator then ends; None if it goes on.
    :param ends_first: Whether it ends before it has sent the event.
    :param crashloaded: Whether bit 1 raises GUEST_CRASHLOADED.
    :param times: How often the event is sent.
    :param lost: How many writes have no effect, as if firmware had moved something over the register.
    """

    mask: int | None = 0x03
    event: str = "pause"
    state: str = "guest-panicked"
    when: Moment = "at-once"
    ends: int | None = None
    ends_first: bool = False
    crashloaded: bool = True
    times: int = 1
    lost: int = 0


class PlayedEmulator(NamedTuple):
    """What an emulator does.

    :param version: Major, minor and micro.
    :param machines: Machine types, the default one first; ``name=alias`` for one with an alias.
    :param builtin: Machine types that create a pvpanic.
    :param types: The QOM types that it lists.
    :param commands: QMP commands that it has in addition to those of every version.
    :param events: What ``query-events`` lists; None if there is no such command.
    :param schema: The events that ``query-qmp-schema`` lists.
    :param qom: Whether it has QOM.
    :param mask: What the port reads as; None if nothing answers there although the device is listed.
    :param acts: What a panic does: ``pause``, ``run``, or ``silent`` for nothing.
    :param resumable: ``cont`` continues a panicked guest.
    :param run_state: Its run state at the start.
    :param error_class: The class of the QMP error if ``cont`` does not continue a panicked guest.
    :param stubborn: Ignores SIGTERM, SIGINT and SIGHUP.
    :param fault: What goes wrong, None for nothing.
    :param notifiers: What a notifier does, by its QOM type, ``builtin``, ``hyperv``, ``pseries`` or ``s390``.
        One that is missing does what `mask` and `acts` say.
    :param port: The I/O port of a device that is added.
    :param builtin_type: The QOM type of the builtin device.
    :param builtin_path: The QOM path of the builtin device.
    :param builtin_port: The I/O port of the builtin device.
    :param beside_builtin: Whether an ISA device can be added where one is builtin.
    :param without_isa: Machine types that have no ISA bus.
    :param without_pci: Machine types that have no PCI bus.
    :param has_default: Whether there is a default machine type.
    :param unstartable: Machine types that do not start, with what the emulator says then.
    :param hides: Listings that do not show the builtin device: ``qom-list``, ``info qtree``, ``info mtree``.
    :param lacks: QMP commands, lines of the human monitor, and ``ioport``, that it does not have.
    :param cont_refusal: The description of the QMP error if ``cont`` does not continue a panicked guest.
    :param cont_stays: ``cont`` is accepted, and leaves a panicked guest where it is.
    :param early_event: Whether the first event is a GUEST_PANICKED, before the guest has run.
    :param pci: How a PCI device's register gets its address: through configuration space, by the firmware
        once the guest runs, not at all (``never``), or in a machine without PCI and CPUs (``none``).
    :param kvm: The host's KVM: absent, with Hyper-V's registers but not for this user (``denied``), without
        these registers (``plain``), or with them (``hyperv``).
    :param hv_crash: Whether its CPUs have the property ``hv-crash``.
    :param vmcoreinfo: Whether it has the type vmcoreinfo.
    :param without_fw_cfg: Machine types that have no fw_cfg.
    :param without_dma: Machine types whose fw_cfg has no DMA.
    :param late_fw_cfg: Machine types that make fw_cfg after the devices of the command line.
    """

    version: tuple[int, int, int] = (7, 2, 0)
    package: str = ""
    target: str = "x86_64"
    machines: tuple[str, ...] = ("pc-i440fx-7.2=pc", "pc-q35-7.2=q35", "none")
    builtin: tuple[str, ...] = ()
    types: tuple[str, ...] = ("pvpanic", "pvpanic-pci")
    commands: tuple[str, ...] = ("set-action", "query-qmp-schema")
    events: tuple[str, ...] | None = None
    schema: tuple[str, ...] = ("GUEST_PANICKED", "GUEST_CRASHLOADED")
    qom: bool = True
    mask: int | None = 0x03
    acts: str = "pause"
    resumable: bool = True
    run_state: str = "prelaunch"
    error_class: str = "GenericError"
    stubborn: bool = False
    fault: Fault | None = None
    notifiers: Mapping[str, PlayedNotifier] = {}
    port: int = 0x505
    builtin_type: str = "pvpanic"
    builtin_path: str = "/machine/unattached/device[27]"
    builtin_port: int = 0x505
    beside_builtin: bool = True
    without_isa: tuple[str, ...] = ("none",)
    without_pci: tuple[str, ...] = ()
    has_default: bool = True
    unstartable: Mapping[str, str] = {}
    hides: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    cont_refusal: str = "Resetting the Virtual Machine is required"
    cont_stays: bool = False
    early_event: bool = False
    pci: Literal["by-hand", "by-firmware", "never", "none"] = "none"
    kvm: Literal["absent", "denied", "plain", "hyperv"] = "absent"
    hv_crash: bool = True
    vmcoreinfo: bool = True
    without_fw_cfg: tuple[str, ...] = ("none",)
    without_dma: tuple[str, ...] = ()
    late_fw_cfg: tuple[str, ...] = ()

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> Self:
        """Return the emulator that a JSON object describes.

        :param description: The fields.
        :raise TypeError: When one of them has no such name.
        """
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in description.items()
        }
        if fields.get("fault"):
            fields["fault"] = Fault(**fields["fault"])
        does = fields.get("notifiers", {})
        return cls(**fields | {"notifiers": {name: PlayedNotifier(**one) for name, one in does.items()}})

    def described(self) -> dict[str, Any]:
        """Return the JSON object that describes this emulator, see `of`."""
        fault = self.fault and self.fault._asdict()
        notifiers = {name: does._asdict() for name, does in self.notifiers.items()}
        return {**self._asdict(), "fault": fault, "notifiers": notifiers}

    def command(self) -> list[str]:
        """Return the command that plays this emulator."""
        return [sys.executable, "-m", "onpanic.probe.testing", json.dumps(self.described())]

    def failing(self, fault: Fault) -> Self:
        """Return the same emulator with a fault."""
        return self._replace(fault=fault)

    def but(self, **changes: Any) -> Self:
        """Return an emulator that differs in some fields."""
        return self._replace(**changes)

    def notifier(self, name: str) -> PlayedNotifier:
        """Return what a notifier does.

        :param name: As in `notifiers`.
        """
        found = self.notifiers.get(name)
        if found is not None:
            return found
        if self.acts == "pause":
            return PlayedNotifier(self.mask)
        return PlayedNotifier(self.mask, "" if self.acts == "silent" else self.acts, "running")

    @property
    def machine_names(self) -> dict[str, str]:
        """The machine types, each with its alias; an alias is empty for one that has none."""
        return {word.partition("=")[0]: word.partition("=")[2] for word in self.machines}
