"""Show what changed from one build to another; changes that a guest can see come first.

A and B are records: files, or names of records in the folder that --records names.
Two records of libvirts can be compared, too.

Exit status: 0 if nothing changed; 1 if something did.
"""

import argparse
from pathlib import Path

import msgspec

from onpanic.check.baseline import changes
from onpanic.check.findings import Asked, Finding
from onpanic.check.formats.text import machines
from onpanic.cli.exit_status import FOUND, OK
from onpanic.cli.matrix.libvirt_output import print_libvirt_changes
from onpanic.cli.output import print_json, print_note
from onpanic.core.errors import UsageError
from onpanic.core.untrusted import printable
from onpanic.matrix.libvirts.libvirt_files import read_libvirt
from onpanic.matrix.libvirts.libvirt_record import LibvirtRecord
from onpanic.matrix.libvirts.libvirt_table import libvirt_changes
from onpanic.matrix.records.build_identity import target_name
from onpanic.matrix.records.record_files import PREFIX, read_record, record_files
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS, NotifierModel
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord

_EVERYTHING = Asked(all_machines=True, acpi=True)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("before", metavar="A", help="the older build's record")
    parser.add_argument("after", metavar="B", help="the newer build's record")
    parser.add_argument("--records", type=Path, metavar="DIR", help="the folder of records A and B")
    parser.add_argument(
        "--notifier",
        choices=NOTIFIER_MODELS,
        help="compare this panic notifier of each machine type (default: the best one that works)",
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="json: one change per line"
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print nothing, only return the exit status"
    )


def run(arguments: argparse.Namespace) -> int:
    """Compare, print the changes, and return the exit status."""
    libvirts = [_libvirt(name, arguments.records) for name in (arguments.before, arguments.after)]
    if libvirts[0] and libvirts[1]:
        return _compare_libvirts(read_libvirt(libvirts[0]), read_libvirt(libvirts[1]), arguments)
    before, after = (
        _with_target(_record(name, arguments.records)) for name in (arguments.before, arguments.after)
    )
    if arguments.notifier:
        before, after = (_about(arguments.notifier, one) for one in (before, after))
    renamed = _matched_by_alias(before, after)
    if renamed and not arguments.quiet:
        print_note(f"no machine type is in both records; compared by alias: {', '.join(renamed)}")
        before = msgspec.structs.replace(before, machines=list(renamed.values()))
    found = changes(before, after, _EVERYTHING, new_ones=not renamed)
    if not arguments.quiet:
        if arguments.format == "json":
            for finding in found:
                print_json(msgspec.json.encode(finding))
        else:
            _print_changes(before, after, found)
    return FOUND if found else OK


def _compare_libvirts(before: LibvirtRecord, after: LibvirtRecord, arguments: argparse.Namespace) -> int:
    """Print what changed from one libvirt to another, and return the exit status."""
    found = libvirt_changes(before, after)
    if arguments.format == "json" and not arguments.quiet:
        for change in found:
            print_json(msgspec.json.encode(change))
    elif not arguments.quiet:
        print_libvirt_changes(before, after)
    return FOUND if found else OK


def _libvirt(name: str, folder: Path | None) -> Path | None:
    """Return the file of a libvirt's record; None if the name is not that of one."""
    path = Path(name) if folder is None or Path(name).exists() else folder / f"{name}.json"
    return path if path.name.startswith(PREFIX) else None


def _record(name: str, folder: Path | None) -> CapabilityRecord:
    """Read a record, given its path, its name in a folder, or a part of the name that is unique there."""
    if folder is None or Path(name).exists():
        return read_record(Path(name))
    files = record_files(folder)
    found = [path for path in files if path.stem == name] or [path for path in files if name in path.stem]
    if len(found) != 1:
        names = ", ".join(path.stem for path in found[:4]) or "none"
        raise UsageError(
            f"{name}: {len(found)} records of {folder} have that in their names: {names}", "name one of them"
        )
    return read_record(found[0])


def _with_target(record: CapabilityRecord) -> CapabilityRecord:
    """Return a record whose target is the same in all versions of an emulator, see `target_name`."""
    emulator = msgspec.structs.replace(record.emulator, target=target_name(record.emulator))
    return msgspec.structs.replace(record, emulator=emulator)


def _about(model: NotifierModel, record: CapabilityRecord) -> CapabilityRecord:
    """Return a record whose machine types have the facts and the decision of one notifier as their own."""
    machines = [
        msgspec.structs.replace(
            machine, facts=machine.facts | one.facts, on_panic=one.on_panic, notifiers=[one], notifier=model
        )
        for machine in record.machines
        for one in machine.notifiers
        if one.model == model
    ]
    return msgspec.structs.replace(record, machines=machines)


def _matched_by_alias(before: CapabilityRecord, after: CapabilityRecord) -> dict[str, MachineRecord]:
    """Return older machine types under the names of newer ones with the same alias.

    :return: By alias; empty if a machine type is in both records.
    """
    if {machine.name for machine in before.machines} & {machine.name for machine in after.machines} - {
        "none"
    }:
        return {}
    newer = {alias: machine.name for machine in after.machines for alias in machine.aliases}
    default = next((machine.name for machine in after.machines if machine.default), None)
    found: dict[str, MachineRecord] = {}
    for machine in before.machines:
        alias = next((alias for alias in machine.aliases if alias in newer), None)
        name = newer[alias] if alias else default if machine.default else None
        if name:
            found[alias or "default"] = msgspec.structs.replace(machine, name=name)
    return found


def _print_changes(before: CapabilityRecord, after: CapabilityRecord, found: list[Finding]) -> None:
    print(f"from {before.emulator.build}")
    print(f"to   {after.emulator.build}")
    for finding in found:
        where = machines(finding)
        print(f"  {finding.severity:8} {finding.tag}{': ' * bool(where)}{where}")
        print(f"           {printable(finding.evidence, 300)}")
    if not found:
        print("  nothing changed in what was measured in both")
