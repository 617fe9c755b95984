"""Metrics for Prometheus: in a file for node_exporter, or at an HTTP endpoint."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from onpanic.core.errors import FileError, MissingExtraError, UsageError
from onpanic.core.files import write_atomically
from onpanic.core.untrusted import printable
from onpanic.watch.reporting.lines import Line
from onpanic.watch.reporting.metric_values import Histogram, MetricValues
from onpanic.watch.reporting.metrics_server import serve_metrics

__all__ = ("Metrics",)

_PAUSE = 1.0  # seconds between two writes, so that many panics at once are not delayed by them
_REFRESH = 60.0  # seconds after which the file is written again, which shows that the watcher lives
_CLOSE_TIMEOUT = 5.0  # seconds for a slow disk


class Metrics:
    """Counts lines.  A `Sink`.

    The file is written in a thread: after each change, at most once a second, and at least once a minute.

    :param file: A file that is replaced atomically; node_exporter's textfile collector requires that its name
        ends in ``.prom``.
    :param warn: Called with a warning: at once about the file's name, and in that thread when the file cannot
        be written any more.
    :param clock: Returns seconds since the epoch.
    :param monotonic: Returns monotonic seconds.
    :raise MissingExtraError: When prometheus-client is not installed.
    :raise FileError: When the file cannot be written.
    """

    def __init__(
        self,
        file: Path | None = None,
        warn: Callable[[str], object] = print,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            import prometheus_client as client
        except ImportError as error:
            raise MissingExtraError("prometheus-client", "prometheus") from error
        self._client: Any = client
        self._file = file
        self._warn = warn
        self._broken = False
        self._values = MetricValues(clock, monotonic)
        self._lock = threading.Lock()
        self._registry = client.CollectorRegistry()
        self._registry.register(self)
        self._changed, self._closing = threading.Event(), threading.Event()
        self._writer = threading.Thread(target=self._run, name="metrics", daemon=True)
        if file is None:
            return
        try:
            self._write(file)
        except OSError as error:
            raise FileError(
                f"{file}: {error.strerror}", "name a file that can be written with --metrics-file"
            ) from error
        if file.suffix != ".prom":
            warn(f"{file}: node_exporter reads only files whose name ends in .prom")
        self._writer.start()

    def __call__(self, line: Line) -> None:
        """Count a line."""
        with self._lock:
            self._values(line)
        self._changed.set()

    def close(self) -> None:
        """Write the last values, for five seconds at most."""
        self._closing.set()
        self._changed.set()
        if self._writer.is_alive():
            self._writer.join(_CLOSE_TIMEOUT)

    def collect(self) -> Iterator[Any]:
        """Yield all metrics in the form that prometheus-client collects."""
        with self._lock:
            found = list(self._values.samples())
        families = {
            "counter": self._client.metrics_core.CounterMetricFamily,
            "gauge": self._client.metrics_core.GaugeMetricFamily,
            "histogram": self._client.metrics_core.HistogramMetricFamily,
        }
        for metric, samples in found:
            family = families[metric.kind](metric.name, metric.text, labels=metric.labels)
            for labels, value in samples:
                if isinstance(value, Histogram):
                    family.add_metric(labels, value.cumulative(), value.total)
                else:
                    family.add_metric(labels, value)
            yield family

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
            serve_metrics(
                host.strip("[]") or "localhost", int(port), self._client.make_wsgi_app(self._registry)
            )
        except (OSError, ValueError) as error:  # ValueError: a host that cannot be encoded
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"{printable(address, 100)}: {reason}", "name another [HOST:]PORT") from error

    def _run(self) -> None:
        assert self._file
        while not self._closing.is_set():
            self._changed.wait(_REFRESH)
            self._try_to_write(self._file)
            self._closing.wait(_PAUSE)
        self._try_to_write(self._file)

    def _try_to_write(self, file: Path) -> None:
        self._changed.clear()
        try:
            self._write(file)
            self._broken = False
        except OSError as error:  # the guests matter more
            if not self._broken:
                self._broken = True
                self._warn(f"{file}: {error.strerror}: the metrics are out of date")

    def _write(self, file: Path) -> None:
        write_atomically(file, self._client.generate_latest(self._registry))
