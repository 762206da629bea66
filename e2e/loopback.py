"""Ports on this machine's loopback."""

import socket

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Loopback ports, all different, that nothing listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
