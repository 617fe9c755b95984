"""Say if an <on_panic> policy is accepted, and why not.

Exit status 0: accepted; 1: refused.
"""

import argparse
from pathlib import Path

from onpanic.cli import complain, print_json, seconds
from onpanic.cli.files import read_record
from onpanic.probe import Capabilities, CapabilityRecord, Decision, OnpanicError, Policy, decide
from onpanic.probe.decision import ON_PANIC

TAKES_COMMAND = True
HELP = "is a policy accepted?"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("value", metavar="VALUE", help=f"the <on_panic> value: {', '.join(ON_PANIC)}")
    parser.add_argument(
        "emulator", nargs="?", metavar="EMULATOR", help="probed for the answer (default: the host's own)"
    )
    parser.add_argument("--coredump", action="store_true", help="with a dump of the guest's memory first")
    parser.add_argument("--on-crash", metavar="V", help="the <on_crash> value beside it")
    parser.add_argument("--on-crash-coredump", action="store_true", help="and a dump first there, too")
    parser.add_argument("--machine", metavar="M", help="machine type or alias (default: the default one)")
    parser.add_argument(
        "--notifier", choices=("isa", "pvpanic"), help="judge by this one (default: isa where it fits)"
    )
    parser.add_argument(
        "--timeout", type=seconds, default=10.0, metavar="SECONDS", help="for the emulator (default: 10)"
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="a record that onpanic probe --format json printed"
    )
    parser.add_argument("--hypervisor", choices=("qemu", "xen"), default="qemu")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing if it is accepted")


def run(arguments: argparse.Namespace) -> int:
    """Decide, print, and return 0 or 1."""
    decision = _decide(arguments)
    if arguments.format == "json":
        import msgspec

        print_json(msgspec.json.encode(decision))
    elif not decision:
        print(f"refused: {decision.code}: {decision.reason}\n  {decision.remedy}")
    elif not arguments.quiet:
        needs = (
            f"; it needs help: {decision.code}: {decision.reason}\n  {decision.remedy}"
            if decision.code
            else ""
        )
        print(f"accepted{needs}")
    return 0 if decision else 1


def _decide(arguments: argparse.Namespace) -> Decision:
    sources = [arguments.emulator, arguments.command, arguments.record]
    if sum(map(bool, sources)) + (arguments.hypervisor == "xen") > 1:
        raise OnpanicError("more than one source", "name an emulator, a record, or --hypervisor xen")
    policy = Policy(arguments.value, arguments.coredump, arguments.on_crash, arguments.on_crash_coredump)
    if arguments.hypervisor == "xen":
        return decide(policy, "xen", Capabilities({}))
    verdict = decide(policy, "qemu", Capabilities({}))
    if not verdict and verdict.code != "probe-inconclusive":
        return verdict  # refused whatever the emulator can do
    record = _record(arguments)
    if record.problems:
        complain(record.problems[0])
    return decide(policy, "qemu", record.capabilities(arguments.machine))


def _record(arguments: argparse.Namespace) -> CapabilityRecord:
    command = arguments.command or ([arguments.emulator] if arguments.emulator else [])
    if arguments.record:
        return read_record(arguments.record)
    from onpanic.probe import probe
    from onpanic.probe.host import host_emulator, resolved

    return probe(
        resolved(command or [host_emulator()]),
        machines=[arguments.machine] if arguments.machine else (),
        notifier=arguments.notifier,
        timeout=arguments.timeout,
    )
