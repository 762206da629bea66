"""Answers every path with one page of metrics on 127.0.0.1, and remembers who asked with which credentials."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from loopback import HOST


class LoopbackExporter(ThreadingHTTPServer):
    """An exporter in this process.

    Attributes:
        page: in Prometheus' text format, or what makes it anew for each that asks.
        asked: path and `Authorization` header of each request.
    """

    daemon_threads = True

    def __init__(self, page: str | Callable[[], str]) -> None:
        super().__init__((HOST, 0), _Handler)
        self.page = page
        self.asked: list[tuple[str, str | None]] = []

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


@contextmanager
def loopback_exporter(page: str | Callable[[], str]) -> Iterator[LoopbackExporter]:
    """An exporter, as long as the block runs."""
    with LoopbackExporter(page) as exporter:
        thread = threading.Thread(target=exporter.serve_forever)
        thread.start()
        try:
            yield exporter
        finally:
            exporter.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        exporter = cast("LoopbackExporter", self.server)
        exporter.asked.append((self.path, self.headers.get("Authorization")))
        body = (exporter.page if isinstance(exporter.page, str) else exporter.page()).encode()
        self.send_response_only(HTTPStatus.OK)  # unlike send_response it writes no log
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
