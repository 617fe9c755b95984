"""Translating a domain for all hosts of a fleet: onpanic to-libvirt --fleet."""

import argparse
from collections import Counter
from collections.abc import Sequence

from onpanic.cli.argument_files import naming, read_domain
from onpanic.cli.exit_status import FOUND, OK
from onpanic.cli.fleet.fleet_lines import note_lines, plural, uncounted_lines
from onpanic.cli.fleet.fleet_sources import fleet_of
from onpanic.cli.fleet.migration_screen import hindrance_lines
from onpanic.cli.output import complain, print_error, print_note
from onpanic.cli.translation.translation_output import write_translation
from onpanic.core.errors import UsageError
from onpanic.fleet.documents.fleet import Fleet
from onpanic.fleet.fleet_translation import FleetTranslation, translate_for_fleet
from onpanic.fleet.judging.hindrance import Hindrance
from onpanic.probe.record.screen import Style

__all__ = ("translate_for_hosts",)


def translate_for_hosts(arguments: argparse.Namespace) -> int:
    """Translate, print the XML and the notes, and return 0; 1 if the policy is refused.

    :param arguments: Those of onpanic to-libvirt.
    """
    named = (arguments.record, arguments.emulator, arguments.command, arguments.connect)
    if any((*named, arguments.libvirt_version)):
        raise UsageError(
            "--fleet excludes other sources", "the records say which emulators and libvirts there are"
        )
    if "-" in arguments.fleet and arguments.domain == "-":
        raise UsageError("standard input is named twice", "it can be read only once")
    fleet = fleet_of(arguments.fleet, arguments)
    source = read_domain(arguments.domain, arguments.document)
    with naming(arguments.domain):
        found = translate_for_fleet(
            source,
            fleet,
            notifier=arguments.notifier,
            vmcoreinfo=arguments.with_vmcoreinfo,
            same_events=arguments.same_events,
        )
    missing = bool(fleet.missing_count) and not arguments.answered_only
    if found.translation is None or missing:
        _print_refusal(fleet, found, missing=missing)
        return FOUND
    write_translation(found.translation, found.notes, arguments)
    if not arguments.quiet:
        _print_hosts(fleet, found)
    return OK


def _print_refusal(fleet: Fleet, found: FleetTranslation[bytes], *, missing: bool) -> None:
    """Print why there is no translation for all hosts, and the remedy for most of them.

    :param missing: Whether hosts that are not counted are a reason, too.
    """
    remedies: Counter[str] = Counter()
    for one in found.hindrances:
        remedies[one.remedy] += len(one.hosts)
    if remedies:
        [(remedy, count)] = remedies.most_common(1)
        complain(
            f"refused: {_of_hosts(found.hindrances)} of {plural(found.hosts, 'host')}",
            f"{remedy} (for {plural(count, 'host')})",
        )
    else:
        total = fleet.host_count + fleet.missing_count
        complain(
            f"refused: {fleet.missing_count:,} of {total:,} hosts and documents are not counted",
            "collect their records again, or ignore them with --answered-only",
        )
    for line in hindrance_lines(found.hindrances, Style(), indent="  "):
        print_error(line)
    if missing:
        for line in uncounted_lines(fleet.uncounted, Style()):
            print_error(f"  {line}")


def _of_hosts(hindrances: Sequence[Hindrance]) -> str:
    """Return on how many hosts the domain is not valid, and of how many that is not known."""
    hosts: Counter[str] = Counter()
    for one in hindrances:
        hosts["not known to be valid" if one.answer == "unknown" else "not valid"] += len(one.hosts)
    return ", and ".join(f"{words} on {count:,}" for words, count in sorted(hosts.items()))


def _print_hosts(fleet: Fleet, found: FleetTranslation[bytes]) -> None:
    """Print over how many hosts an answer holds, and what may make it wrong."""
    others = f", {found.others:,} of another architecture or hypervisor" * bool(found.others)
    missing = f", {fleet.missing_count:,} not counted" * bool(fleet.missing_count)
    print_note(f"valid on {plural(found.hosts, 'host')}{others}{missing}")
    for line in (*uncounted_lines(fleet.uncounted, Style()), *note_lines(fleet.notes, Style())):
        print_note(line)
