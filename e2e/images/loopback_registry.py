"""The half of the OCI distribution protocol that a push uses, on 127.0.0.1 and in memory: for tests of `--push`."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit


class LoopbackRegistry(ThreadingHTTPServer):
    """Keeps what is pushed.

    Attributes:
        blob_bytes: size of each blob by digest; its digest was verified.
        manifests: by `repository:tag`.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blob_bytes: dict[str, int] = {}
        self.manifests: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, bytearray] = {}

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_address[1]}"


@contextmanager
def loopback_registry() -> Iterator[LoopbackRegistry]:
    """A registry, as long as the block runs."""
    with LoopbackRegistry() as registry:
        thread = threading.Thread(target=registry.serve_forever)
        thread.start()
        try:
            yield registry
        finally:
            registry.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def registry(self) -> LoopbackRegistry:
        return cast("LoopbackRegistry", self.server)

    def do_GET(self) -> None:
        self._answer(HTTPStatus.OK if self.path == "/v2/" else HTTPStatus.NOT_FOUND)

    def do_HEAD(self) -> None:
        digest = self.path.rpartition("/")[2]
        size = self.registry.blob_bytes.get(digest)
        self._answer(HTTPStatus.NOT_FOUND if size is None else HTTPStatus.OK, size or 0)

    def do_POST(self) -> None:
        self._body()
        self.registry.uploads[self.path + str(len(self.registry.uploads))] = bytearray()
        self._answer(HTTPStatus.ACCEPTED, location=list(self.registry.uploads)[-1])

    def do_PATCH(self) -> None:
        self.registry.uploads[self.path] += self._body()
        self._answer(HTTPStatus.ACCEPTED, location=self.path)

    def do_PUT(self) -> None:
        url, body = urlsplit(self.path), self._body()
        if "/manifests/" in url.path:
            self.registry.manifests[url.path.removeprefix("/v2/").replace("/manifests/", ":")] = json.loads(body)
            self._answer(HTTPStatus.CREATED)
            return
        (digest,) = parse_qs(url.query)["digest"]
        blob = self.registry.uploads[url.path] + body
        if digest != f"sha256:{hashlib.sha256(blob).hexdigest()}":
            self._answer(HTTPStatus.BAD_REQUEST)
            return
        self.registry.blob_bytes[digest] = len(blob)
        self._answer(HTTPStatus.CREATED)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: HTTPStatus, size: int = 0, location: str = "") -> None:
        self.send_response_only(status)  # unlike send_response it writes no log
        self.send_header("Content-Length", str(size))
        if location:
            self.send_header("Location", location)
        self.end_headers()
