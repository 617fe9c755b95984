"""Carry out the policies of guests that panic: what no libvirt does, and what libvirt has missed.

Every domain with a policy in its metadata (onpanic to-libvirt puts it there) is watched, until
SIGTERM or Ctrl-C.  With --qmp, guests without libvirt are, each with the policy of --on-panic and
--on-crash.  A line is printed for each thing seen and done.  SIGHUP reads --config again, and takes
up again what was given up.
"""

import argparse
import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onpanic.probe.decision import ON_CRASH, ON_PANIC, Policy, objection
from onpanic.probe.errors import OnpanicError

if TYPE_CHECKING:
    from onpanic.watch.report import Sink

HELP = "carry out policies when guests panic"

_SETTINGS = {
    "dump_dir": ("DIR", str, "where guests' memory goes, on their host (default: libvirt's own folder)"),
    "dump_timeout": ("SECONDS", float, "after which a dump is given up (default: 3600)"),
    "dumps": ("N", int, "dumps at once (default: 2)"),
    "progress": ("SECONDS", float, "between lines on how far a dump is (default: 10)"),
    "start_limit": ("N", int, "restarts of a guest in an interval (default: 5; 0: any)"),
    "start_interval": ("SECONDS", float, "that interval (default: 300)"),
    "hook": ("COMMAND", str, "called for each thing seen and done, with the facts in its environment"),
    "hook_timeout": ("SECONDS", float, "after which it is ended (default: 30)"),
    "start": ("COMMAND", str, "starts a guest that is not libvirt's again, for rename-restart"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    guests = parser.add_argument_group("which guests")
    guests.add_argument("--connect", metavar="URI", help="libvirt connection (default: libvirt's own)")
    guests.add_argument(
        "--qmp", nargs="+", action="extend", metavar="ADDRESS", help="monitors: PATH or HOST:PORT"
    )
    guests.add_argument("--on-panic", metavar="VALUE", help=f"with --qmp: {' '.join(ON_PANIC)}")
    guests.add_argument("--coredump", action="store_true", help="dump their memory first")
    guests.add_argument("--on-crash", metavar="VALUE", help=f"with --qmp: {' '.join(ON_CRASH)}")
    guests.add_argument("--on-crash-coredump", action="store_true", help="dump their memory first")
    how = parser.add_argument_group("how (also in the file of --config, without the dashes in front)")
    for name, (metavar, kind, text) in _SETTINGS.items():
        how.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, type=kind, help=text)
    how.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML, read again on SIGHUP")
    parser.add_argument("--once", action="store_true", help="do what is due now, and end")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="where it notes what it has done")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    parser.add_argument("--metrics-file", type=Path, metavar="FILE.prom", help="counters for node_exporter")
    parser.add_argument("--metrics-listen", metavar="[HOST:]PORT", help="counters for Prometheus")


def run(arguments: argparse.Namespace) -> int:
    """Watch until told to stop, and return 0."""
    from onpanic.watch.daemon import watch_domains, watch_monitors
    from onpanic.watch.report import Printer
    from onpanic.watch.settings import read_settings

    said = {name: value for name in _SETTINGS if (value := getattr(arguments, name)) is not None}
    read = partial(read_settings, arguments.config, said)
    settings = read()
    options: dict[str, Any] = {
        "state": arguments.state_dir,
        "dry_run": arguments.dry_run,
        "once": arguments.once,
        "reload": read,
    }
    policy = _policy(arguments)
    if policy and "rename-restart" in (policy.on_panic, policy.on_crash):
        _need_start(settings.start)
    printer = Printer(arguments.log_format)
    sink = _counting(arguments, printer)
    if policy is None:
        watching = watch_domains(arguments.connect, settings, sink, **options)
    else:
        watching = watch_monitors(arguments.qmp, policy, settings, sink, **options)
    try:
        asyncio.run(watching)
    finally:
        printer.close()
    return 0


def _policy(arguments: argparse.Namespace) -> Policy | None:
    """Return the policy of guests without libvirt; None if libvirt's domains are meant.

    :raise OnpanicError: When the options contradict each other, or the policy makes no sense.
    """
    stated = arguments.on_panic or arguments.on_crash or arguments.coredump or arguments.on_crash_coredump
    if not arguments.qmp:
        if stated:
            raise OnpanicError(
                "a policy on the command line goes with --qmp", "a domain's is in its XML: onpanic to-libvirt"
            )
        return None
    if arguments.connect is not None:
        raise OnpanicError("--qmp is about guests without libvirt", "leave --connect out, or --qmp")
    if not stated:
        raise OnpanicError("what is to be done when they panic?", "say it with --on-panic VALUE")
    policy = Policy(
        arguments.on_panic or "default", arguments.coredump, arguments.on_crash, arguments.on_crash_coredump
    )
    refusal = objection(policy, "qemu")
    if refusal is not None:
        raise OnpanicError(f"refused: {refusal.code}: {refusal.reason}", refusal.remedy)
    return policy


def _need_start(command: str) -> None:
    if not command:
        raise OnpanicError(
            "nobody else can start a guest under another name", "name a command with --start COMMAND"
        )


def _counting(arguments: argparse.Namespace, show: "Sink") -> "Sink":
    """Return who takes lines: who shows them and, if they are wanted, the counters."""
    if not (arguments.metrics_file or arguments.metrics_listen):
        return show
    from onpanic.watch.metrics import Metrics
    from onpanic.watch.report import Line, now

    def complain(words: str) -> None:
        show(Line("problem", "warning", at=now(), detail=words))

    metrics = Metrics(arguments.metrics_file, complain)
    if arguments.metrics_listen:
        metrics.listen(arguments.metrics_listen)

    def both(line: Line) -> None:
        show(line)
        metrics(line)

    return both
