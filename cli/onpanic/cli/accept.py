"""Tell whether an <on_panic> policy is accepted, and why not.

Exit status: 0 if the policy is accepted; 1 if it is refused.
"""

import argparse

from onpanic.cli.argument_files import read_record
from onpanic.cli.options import add_policy_details, add_timeout, text
from onpanic.cli.output import complain, print_json
from onpanic.core.errors import UsageError
from onpanic.probe.decision.policy import ON_PANIC, Policy
from onpanic.probe.decision.rules import UNASKED, Decision, decide
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
    parser.add_argument(
        "--hypervisor",
        choices=("qemu", "xen"),
        default="qemu",
        help="xen: by the rules alone, whatever the host's toolstack accepts",
    )
    parser.add_argument("--connect", type=text, metavar="URI", help="ask libvirt's Xen driver instead")
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="form of the output (default: text)"
    )
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
    on_xen = arguments.hypervisor == "xen"
    named = [arguments.emulator, arguments.command or None, arguments.record, arguments.connect]
    if sum(source is not None for source in named) + on_xen > 1:
        raise UsageError("more than one source", "name an emulator, a record, --connect, or --hypervisor xen")
    if on_xen or arguments.connect is not None:
        _refuse_notifier(arguments)
    policy = Policy(
        arguments.value,
        arguments.coredump,
        arguments.on_crash,
        arguments.on_crash_coredump,
        arguments.grace,
    )
    if on_xen:
        return decide(policy, "xen", UNASKED), None
    record = None
    if arguments.record is not None or arguments.connect is not None:  # whose rules apply is not known before
        record = _record(arguments)
    hypervisor = record.hypervisor if record else "qemu"
    if hypervisor == "xen":
        _refuse_notifier(arguments)
    decision = decide(policy, hypervisor, UNASKED)
    if not decision and decision.code != "probe-inconclusive":
        return decision, None  # refused whatever the host can do
    record = record or _record(arguments)
    if record.problems:
        complain(record.problems[0])
    notifier = None if decision else arguments.notifier or record.machine(arguments.machine).notifier
    capabilities = record.capabilities(arguments.machine, arguments.notifier)
    return decide(policy, hypervisor, capabilities), notifier


def _refuse_notifier(arguments: argparse.Namespace) -> None:
    if arguments.notifier:
        raise UsageError("--notifier has no meaning on Xen", "leave it out")


def _record(arguments: argparse.Namespace) -> CapabilityRecord:
    if arguments.record is not None:
        return read_record(arguments.record)
    if arguments.connect is not None:
        from onpanic.core.libvirt_api import silence_libvirt
        from onpanic.probe.xen.probe_xen import probe_xen

        silence_libvirt()
        return probe_xen(arguments.connect, timeout=arguments.timeout)
    from onpanic.probe.api import probe
    from onpanic.probe.host import host_emulator, resolve_command

    command = arguments.command or ([arguments.emulator] if arguments.emulator else [host_emulator()])
    return probe(
        resolve_command(command),
        machines=[arguments.machine] if arguments.machine else (),
        notifier=arguments.notifier,
        timeout=arguments.timeout,
    )
