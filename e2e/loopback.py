"""Ports and small servers on this machine's loopback."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"
_PORTS = range(15_000, 32_000)
"""Below those that Linux gives to outgoing connections, which would take a port between its choice and its use."""
_TRIES = 1000


def free_ports(count: int) -> list[int]:
    """Loopback ports, all different, that nothing listens on now; other processes that choose hardly choose the same.

    Raises:
        OSError: when there are none.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, _TRIES):
        if len(found) == count:
            return found
        if _is_free(port):
            found.append(port)
    raise OSError(f"no {count} free ports from {_PORTS.start} to {_PORTS.stop} on {HOST}: end what listens there")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


@contextmanager
def serve_on_loopback(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server of that handler until the block ends; its address, as `http://127.0.0.1:PORT`."""
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
