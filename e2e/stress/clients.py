"""The clients of the stress: those that ask well and check the answers, and those that do everything else.

The model halves and adds two. Each function does one thing to the server.
"""

import json
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import grpc
import numpy as np

from stress.calls import TIMEOUT_SECONDS, Calls, Shed, WrongAnswerError, draw_values
from stress.servers import HOST

LARGE_BODY_BYTES = 10_000_000
# The answer has more than both systems keep for a connection whose client does not read.
UNREAD_VALUES = 1_000_000
UNREAD_BUFFER_BYTES = 4096
_PATH = "/v1/models/m:predict"
_Step = Callable[[], None]
# What a server that sheds load may say instead of an answer.
_SHED = {429, 503}
# Bodies, and the status that each must get.
BAD_BODIES: tuple[tuple[bytes, int], ...] = (
    (b"", 400),
    (b"{", 400),
    (b"[" * 100_000, 400),
    (b'{"instances": []}', 400),
    (b'{"instances": [[1], [2, 3]]}', 400),
    (b'{"instances": ["x"]}', 400),
    (b'{"instances": [1], "inputs": [1]}', 400),
    (b'{"instances": [1], "signature_name": "nobody"}', 400),
    (b'{"instances": [{"b64": "!"}]}', 400),
    (b"\xff\xfe\x00", 400),
)
GARBAGE = (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"\0" * 1000, b"PRI * HTTP/2.0\r\n\r\n")


@dataclass
class Outcome:
    """What the clients saw; one object for each client."""

    requests: int = 0
    shed: int = 0
    wrong: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)


class RestAsker:
    """One kept connection, made anew when it was ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: socket.socket | None = None

    def ask(self, body: bytes, path: str = _PATH, *, pause_seconds: float = 0.0) -> tuple[int, bytes]:
        """Status and body; with a pause in the middle of sending."""
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        connection = self._connection or socket.create_connection((HOST, self._port), timeout=TIMEOUT_SECONDS)
        self._connection = None
        if pause_seconds:
            connection.sendall(head[:20])
            time.sleep(pause_seconds)
            connection.sendall(head[20:] + body[: len(body) // 2])
            time.sleep(pause_seconds)
            connection.sendall(body[len(body) // 2 :])
        else:
            connection.sendall(head + body)
        status, answer = _read_response(connection)
        self._connection = connection
        return status, answer

    def vanish(self, body: bytes) -> None:
        """Ask, and be gone before the answer, with a reset instead of a farewell."""
        head = f"POST {_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection((HOST, self._port), timeout=TIMEOUT_SECONDS) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(head + body)

    def ask_and_not_read(self, body: bytes) -> socket.socket:
        """The connection, on which there is an answer of which the first words are read: it was made, and is right."""
        head = f"POST {_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD_BUFFER_BYTES)
        connection.settimeout(TIMEOUT_SECONDS)
        connection.connect((HOST, self._port))
        connection.sendall(head + body)
        begin = connection.recv(12, socket.MSG_WAITALL)
        if begin != b"HTTP/1.1 200":
            connection.close()
            if begin[-3:] in {b"429", b"503"}:
                raise Shed
            raise WrongAnswerError(f"{begin!r} for a large request")
        return connection

    def send_garbage(self, garbage: bytes) -> None:
        """What is no HTTP; the server may say so or hang up."""
        with socket.create_connection((HOST, self._port), timeout=TIMEOUT_SECONDS) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass

    def close(self) -> None:
        """End the kept connection."""
        if self._connection is not None:
            self._connection.close()


def _read_response(connection: socket.socket) -> tuple[int, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive(connection)
    head, body = received.split(b"\r\n\r\n", 1)
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    pieces, so_far = [body], len(body)
    while so_far < length:
        pieces.append(_receive(connection))
        so_far += len(pieces[-1])
    return int(head.split()[1]), b"".join(pieces)


def _receive(connection: socket.socket) -> bytes:
    received = connection.recv(1_048_576)
    if not received:
        raise ConnectionError("the server closed the connection in the middle of an answer")
    return received


class Client:
    """One client that asks well and ill by turns, drawn from its own seed; it asks one server, by gRPC and REST."""

    def __init__(self, rest_port: int, calls: Calls, draw: random.Random, *, tls: bool) -> None:
        self.outcome = Outcome()
        self._rest = RestAsker(rest_port)
        self._random = draw
        self._right_large_answers: list[bytes] = []
        self._unread: socket.socket | None = None
        self._choices: dict[str, tuple[_Step, int]] = {
            "ask by REST": (self._ask_rest, 250 if tls else 2500),
            "ask by gRPC": (calls.ask, 2000),
            "ask badly by REST": (self._ask_badly, 30 if tls else 300),
            "ask badly by gRPC": (calls.ask_badly, 150),
            "vanish from REST": (self._vanish, 50),
            "cancel": (calls.cancel, 50),
            "run out of time": (calls.run_out_of_time, 50),
            "send no message": (calls.ask_without_message, 20),
            "connect": (calls.connect, 10),
            "hang up on gRPC": (calls.hang_up, 10),
            "ask slowly": (self._ask_slowly, 10),
            "send garbage to REST": (self._send_garbage, 25),
            "send garbage to gRPC": (calls.send_garbage, 25),
            "ask much by REST": (self._ask_much, 1),
            "ask and not read": (self._ask_and_not_read, 2),
            "ask much by gRPC": (calls.ask_much, 1),
        }
        if tls:
            self._choices["connect without a certificate"] = calls.connect_without_certificate, 10
        self._names = list(self._choices)
        self._weights = [weight for _, weight in self._choices.values()]

    def step(self) -> None:
        """One request of some kind; what the server should not have done is noted."""
        (name,) = self._random.choices(self._names, self._weights)
        self.outcome.requests += 1
        self.outcome.kinds[name] += 1
        try:
            self._choices[name][0]()
        except Shed:
            self.outcome.shed += 1
        except (OSError, grpc.RpcError, ValueError, IndexError, WrongAnswerError) as error:
            self._rest.close()
            self.outcome.wrong.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")

    def rest(self) -> None:
        """What the server holds at a rest is its own: an answer that is not read is given up."""
        if self._unread is not None:
            self._unread.close()
            self._unread = None

    def close(self) -> None:
        """End its connections."""
        self.rest()
        self._rest.close()

    def _ask_rest(self, *, pause_seconds: float = 0.0) -> None:
        values = draw_values(self._random, self._random.randint(1, 20))
        body = json.dumps({"instances": values.tolist()}).encode()
        _check_rest(values, *self._rest.ask(body, pause_seconds=pause_seconds))

    def _ask_slowly(self) -> None:
        self._ask_rest(pause_seconds=0.3)

    def _ask_much(self) -> None:
        values, body = _render_large()
        status, answer = self._rest.ask(body)
        # To read its numbers takes the client as long as the server: the bytes of an answer that was right are.
        if status != 200 or answer not in self._right_large_answers:
            _check_rest(values, status, answer)
            self._right_large_answers.append(answer)

    def _ask_and_not_read(self) -> None:
        self.rest()
        self._unread = self._rest.ask_and_not_read(_render_unread())

    def _ask_badly(self) -> None:
        body, expected = self._random.choice(BAD_BODIES)
        status, answer = self._rest.ask(body)
        if status not in {expected, *_SHED} or b'"error"' not in answer:
            raise WrongAnswerError(f"{status} {answer[:100]!r} for {body[:40]!r}")

    def _send_garbage(self) -> None:
        try:
            self._rest.send_garbage(self._random.choice(GARBAGE))
        except ConnectionError:
            self.outcome.kinds["hung up"] += 1

    def _vanish(self) -> None:
        self._rest.vanish(json.dumps({"instances": draw_values(self._random, 20).tolist()}).encode())


@cache
def _render_large() -> tuple[np.ndarray, bytes]:
    """The same for everybody: what it is made of does not matter, and the stress is not about its own time."""
    values = np.resize(draw_values(random.Random(0), 1000), LARGE_BODY_BYTES // 6)  # noqa: S311
    return values, json.dumps({"instances": values.tolist()}).encode()


@cache
def _render_unread() -> bytes:
    """Two bytes a number, and five or more for each in the answer."""
    return json.dumps({"instances": [1] * UNREAD_VALUES}, separators=(",", ":")).encode()


def _check_rest(values: np.ndarray, status: int, answer: bytes) -> None:
    if status in _SHED:
        raise Shed
    if status != 200 or json.loads(answer)["predictions"] != (values / 2 + 2).tolist():
        raise WrongAnswerError(f"{status} {answer[:100]!r} for {values[:5]}")
