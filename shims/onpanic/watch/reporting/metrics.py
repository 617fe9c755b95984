"""Metrics for Prometheus, derived from log lines: in a file for node_exporter, or at an HTTP endpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from onpanic.core.errors import FileError, MissingExtraError, UsageError
from onpanic.core.files import write_atomically
from onpanic.core.untrusted import printable
from onpanic.watch.reporting.lines import Line

__all__ = ("Metrics",)

_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800)  # seconds


class Metrics:
    """Counts lines.  A `Sink`.

    :param file: A file that is replaced atomically after each change; node_exporter's textfile collector
        requires that its name ends in ``.prom``.
    :param warn: Called once when the file cannot be written any more.
    :raise MissingExtraError: When prometheus-client is not installed.
    :raise FileError: When the file cannot be written.
    """

    def __init__(self, file: Path | None = None, warn: Callable[[str], object] = print) -> None:
        try:
            import prometheus_client as client
        except ImportError as error:
            raise MissingExtraError("prometheus-client", "prometheus") from error
        self._client: Any = client
        self._file = file
        self._warn = warn
        self._broken = False
        self._registry = client.CollectorRegistry()
        guest = ["domain", "uuid"]

        def counter(name: str, help_: str, labels: list[str]) -> Any:
            return client.Counter(f"onpanic_{name}", help_, labels, registry=self._registry)

        self._failures = {
            "panicked": counter("panics", "Guest panics", guest),
            "crashloaded": counter("crashloads", "Panics that the guest handles itself (kdump)", guest),
            "internal-error": counter("internal_errors", "Internal errors of QEMU", guest),
        }
        self._actions = counter("actions", "Actions on guests", [*guest, "action", "outcome", "by"])
        self._problems = counter("problems", "Problems other than failed actions", [])
        self._durations = client.Histogram(
            "onpanic_action_seconds",
            "Duration of actions",
            ["action"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._up = client.Gauge("onpanic_watching", "1 while guests are watched", registry=self._registry)
        try:
            self._write()
        except OSError as error:
            raise FileError(
                f"{self._file}: {error.strerror}", "name a file that can be written with --metrics-file"
            ) from error

    def __call__(self, line: Line) -> None:
        """Count a line."""
        guest = (line.domain, line.uuid)
        if line.event in self._failures:
            self._failures[line.event].labels(*guest).inc()
        elif line.event == "action":
            self._actions.labels(*guest, line.action, line.outcome, line.by or "onpanic").inc()
            if line.seconds is not None:
                self._durations.labels(line.action).observe(line.seconds)
        elif line.event == "problem":
            self._problems.inc()
        elif line.event in ("watching", "connected"):
            self._up.set(1)
        elif line.event in ("disconnected", "stopping", "standby"):
            self._up.set(0)
        else:
            return
        try:
            self._write()
            self._broken = False
        except OSError as error:  # the guests matter more
            if not self._broken:
                self._broken = True
                self._warn(f"{self._file}: {error.strerror}: the metrics are out of date")

    def listen(self, address: str) -> None:
        """Serve the metrics over HTTP at ``/metrics``.

        :param address: ``PORT`` on localhost, or ``HOST:PORT``.
        :raise UsageError: When the address is invalid, or cannot be listened on.
        """
        host, _, port = address.rpartition(":")
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 2**16):
            raise UsageError(
                f"{printable(address, 100)}: {printable(port, 20)!r} is not a port",
                "--metrics-listen takes [HOST:]PORT",
            )
        try:
            self._client.start_http_server(
                int(port), addr=host.strip("[]") or "localhost", registry=self._registry
            )
        except (OSError, ValueError) as error:  # ValueError: a host that cannot be encoded
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"{printable(address, 100)}: {reason}", "name another [HOST:]PORT") from error

    def _write(self) -> None:
        if self._file is not None:
            write_atomically(self._file, self._client.generate_latest(self._registry))
