"""The record of a host on one screen, as plain text."""

from collections.abc import Iterable, Iterator, Sequence

from onpanic.core.untrusted import printable
from onpanic.fleet.hosts.host_record import HostEmulator, HostKvm, HostLibvirt, HostRecord
from onpanic.fleet.outputs.policy_answers import MachineAnswers, PolicyAnswer, machine_answers
from onpanic.probe.record.capability_record import MachineRecord
from onpanic.probe.record.screen import Style

__all__ = ("host_screen",)

_NO_LIBVIRT = {"no": "none; {} alone decides", "unknown": "could not be asked", "yes": "could not be asked"}
_STAR = "* needs onpanic watch, for the value itself or for its coredump"


def host_screen(host: HostRecord, style: Style) -> str:
    """Return a record as text: which policies each emulator or Xen keeps, and what could not be found out.

    Machine types with the same answers share a paragraph.
    """
    name = printable(host.host.name, 100)
    system = [host.system.os, f"Linux {host.system.kernel}", host.system.architecture]
    lines = [
        f"{style.paint(name, 'title')}: {', '.join(printable(word, 200) for word in system if word)}",
        f"  KVM      {_kvm(host.kvm)}",
        f"  libvirt  {_libvirt(host)}",
    ]
    answers: dict[str, list[MachineAnswers]] = {}
    for one in machine_answers(host):
        answers.setdefault(one.emulator.path, []).append(one)
    for emulator in host.every_emulator():
        record = emulator.record
        build = printable(record.emulator.build, 300) if record else style.paint("not asked", "no")
        also = f" (also {', '.join(emulator.other_paths)})" if emulator.other_paths else ""
        lines += ["", f"{style.paint(printable(emulator.path + also), 'title')}: {build}"]
        lines.append(f"  {printable(_use(emulator))}")
        if record and not record.machines:
            lines.append("  no default machine type; name one with --machine")
        for group in _alike(answers.get(emulator.path, ())):
            lines += _machines(group, style)
    if not host.every_emulator():
        lines += ["", f"{style.paint('no emulator', 'no')}: neither libvirt nor the distribution has one"]
    if any(policy.watch for found in answers.values() for one in found for policy in one.policies):
        lines += ["", _STAR]
    problems = host.every_problem()
    if problems:
        lines += [
            "",
            style.paint("could not be determined", "title"),
            *(f"  {printable(one)}" for one in problems),
        ]
    by = printable(
        f"collected in {host.collected.seconds:.2f} s by {host.collected.by} at {host.collected.at}"
    )
    return "\n".join([*lines, "", style.paint(by, "dim")]) + "\n"


def _kvm(kvm: HostKvm) -> str:
    usable = {"yes": "usable", "no": "not usable", "unknown": "not known"}[kvm.usable]
    hyperv = {"yes": ", with Hyper-V's enlightenments", "no": ", without Hyper-V", "unknown": ""}[kvm.hyperv]
    return printable(f"{usable}{hyperv if kvm.usable == 'yes' else ''} ({kvm.detail})")


def _libvirt(host: HostRecord) -> str:
    if host.libvirt and host.xen:
        return printable(f"{host.libvirt.version} at {host.libvirt.uri}")
    if host.libvirt:
        return _libvirt_of_qemu(host.libvirt)
    return _NO_LIBVIRT[host.libvirt_found].format("xl" if host.xen else "QEMU")


def _use(emulator: HostEmulator) -> str:
    """Return which guests an emulator is for, or which toolstack a Xen was asked through."""
    runs = ", ".join(emulator.runs)
    types = f"; domain types {', '.join(emulator.domain_types)}" if emulator.domain_types else ""
    if emulator.hypervisor == "xen":
        asked = emulator.record.emulator.toolstack if emulator.record else "no toolstack"
        return f"for {runs or 'unknown'} guests; {asked} was asked{types}"
    return (f"default emulator for {runs} guests" if runs else "only for domains that name it") + types


def _libvirt_of_qemu(libvirt: HostLibvirt) -> str:
    how = {"asked": "asked", "schema": "by its schema", "version": "by its version"}.get(libvirt.known_by, "")
    words = {
        "<panic>": libvirt.device,
        "<panic model=…>": libvirt.models,
        "<panic model='pvpanic'>": libvirt.pci,
        "<vmcoreinfo>": libvirt.vmcoreinfo,
        "<on_crash>preserve-running": libvirt.preserve_running,
    }
    lacks = ", ".join(word for word, known in words.items() if not known)
    return printable(
        f"{libvirt.version} at {libvirt.uri}; {how}: {f'lacks {lacks}' if lacks else 'accepts all'}"
    )


def _alike(answers: Iterable[MachineAnswers]) -> Iterator[list[MachineAnswers]]:
    """Group machine types that have the same answers."""
    groups: dict[object, list[MachineAnswers]] = {}
    for one in answers:
        machine = one.machine
        key = (one.architecture, one.policies, machine.notifier, _mask(machine), machine.problem)
        groups.setdefault(key, []).append(one)
    yield from groups.values()


def _machines(group: Sequence[MachineAnswers], style: Style) -> Iterator[str]:
    first = group[0]
    several = len(first.emulator.runs) > 1
    names = ", ".join(_named(one.machine) for one in group)
    notifier = first.machine.notifier
    mask = _mask(first.machine)
    says = f"notifier {notifier}" if notifier else "no notifier"
    says = "the guest tells Xen of a crash" if first.emulator.hypervisor == "xen" else says
    says += f", events {mask:#x}" if mask is not None else ""
    yield f"  {printable(f'{first.architecture}: ' * several + names)}: {printable(says)}"
    kept = [one for one in first.policies if one.kept == "yes" and not one.action]
    if kept:
        yield f"    {style.paint('kept', 'yes')}     {_kept(kept)}"
    actions = [one.action + "*" * one.watch for one in first.policies if one.kept == "yes" and one.action]
    if actions:
        yield f"    {style.paint('kept', 'yes')}     crash with <on_crash> {' '.join(actions)}"
    for answer, label in (("no", "refused"), ("unknown", "unknown")):
        for code, values in _by_code(first.policies, answer).items():
            reason = printable(next(one.reason for one in first.policies if one.code == code), 300)
            yield f"    {style.paint(label, answer)}  {' '.join(values)}"
            yield f"             {code}: {reason}"


def _kept(kept: Sequence[PolicyAnswer]) -> str:
    """Return the values that are kept; those for which a watcher must run have a star."""
    starred = {one.value for one in kept if one.watch}
    dumping = [one.value for one in kept if one.coredump]
    plain = [one.value for one in kept if not one.coredump and one.value not in dumping]

    def listed(values: Sequence[str]) -> str:
        return " ".join(f"{value}*" if value in starred else value for value in values)

    both = f"{listed(dumping)}, also with coredump='yes'" if dumping else ""
    return "; ".join(filter(None, [listed(plain), both]))


def _by_code(policies: Sequence[PolicyAnswer], answer: str) -> dict[str, list[str]]:
    """Return the values that are not kept even without a dump, by the reason."""
    codes: dict[str, list[str]] = {}
    for one in policies:
        if one.kept == answer and not one.coredump:
            codes.setdefault(one.code, []).append(one.name)
    return codes


def _named(machine: MachineRecord) -> str:
    extra = [*machine.aliases, *(["default"] if machine.default else [])]
    return machine.name + (f" ({', '.join(extra)})" if extra else "")


def _mask(machine: MachineRecord) -> int | None:
    notifier = machine.notifier_named()
    return notifier.event_mask if notifier else None
