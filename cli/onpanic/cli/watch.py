"""Carry out the policies of guests that panic: what no libvirt does, and what libvirt has missed.

Every domain with a policy in its metadata (onpanic to-libvirt puts it there) is watched, until
SIGTERM or Ctrl-C.  With --qmp, guests without libvirt are watched, each with the policy of
--on-panic and --on-crash.  A line is printed for each event and action.  SIGHUP reads --config
again, and resumes what was given up.

Exit status: 0 after SIGTERM or Ctrl-C.  With --once: 0 if every guest is as its policy asks; 1 if one is not,
or an action failed; 2 if a guest, or libvirt, could not be asked.
"""

import argparse
import asyncio
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onpanic.cli.options import text
from onpanic.cli.output import print_note
from onpanic.core.errors import UsageError
from onpanic.probe.decision.policy import ON_CRASH, ON_PANIC, WAITING, Policy

if TYPE_CHECKING:
    from onpanic.watch.reporting.lines import Sink
    from onpanic.watch.reporting.metrics import Metrics
    from onpanic.watch.reporting.watch_result import WatchResult

_SETTINGS = {
    "dump_dir": ("DIR", "write dumps to DIR on the guests' host (default: libvirt's own directory)"),
    "dump_format": ("FORMATS", "formats of dumps: the first that is offered and works (default: elf)"),
    "dump_paging": ("", "dump the guest's virtual addresses, too (for elf, with --qmp)"),
    "dump_quota": ("SIZE", "limit all dumps to SIZE; the oldest are removed (default: 0: no limit)"),
    "dump_reserve": ("SIZE", "refuse a dump that could leave less than SIZE free (default: 0: never)"),
    "dump_timeout": ("SECONDS", "give up a dump after that time (default: 3600)"),
    "dumps": ("N", "make up to N dumps at the same time (default: 2)"),
    "progress": ("SECONDS", "log the progress of a dump at this interval (default: 10)"),
    "start_limit": ("N", "restart a guest up to N times within the interval (default: 5; 0: no limit)"),
    "start_interval": ("SECONDS", "length of the interval for start-limit (default: 300)"),
    "grace": ("SECONDS", "let a guest help itself before it is restarted or destroyed (default: 0)"),
    "why_timeout": ("SECONDS", "read why a guest panicked for up to that time (default: 2; 0: not at all)"),
    "hook": ("COMMAND", "run COMMAND for each event and action; its environment describes them"),
    "hook_timeout": ("SECONDS", "kill the hook after that time (default: 30)"),
    "start": ("COMMAND", "start a guest without libvirt again with COMMAND, for rename-restart"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    guests = parser.add_argument_group("which guests")
    guests.add_argument(
        "--connect", type=text, metavar="URI", help="libvirt connection (default: libvirt's own)"
    )
    guests.add_argument(
        "--qmp", nargs="+", action="extend", metavar="ADDRESS", help="monitors: PATH or HOST:PORT"
    )
    guests.add_argument("--on-panic", metavar="VALUE", help=f"with --qmp: {' '.join(ON_PANIC)}")
    guests.add_argument("--coredump", action="store_true", help="dump memory before --on-panic")
    guests.add_argument("--on-crash", metavar="VALUE", help=f"with --qmp: {' '.join(ON_CRASH)}")
    guests.add_argument("--on-crash-coredump", action="store_true", help="dump memory before --on-crash")
    how = parser.add_argument_group("settings (also in the file of --config, without the leading dashes)")
    for name, (metavar, description) in _SETTINGS.items():
        option = f"--{name.replace('_', '-')}"
        if metavar:
            how.add_argument(option, metavar=metavar, help=description)
        else:
            how.add_argument(option, action="store_true", default=None, help=description)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="read settings from FILE (TOML), again on SIGHUP"
    )
    parser.add_argument("--once", action="store_true", help="do what is due now, and exit")
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="keep the journal in DIR")
    parser.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="form of the log (default: text)"
    )
    parser.add_argument(
        "--metrics-file", type=Path, metavar="FILE.prom", help="write metrics for node_exporter to FILE.prom"
    )
    parser.add_argument(
        "--metrics-listen", metavar="[HOST:]PORT", help="serve metrics for Prometheus over HTTP"
    )


def run(arguments: argparse.Namespace) -> int:
    """Watch until a signal or, with --once, until nothing is left to do; return the exit status."""
    result = asyncio.run(_watch(arguments, _policy(arguments)))
    if not arguments.once:
        return 0
    if result.unreachable:
        return 2
    return 1 if result.failed else 0


async def _watch(arguments: argparse.Namespace, policy: Policy | None) -> "WatchResult":
    """Watch domains or, with a policy, monitors; signals stop and reload."""
    from onpanic.core.libvirt_api import silence_libvirt
    from onpanic.watch.daemon import watch_domains, watch_monitors
    from onpanic.watch.reporting.lines import Line, Printer
    from onpanic.watch.reporting.systemd import notify
    from onpanic.watch.rules.settings import read_settings

    options = {name: value for name in _SETTINGS if (value := getattr(arguments, name)) is not None}
    read = partial(read_settings, arguments.config, options)
    settings, stop, reload = read(), asyncio.Event(), asyncio.Event()
    if settings.grace and policy is not None and policy.on_panic not in WAITING:
        print_note(f"grace has no effect on {policy.on_panic}", f"it is for {', '.join(WAITING)}")
    shared: dict[str, Any] = {
        "state": arguments.state_dir,
        "dry_run": arguments.dry_run,
        "once": arguments.once,
        "stop": stop,
        "reload": reload,
        "read_settings": read,
        "notify": notify,
    }
    loop = asyncio.get_running_loop()

    def stop_from_thread() -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(stop.set)

    printer = Printer(arguments.log_format, stop_from_thread)
    try:
        metrics = _metrics(arguments, printer)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, reload.set)

        def sink(line: Line) -> None:
            printer(line)
            if metrics:
                metrics(line)

        try:
            if policy is None:
                silence_libvirt("watch")
                return await watch_domains(arguments.connect, settings, sink, **shared)
            return await watch_monitors(arguments.qmp, policy, settings, sink, **shared)
        finally:
            if metrics:
                metrics.close()
    finally:
        printer.close()


def _policy(arguments: argparse.Namespace) -> Policy | None:
    """Return the policy of guests without libvirt; None if libvirt's domains are to be watched.

    :raise UsageError: When the options contradict each other.
    """
    stated = arguments.on_panic or arguments.on_crash or arguments.coredump or arguments.on_crash_coredump
    if not arguments.qmp:
        if stated:
            raise UsageError(
                "a policy on the command line requires --qmp", "a domain's is in its XML: onpanic to-libvirt"
            )
        return None
    if arguments.connect is not None:
        raise UsageError("--qmp is about guests without libvirt", "leave out --connect, or --qmp")
    if not stated:
        raise UsageError("--qmp requires a policy", "state it with --on-panic VALUE")
    return Policy(
        arguments.on_panic or "default", arguments.coredump, arguments.on_crash, arguments.on_crash_coredump
    )


def _metrics(arguments: argparse.Namespace, printer: "Sink") -> "Metrics | None":
    """Return the metrics, if they are wanted."""
    if not (arguments.metrics_file or arguments.metrics_listen):
        return None
    from onpanic.watch.reporting.lines import Line, now
    from onpanic.watch.reporting.metrics import Metrics

    def warn(text: str) -> None:
        printer(Line("problem", "warning", at=now(), detail=text))

    metrics = Metrics(arguments.metrics_file, warn)
    if arguments.metrics_listen:
        try:
            metrics.listen(arguments.metrics_listen)
        except UsageError:
            metrics.close()
            raise
    return metrics
