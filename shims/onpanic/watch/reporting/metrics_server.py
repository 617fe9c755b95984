"""Serves the metrics over HTTP, to few clients at a time: each takes a thread and a descriptor."""

import socket
import threading
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

__all__ = ("serve_metrics",)

_MOST_CLIENTS = 32  # at a time; a further one is turned away
_SILENCE = 10.0  # seconds that a client may say nothing, or read nothing


class _Handler(WSGIRequestHandler):
    timeout = _SILENCE

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: stderr is the operator's."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = _MOST_CLIENTS

    def __init__(self, family: int, place: Any) -> None:
        self.address_family = family
        self._free = threading.BoundedSemaphore(_MOST_CLIENTS)
        super().__init__(place, _Handler)

    def server_bind(self) -> None:
        """Bind, and ask no name server for this host's name, as a WSGIServer does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a client in a thread; turn it away if there are too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a client."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing about a client that went away."""


def serve_metrics(host: str, port: int, app: Callable[..., Any]) -> None:
    """Serve metrics until the process ends.

    :param app: A WSGI application.
    :raise OSError: When the address cannot be listened on; ValueError when the host cannot be encoded.
    """
    family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    server = _Server(family, place)
    server.set_app(app)
    threading.Thread(target=server.serve_forever, name="metrics server", daemon=True).start()
