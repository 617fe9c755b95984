"""How an emulator is started to find out about each notifier.

The first start for a machine type is about the notifier that it most likely has.  A user's own device
is judged in place of the probe's, so that none is added beside it.

One start with all notifiers was rejected: a device that is refused would take the others with it, and an
event does not say which device has reported.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from onpanic.probe.asking.fallbacks import Start
from onpanic.probe.asking.plan import ProbePlan
from onpanic.probe.emulator.boot_image import checkstop_image, hyperv_crash_image, os_term_image
from onpanic.probe.emulator.command_line import X86, required_options
from onpanic.probe.emulator.command_line_parser import adds_device, machine_type
from onpanic.probe.emulator.notifier_models import HYPERV_CPUS, ISA_TYPES, PCI_TYPE
from onpanic.probe.emulator.user_options import emulator_position
from onpanic.probe.observations.notifiers import architectural_notifier
from onpanic.probe.observations.panics import Source

__all__ = ("first_start", "further_starts")


def first_start(command: Sequence[str], plan: ProbePlan, machine: str | None, target: str) -> Start:
    """Return the first start for a machine type.

    :param command: The emulator.
    :param machine: The machine type; None for the default one.
    :param target: The emulator's target, as far as it is known.
    """
    base = Start(
        machine,
        named=machine is not None,
        target=target,
        options=required_options(target),
        first=True,
        thorough=True,
        one_by_one=plan.introspect_only,  # loads no modules, which takes as long as the schema
    )
    subject = _subjects(plan, _machine_name(command, machine, target), target)[0]
    return _with_notifier(base, subject, command, introspect_only=plan.introspect_only)


def further_starts(
    command: Sequence[str], plan: ProbePlan, start: Start, tried: Source | str, types: Mapping[str, bool]
) -> list[Start]:
    """Return a start for each notifier that the first one was not about.

    :param start: The first start for the machine type, as it succeeded.
    :param tried: What the first start was about, before any fallback.
    :param types: Which types of device the emulator has; empty if that is not known yet.
    """
    base = Start(
        start.machine,
        start.named,
        start.target,
        accel=start.accel,
        options=start.options,
        defaults=start.defaults,
    )
    more = [
        _with_notifier(base, subject, command, introspect_only=plan.introspect_only)
        for subject in _subjects(plan, _machine_name(command, start.machine, start.target), start.target)
        if subject != tried and (subject != "pvpanic" or types.get(PCI_TYPE, True))
    ]
    asked_for_isa = plan.notifier in (None, "isa")
    if asked_for_isa and types.get("isa-pvpanic") and start.device != "isa-pvpanic":
        more.append(replace(base, subject="isa", device="isa-pvpanic"))
    if asked_for_isa and types.get("pvpanic") and start.target not in X86:
        more.append(replace(base, subject="isa", device="pvpanic"))
    return more


def _machine_name(command: Sequence[str], machine: str | None, target: str) -> str:
    """Return the machine type of a start: the user's options may name it.

    :param machine: The one that was asked for by itself; None for that of the command.
    """
    named = machine or machine_type(command[emulator_position(command) or 0 :])
    return named or ("pseries" if target == "ppc64" else "default")


def _subjects(plan: ProbePlan, name: str, target: str) -> list[Source]:
    """Return what can be made to panic on a machine type, the most likely notifier first."""
    own = architectural_notifier(target, name)
    found: list[Source] = [own] if own else []
    if target in X86:
        found.append("isa")
    found.append("pvpanic")
    if target in X86 and name != "none":
        found.append("hyperv")
    if target.startswith("ppc") and own is None:
        found.append("checkstop")
    if plan.notifier is not None:
        return [plan.notifier] if plan.notifier in found else found[:1]
    by_the_guest = ("hyperv", "checkstop")  # there is nothing to introspect
    return [s for s in found if not (plan.introspect_only and s in by_the_guest)]


def _with_notifier(
    start: Start, subject: Source, command: Sequence[str], *, introspect_only: bool = False
) -> Start:
    """Return a start that makes a notifier report."""
    start = replace(start, subject=subject)
    if subject == "isa":
        return replace(start, device="" if adds_device(command, ISA_TYPES) else "pvpanic")
    if subject == "pvpanic":
        own = "" if adds_device(command, (PCI_TYPE,)) else PCI_TYPE
        halted = start.target not in X86 and not introspect_only
        return replace(start, device=own, qtest=True, halted=halted)
    if subject == "hyperv":
        options = (*start.options, "-cpu", HYPERV_CPUS[0])
        return replace(start, accel="kvm", options=options, boot_image=hyperv_crash_image())
    if subject == "checkstop" and _machine_name(command, start.machine, start.target).startswith("powernv"):
        return replace(start, boot_image=checkstop_image())
    if subject == "pseries":
        return replace(start, boot_image=os_term_image())
    return replace(start, qtest=subject == "checkstop")
