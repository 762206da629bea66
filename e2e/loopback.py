"""Ports and small servers on this machine's loopback."""

import atexit
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"
_PORTS = range(15_000, 32_000)
"""Below those that Linux gives to outgoing connections, which would take a port between its choice and its use."""
_TRIES = 1000


_MARKS = "127.77.0.1"
"""Of this machine's loopback too, and nobody else's: where a port is marked as given away."""
_marked = ExitStack()
atexit.register(_marked.close)


def free_ports(count: int) -> list[int]:
    """Loopback ports, all different, that nothing listens on now, and that are given to no one else.

    Seconds may pass until a port is listened on, and of dozens that are chosen meanwhile two are soon the same. So each
    is marked until this process ends, by a UDP socket of the same number that nothing is sent to.

    Raises:
        OSError: when there are none.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, _TRIES):
        if len(found) == count:
            return found
        mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if _binds(mark, _MARKS, port) and _is_free(port):
            _marked.enter_context(mark)
            found.append(port)
        else:
            mark.close()
    raise OSError(f"no {count} free ports from {_PORTS.start} to {_PORTS.stop} on {HOST}: end what listens there")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return _binds(probe, HOST, port)


def _binds(end: socket.socket, address: str, port: int) -> bool:
    try:
        end.bind((address, port))
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
