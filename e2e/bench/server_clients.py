"""Clients that cost almost nothing: prepared bytes over one socket, so that what is measured is the server.

A gRPC client library takes longer for a call than this server's own part of it.
"""

import json
import socket
import struct
from typing import Any

import numpy as np

from model_server._protos.tensorflow_serving.apis import predict_pb2

TIMEOUT_SECONDS = 60
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACKNOWLEDGED, _END_HEADERS = 1, 1, 4
_FRAME_BYTES = 16_384
_LARGE_WINDOW = 2**30


class _Socket:
    """Reads exactly so many bytes, or up to a mark."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._receive()
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._receive()
        return self.read(self._buffer.index(mark) + len(mark))

    def _receive(self) -> None:
        received = self._socket.recv(262_144)
        if not received:
            raise ConnectionError("the server closed the connection")
        self._buffer += received

    def close(self) -> None:
        self._socket.close()


class RestClient:
    """Sends one prepared prediction again and again over one kept connection."""

    def __init__(self, host: str, port: int, model: str, image: np.ndarray[Any, Any]) -> None:
        self._socket = _Socket(host, port)
        self.set_body(model, json.dumps({"instances": image.tolist()}).encode())

    def set_body(self, model: str, body: bytes) -> None:
        """Prepare another request."""
        head = f"POST /v1/models/{model}:predict HTTP/1.1\r\nhost: model\r\ncontent-length: {len(body)}\r\n\r\n"
        self._request = head.encode() + body

    def ask(self) -> bytes:
        """The answer's body.

        Raises:
            RuntimeError: The status is not 200.
        """
        self._socket.send(self._request)
        head = self._socket.read_until(b"\r\n\r\n").lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        body = self._socket.read(length)
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(f"{head.splitlines()[0]!r}: {body!r}")
        return body

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


class GrpcClient:
    """Sends one prepared Predict call again and again, each on a stream of its own over one connection."""

    def __init__(self, host: str, port: int, model: str, name: str, image: np.ndarray[Any, Any]) -> None:
        self._socket = _Socket(host, port)
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        tensor = request.inputs[name]
        tensor.dtype = 1  # DT_FLOAT
        tensor.tensor_content = image.tobytes()
        for size in image.shape:
            tensor.tensor_shape.dim.add(size=size)
        message = request.SerializeToString()
        self._message = b"\0" + struct.pack(">I", len(message)) + message
        self._headers = b"".join(
            _literal(name, value)
            for name, value in (
                (":method", "POST"),
                (":scheme", "http"),
                (":path", "/tensorflow.serving.PredictionService/Predict"),
                (":authority", host),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
            )
        )
        self._stream = -1
        self._trailers = b""
        settings = struct.pack(">HI", 4, _LARGE_WINDOW)
        self._socket.send(
            _PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, struct.pack(">I", _LARGE_WINDOW))
        )

    def ask(self) -> predict_pb2.PredictResponse:
        """The answer.

        Raises:
            RuntimeError: The call failed.
        """
        self._stream += 2
        frames = [_frame(_HEADERS, _END_HEADERS, self._stream, self._headers)]
        for start in range(0, len(self._message), _FRAME_BYTES):
            piece = self._message[start : start + _FRAME_BYTES]
            last = start + _FRAME_BYTES >= len(self._message)
            frames.append(_frame(_DATA, _END_STREAM if last else 0, self._stream, piece))
        self._socket.send(b"".join(frames))
        content = self._read_stream()
        if not content:
            raise RuntimeError(f"the call failed: {self._trailers!r}")
        return predict_pb2.PredictResponse.FromString(content[5:])

    def _read_stream(self) -> bytes:
        content = b""
        while True:
            head = self._socket.read(9)
            payload = self._socket.read(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            if kind == _DATA:
                content += payload
                window = struct.pack(">I", max(len(payload), 1))
                self._socket.send(_frame(_WINDOW, 0, 0, window))
            elif kind in {_SETTINGS, _PING} and not flags & _ACKNOWLEDGED:
                self._socket.send(_frame(kind, _ACKNOWLEDGED, 0, payload if kind == _PING else b""))
            elif kind in {_RESET, _GOAWAY}:
                raise RuntimeError(f"the server ended the stream with a frame of type {kind}")
            elif kind == _HEADERS and flags & _END_STREAM and stream == self._stream:
                self._trailers = payload
                return content

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _literal(name: str, value: str) -> bytes:
    """A header field without indexing and without Huffman coding; both are shorter than 127 bytes."""
    return b"".join((b"\0", bytes([len(name)]), name.encode(), bytes([len(value)]), value.encode()))
