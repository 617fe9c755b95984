"""Tell whether an <on_panic> policy is accepted, and why not.

Exit status 0: accepted; 1: refused.
"""

import argparse

from onpanic.cli.argument_files import read_record
from onpanic.cli.options import add_policy_details, add_timeout
from onpanic.cli.output import complain, print_json
from onpanic.core.errors import UsageError
from onpanic.probe.decision.policy import ON_PANIC, Policy
from onpanic.probe.decision.rules import Capabilities, Decision, decide
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS, NotifierModel
from onpanic.probe.record.capability_record import CapabilityRecord

TAKES_COMMAND = True


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("value", metavar="VALUE", help=f"the <on_panic> value: {', '.join(ON_PANIC)}")
    parser.add_argument(
        "emulator", nargs="?", metavar="EMULATOR", help="probe this emulator (default: the host's own)"
    )
    add_policy_details(parser)
    parser.add_argument("--machine", metavar="M", help="machine type or alias (default: the default one)")
    parser.add_argument(
        "--notifier",
        choices=NOTIFIER_MODELS,
        help="judge by this notifier (default: the best that the machine type has)",
    )
    add_timeout(parser, 10, "how long the emulator may take")
    parser.add_argument(
        "--record", metavar="FILE", help="answer from a record that onpanic probe --format json printed"
    )
    parser.add_argument("--hypervisor", choices=("qemu", "xen"), default="qemu")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing if the policy is accepted")


def run(arguments: argparse.Namespace) -> int:
    """Decide, print the decision, and return 0 or 1."""
    decision, notifier = _decide(arguments)
    if arguments.format == "json":
        import msgspec

        print_json(msgspec.json.encode({**msgspec.to_builtins(decision), "notifier": notifier}))
    elif not decision:
        judged = f"\n  judged by the {notifier} notifier" if notifier else ""
        print(f"refused: {decision.code}: {decision.reason}\n  {decision.remedy}{judged}")
    elif not arguments.quiet:
        judged = f" (by the {notifier} notifier)" if notifier else ""
        needs = f"; it needs help: {decision.code}: {decision.reason}\n  {decision.remedy}"
        print(f"accepted{judged}{needs if decision.code else ''}")
    return 0 if decision else 1


def _decide(arguments: argparse.Namespace) -> tuple[Decision, NotifierModel | None]:
    """Return the decision, and the notifier that it is about; None if it is not about one."""
    sources = [arguments.emulator, arguments.command, arguments.record]
    if sum(map(bool, sources)) + (arguments.hypervisor == "xen") > 1:
        raise UsageError("more than one source", "name an emulator, a record, or --hypervisor xen")
    if arguments.hypervisor == "xen" and arguments.notifier:
        raise UsageError("--notifier has no meaning on Xen", "leave it out")
    policy = Policy(
        arguments.value,
        arguments.coredump,
        arguments.on_crash,
        arguments.on_crash_coredump,
        arguments.grace,
    )
    decision = decide(policy, arguments.hypervisor, Capabilities({}))
    if arguments.hypervisor == "xen":
        return decision, None
    if not decision and decision.code != "probe-inconclusive":
        return decision, None  # refused whatever the emulator can do
    record = _record(arguments)
    if record.problems:
        complain(record.problems[0])
    notifier = None if decision else arguments.notifier or record.machine(arguments.machine).notifier
    return decide(policy, "qemu", record.capabilities(arguments.machine, arguments.notifier)), notifier


def _record(arguments: argparse.Namespace) -> CapabilityRecord:
    if arguments.record:
        return read_record(arguments.record)
    from onpanic.probe.api import probe
    from onpanic.probe.host import host_emulator, resolve_command

    command = arguments.command or ([arguments.emulator] if arguments.emulator else [host_emulator()])
    return probe(
        resolve_command(command),
        machines=[arguments.machine] if arguments.machine else (),
        notifier=arguments.notifier,
        timeout=arguments.timeout,
    )
