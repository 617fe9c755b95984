"""The verdict about a fleet on one screen, as plain text."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from onpanic.cli.fleet.fleet_lines import host_names, note_lines, plural, uncounted_lines
from onpanic.core.untrusted import printable
from onpanic.fleet.judging.judged_policies import POLICIES, policy_name
from onpanic.fleet.verdict.fleet_verdict import (
    ArchitectureVerdict,
    FailurePlace,
    FleetFailure,
    FleetVerdict,
    MachineVerdict,
    PolicyVerdict,
)
from onpanic.fleet.verdict.natural_order import natural
from onpanic.probe.decision.policy import Policy
from onpanic.probe.record.screen import Style

__all__ = ("policy_screen", "verdict_screen")

_REASONS = 3
_PARTS = 2
_PLACES = 4
_MACHINES = 8
_TABLES = 6
_ROWS = 24
_COREDUMP = "+coredump"
_ACTING = frozenset(policy_name(one) for one in POLICIES["qemu"] if one.on_panic not in ("default", "ignore"))
_ON_XEN = frozenset(map(policy_name, POLICIES["xen"]))
_LEGEND = {
    "+": "+ also with a coredump",
    "*": "* needs onpanic watch, on {}",
}


def verdict_screen(verdict: FleetVerdict, style: Style, *, everything: bool = False) -> str:
    """Return the verdict about all policies.

    :param everything: All reasons, and the names of all hosts.
    """
    lines = [_title(verdict, style)]
    shown = verdict.architectures if everything else verdict.architectures[:_TABLES]
    for one in shown:
        lines += ["", _heading(one, verdict, style), *_table(one, style)]
    lines += _more(verdict.architectures, shown, "architecture")
    cells = [_cell(row, column, one) for one in shown for row, column in _cells(one)]
    legend = [text for mark, text in _LEGEND.items() if any(mark in cell for cell in cells)]
    if legend:
        watched = plural(verdict.watched, "host")
        lines.append(style.paint("; ".join(legend).format(watched), "dim"))
    return "\n".join([*lines, *_sections(verdict, style, everything=everything)])


def policy_screen(verdict: FleetVerdict, policy: Policy, style: Style, *, everything: bool = False) -> str:
    """Return the verdict about one policy.

    :param everything: All reasons, and the names of all hosts.
    """
    lines = [_answer(verdict, policy, style)]
    every = [(one, machine) for one in verdict.architectures for machine in one.machines]
    rows = every if everything else every[:_ROWS]
    names = [(_guests(one), _machine(machine.machine)) for one, machine in rows]
    widths = [max((len(name[index]) for name in names), default=0) for index in (0, 1)]
    for name, (one, machine) in zip(names, rows, strict=True):
        text = "  ".join(f"{part:{width}}" for part, width in zip(name, widths, strict=True))
        lines.append(f"  {text}  {_count(machine.policies[0], one.hosts, style)}")
    lines += _more(every, rows, "machine type")
    further = sum(len(one.further) for one in verdict.architectures)
    if further:
        lines.append(style.paint(f"  --all shows {plural(further, 'more machine type')}", "dim"))
    if verdict.watch:
        lines += ["", style.paint("onpanic watch is needed", "title")]
        lines += [
            f"  on {plural(one.hosts, 'host')}: {one.reason}; {one.remedy} [{one.code}]"
            for one in verdict.watch
        ]
    return "\n".join([*lines, *_sections(verdict, style, policies=False, everything=everything)])


def _more(every: Sequence[object], shown: Sequence[object], noun: str) -> list[str]:
    """Return the line that says that something is not shown."""
    left = len(every) - len(shown)
    return [f"  and {plural(left, f'more {noun}')}; --all shows them"] if left else []


def _title(verdict: FleetVerdict, style: Style) -> str:
    text = plural(verdict.hosts, "host")
    text += f", {verdict.classes:,} distinct" * (verdict.hosts > 1)
    missing = f"; {verdict.missing:,} more not counted" if verdict.missing else ""
    return style.paint(text, "title") + style.paint(missing, "unknown") * bool(missing)


def _answer(verdict: FleetVerdict, policy: Policy, style: Style) -> str:
    """Return the answer about one policy, in one line."""
    kept = any(row.policies[0].kept for one in verdict.architectures for row in one.machines)
    no = "no, not everywhere" if kept else "no, on no host"
    answer = {"yes": "yes", "no": no, "unknown": "unknown"}[verdict.everywhere]
    if verdict.missing and verdict.answered_only:
        left = f", on the hosts that are counted; {verdict.missing:,} more not counted"
    elif verdict.missing:
        left = f"; {verdict.missing:,} more not counted (--answered-only ignores them)"
    else:
        left = ""
    extra = "".join(
        text
        for given, text in (
            (policy.grace, f" after {policy.grace or 0:g} s of grace"),
            (
                policy.on_crash is not None,
                f", <on_crash> {printable(policy.on_crash or '', 60)}"
                + " with a coredump" * policy.on_crash_coredump,
            ),
        )
        if given
    )
    name = (printable(policy.on_panic, 60) or "''") + " with a coredump" * policy.coredump + extra
    head = f"{style.paint(name, 'title')}: {style.paint(answer, verdict.everywhere)}"
    return f"{head}{left}"


def _count(policy: PolicyVerdict, hosts: int, style: Style) -> str:
    """Return on how many hosts a policy is kept, in words."""
    if policy.kept == hosts:
        text = style.paint(f"all {plural(hosts, 'host')}" if hosts > 1 else "1 host", "yes")
    else:
        text = style.paint(
            f"{policy.kept:,} of {plural(hosts, 'host')}", "no" if policy.refused else "unknown"
        )
        text += f", unknown on {policy.unknown:,}" * bool(policy.unknown)
    if policy.by_watch:
        text += f"; {policy.by_watch:,} with onpanic watch"
    if policy.without_libvirt:
        text += f"; {policy.without_libvirt:,} without libvirt"
    return text


def _heading(one: ArchitectureVerdict, verdict: FleetVerdict, style: Style) -> str:
    text = style.paint(_guests(one), "title")
    if one.others:
        text += f": {plural(one.hosts, 'host')}; {plural(one.others, 'other')} cannot run such guests"
    elif len(verdict.architectures) > 1:
        text += f": {plural(one.hosts, 'host')}"
    further = f" (--all shows {plural(len(one.further), 'more machine type')})" if one.further else ""
    return text + style.paint(further, "dim") * bool(further)


def _guests(one: ArchitectureVerdict) -> str:
    """Return what the guests are: their architecture, and Xen's if they are."""
    return printable(one.architecture, 40) + " on Xen" * (one.hypervisor == "xen")


def _table(one: ArchitectureVerdict, style: Style) -> list[str]:
    """Return the table of an architecture: a row for each machine type, a column for each value."""
    columns = _plain(one.machines[0]) if one.machines else []
    names = [_machine(machine.machine) for machine in one.machines]
    first = max(map(len, names), default=0)
    cells = [[_cell(row, column, one) for column in columns] for row in one.machines]
    widths = [
        max(len(text) for text in (column, *(row[index] for row in cells)))
        for index, column in enumerate(columns)
    ]
    head = "  ".join(f"{column:{width}}" for column, width in zip(columns, widths, strict=True))
    lines = [style.paint(f"  {'':{first}}  {head}".rstrip(), "dim")]
    for name, row, machine in zip(names, cells, one.machines, strict=True):
        texts = [
            style.paint(text, _colour(machine, column, one.hosts)) + " " * (width - len(text))
            for text, column, width in zip(row, columns, widths, strict=True)
        ]
        lines.append(
            f"  {name:{first}}  {'  '.join(texts)}  {style.paint(_versions(machine), 'dim')}".rstrip()
        )
    return lines


def _cells(one: ArchitectureVerdict) -> list[tuple[MachineVerdict, str]]:
    return [(machine, column) for machine in one.machines for column in _plain(machine)]


def _plain(machine: MachineVerdict) -> list[str]:
    """Return the values of a row."""
    return [one.policy for one in machine.policies if not one.policy.endswith(_COREDUMP)]


def _cell(machine: MachineVerdict, column: str, one: ArchitectureVerdict) -> str:
    """Return on how many hosts a value is kept, without and with a coredump; see the command's help."""
    policies = {policy.policy: policy for policy in machine.policies}
    plain, dumped = policies[column], policies.get(column + _COREDUMP)
    text = _number(plain, one.hosts) + "*" * bool(plain.by_watch)
    if dumped is None or not dumped.kept:
        return text
    text += "+" if dumped.kept == plain.kept else f"+{dumped.kept:,}"
    return text + "*" * bool(dumped.by_watch and not plain.by_watch)


def _number(policy: PolicyVerdict, hosts: int) -> str:
    if policy.kept == hosts:
        return "all"
    if policy.kept:
        return f"{policy.kept:,}"
    return "no" if policy.refused else "?"


def _colour(machine: MachineVerdict, column: str, hosts: int) -> str:
    found = [one for one in machine.policies if one.policy in (column, column + _COREDUMP)]
    if any(one.refused for one in found):
        return "no"
    return "yes" if all(one.kept == hosts for one in found) else "unknown"


def _machine(name: str) -> str:
    return printable(name, 40) or "default"


def _versions(machine: MachineVerdict) -> str:
    """Return which machine types an alias stands for."""
    names = [printable(name, 40) for name in machine.versions]
    if names in ([], [machine.machine]):
        return ""
    return (
        names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}" + f" ({len(names)})" * (len(names) > 2)
    )


def _common(verdict: FleetVerdict, *, several: bool, everything: bool) -> list[str]:
    """Return which machine types all hosts have, if one lacks a machine type."""
    if not everything and all(failure.code != "no-machine-type" for failure in verdict.failures):
        return []
    return [
        "on all hosts"
        + f" that run {_guests(one)}" * several
        + f": {host_names(one.common, everything=everything, shown=_MACHINES)}"
        for one in verdict.architectures
        if one.common
    ]


def _help(verdict: FleetVerdict) -> list[str]:
    """Return what the emulators of hosts without libvirt must be told, so that policies are kept."""
    return [
        f"on {plural(one.hosts, 'host')}, for {', '.join(map(printable, one.policies))}:"
        f" {one.reason}; {one.remedy} [{one.code}]"
        for one in verdict.help
    ]


def _sections(
    verdict: FleetVerdict, style: Style, *, policies: bool = True, everything: bool = False
) -> list[str]:
    """Return what is below the answer: why not, and what was left out.

    :param policies: Name the policies that fail.
    """
    several = len(verdict.architectures) > 1
    lines = []
    for title, failures in (("not kept", verdict.failures), ("unknown", verdict.unknowns)):
        if failures:
            lines += ["", style.paint(f"{title}, the most common reason first", "title")]
            lines += _failures(failures, style, several=several, policies=policies, everything=everything)
    for title, found in (
        ("needed without libvirt", _help(verdict)),
        ("machine types", _common(verdict, several=several, everything=everything)),
        ("not counted", uncounted_lines(verdict.uncounted, style, everything=everything)),
        ("notes", note_lines(verdict.notes, style, everything=everything)),
    ):
        if found:
            lines += ["", style.paint(title, "title"), *(f"  {line}" for line in found)]
    return lines


def _failures(
    failures: Sequence[FleetFailure], style: Style, *, several: bool, policies: bool, everything: bool
) -> Iterable[str]:
    shown = failures if everything or len(failures) <= _REASONS + 1 else failures[:_REASONS]
    for failure in shown:
        hosts = style.paint(plural(failure.hosts, "host"), "no")
        yield f"  {hosts}: {printable(failure.reason, 200)} [{failure.code}]"
        yield f"    remedy: {printable(failure.remedy, 200)}"
        parts = failure.parts if everything or len(failure.parts) <= _PARTS + 1 else failure.parts[:_PARTS]
        for part in parts:
            names = host_names(part.hosts, everything=everything)
            places = _places(part.places, several=several, policies=policies, everything=everything)
            yield f"    {places}: {names}"
        rest = sum(len(part.hosts) for part in failure.parts[len(parts) :])
        if rest:
            yield f"    and {plural(rest, 'host')} with other policies; --all names them"
    if len(shown) < len(failures):
        yield f"  and {plural(len(failures) - len(shown), 'more reason')}; --all shows them"


def _places(places: Sequence[FailurePlace], *, several: bool, policies: bool, everything: bool) -> str:
    """Return which policies fail where, in one line.

    :param several: Name the architectures.
    :param everything: All places.
    """
    machines: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for place in places:
        machines[place.architecture, place.policies].append(_machine(place.machine))
    texts = [
        f"{printable(architecture, 40)} " * several
        + host_names(sorted(names, key=natural), everything=everything, shown=_MACHINES)
        + f": {_policies(failed)}" * policies
        for (architecture, failed), names in machines.items()
    ]
    shown = texts if everything or len(texts) <= _PLACES + 1 else texts[:_PLACES]
    left = len(texts) - len(shown)
    return "; ".join(shown) + f"; and {left:,} more" * bool(left)


def _policies(names: Sequence[str]) -> str:
    """Return the names of policies, in few words."""
    found = set(names)
    if found > _ACTING or found == _ON_XEN:
        return "every value"
    if found == _ACTING:
        return "every value but default and ignore"
    plain = [name for name in names if not name.endswith(_COREDUMP)]
    rest = [name for name in names if name.endswith(_COREDUMP) and name.removesuffix(_COREDUMP) not in found]
    return ", ".join(printable(name, 60) for name in plain + rest)
