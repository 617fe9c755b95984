"""Counters for Prometheus, through its own client: a file for node_exporter, or an endpoint.

Counted is what lines say, and nothing else.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from onpanic.probe.errors import OnpanicError

from .report import Line

__all__ = ("Metrics",)

_SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800)


class Metrics:
    """Counts lines; a `Sink`.

    :param file: A file that is written anew, whole or not at all, when something was counted;
        its name has to end in ``.prom`` (node_exporter's textfile collector).
    :param complain: Told, once, that it cannot be written any more.
    :raise OnpanicError: When Prometheus' client is not installed, or the file cannot be written.
    """

    def __init__(self, file: Path | None = None, complain: Callable[[str], None] = print) -> None:
        try:
            import prometheus_client as client
        except ImportError as error:
            raise OnpanicError(
                "Prometheus' Python client is not there",
                "install python3-prometheus-client, or onpanic with the extra: "
                "pip install 'onpanic[prometheus]'",
            ) from error
        self._client: Any = client
        self._file = file
        self._complain = complain
        self._broken = False
        self._registry = client.CollectorRegistry()
        guest = ["domain", "uuid"]

        def counter(name: str, help_: str, labels: list[str]) -> Any:
            return client.Counter(f"onpanic_{name}", help_, labels, registry=self._registry)

        self._seen = {
            "panicked": counter("panics", "Guest panics", guest),
            "crashloaded": counter("crashloads", "Panics that the guest sees to by itself (kdump)", guest),
            "internal-error": counter("internal_errors", "Internal errors of QEMU", guest),
        }
        self._actions = counter("actions", "What was done for guests", [*guest, "action", "outcome", "by"])
        self._problems = counter("problems", "What went wrong, and was no action", [])
        self._took = client.Histogram(
            "onpanic_action_seconds",
            "How long it took to do it",
            ["action"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._up = client.Gauge("onpanic_watching", "1 while guests are watched", registry=self._registry)
        try:
            self._write()
        except OSError as error:
            raise OnpanicError(
                f"{self._file}: {error.strerror}", "name a file that can be written"
            ) from error

    def __call__(self, line: Line) -> None:
        """Count a line."""
        guest = (line.domain, line.uuid)
        if line.event in self._seen:
            self._seen[line.event].labels(*guest).inc()
        elif line.event == "action":
            self._actions.labels(*guest, line.action, line.outcome, line.by or "onpanic").inc()
            if line.seconds is not None:
                self._took.labels(line.action).observe(line.seconds)
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
        except OSError as error:  # guests come first
            if not self._broken:
                self._broken = True
                self._complain(f"{self._file}: {error.strerror}: the counters are not up to date")

    def listen(self, address: str) -> None:
        """Serve the counters over HTTP, at ``/metrics``.

        :param address: ``PORT``, on this machine only, or ``HOST:PORT``.
        :raise OnpanicError: When it cannot be listened at.
        """
        host, _, port = address.rpartition(":")
        if not (port.isascii() and port.isdigit() and int(port) < 2**16):
            raise OnpanicError(f"{address}: {port!r} is no port", "it is [HOST:]PORT")
        try:
            self._client.start_http_server(
                int(port), addr=host.strip("[]") or "localhost", registry=self._registry
            )
        except OSError as error:
            raise OnpanicError(f"{address}: {error.strerror or error}", "name another [HOST:]PORT") from error

    def _write(self) -> None:
        if self._file is not None:
            self._client.write_to_textfile(str(self._file), self._registry)
