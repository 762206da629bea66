"""A proxy before an API server that fails on purpose: it loses, delays, refuses and invents answers, and cuts watches.

It speaks plain HTTP to its one client and TLS to the server, and passes on who asks; so the client's kubeconfig needs
the proxy's address and a token, nothing else.
"""

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp
import yaml
from aiohttp import web
from loopback import HOST, free_ports
from yarl import URL

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# They ask who the client is and what it may do, and change nothing.
_REVIEWS = ("/apis/authentication.k8s.io/", "/apis/authorization.k8s.io/")
_NOT_PASSED_ON = frozenset({"host", "connection", "keep-alive", "transfer-encoding", "content-length"})
_PIECE_BYTES = 65_536
_LAST_TURNS = 10
_SHUTDOWN_SECONDS = 5

Given = TypeVar("Given")


@dataclass
class Asked:
    """One request that came.

    Attributes:
        method: GET, PATCH, ….
        path: without the query.
        query: as text.
        token: what the client said that it is.
        write: which of the client's writes it is, from 1; 0 for one that changes nothing.
        at: monotonic seconds.
        status: the server's answer, whether or not the client got it; 0 before, and where there is none.
    """

    method: str
    path: str
    query: str
    token: str
    write: int
    at: float = field(default_factory=time.monotonic)
    status: int = 0

    @property
    def watches(self) -> bool:
        """Whether it is a watch."""
        return "watch=true" in self.query or "watch=1" in self.query


@dataclass(frozen=True)
class Answer:
    """An answer of the proxy's own: the server is not asked."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """A Status as the API server words it."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "reason": {401: "Unauthorized", 429: "TooManyRequests"}.get(self.status, "InternalError"),
            "message": f"the proxy says {self.status}",
            "code": self.status,
        }


@dataclass(frozen=True)
class Lose:
    """The connection ends without an answer.

    Attributes:
        done: whether the server gets the request, and does it, before that.
        then: what happens in that very moment, such as the client's end.
    """

    done: bool
    then: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Wait:
    """The answer, and each piece of a watch, comes so much later."""

    seconds: float


Outcome = Answer | Lose | Wait | None
"""What becomes of a request; None: it is passed on."""
Rule = Callable[[Asked], Outcome]


def pass_on(_: Asked) -> Outcome:
    """Nothing fails."""
    return None


class ApiProxy:
    """`with ApiProxy(kubeconfig) as proxy:` answers at `proxy.url` until the block ends.

    Attributes:
        rule: decides what becomes of each request; set it at any time.
        asked: every request so far, in the order in which they came.
    """

    def __init__(self, kubeconfig: Path) -> None:
        """Stand before the server that the kubeconfig names."""
        cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
        self._server: str = cluster["server"]
        self._trust = ssl.create_default_context(cafile=cluster["certificate-authority"])
        (self._port,) = free_ports(1)
        self.rule: Rule = pass_on
        self.asked: list[Asked] = []
        self._writes = 0
        self._watches: list[tuple[web.BaseRequest, aiohttp.ClientResponse]] = []

    @property
    def url(self) -> str:
        """What a client's kubeconfig names as the server."""
        return f"http://{HOST}:{self._port}"

    def writes(self) -> list[Asked]:
        """The requests that were to change something, and those alone."""
        return [each for each in self.asked if each.write]

    def write_kubeconfig(self, path: Path, token: str = "", token_file: Path | None = None) -> Path:
        """A client's kubeconfig, with a token or the file that holds it."""
        user = {"tokenFile": str(token_file)} if token_file else {"token": token}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
            "users": [{"name": "operator", "user": user}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "operator"}}],
            "current-context": "proxy",
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def cut_watches(self) -> int:
        """End every watch that runs now, in the middle of what it was saying; how many there were."""
        return self._await(self._cut_watches())

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """While in the block, watches stay open and say nothing more; what they held back comes afterwards."""
        self._loop.call_soon_threadsafe(self._moving.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._moving.set)

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """While in the block nobody listens here: connections end, and new ones are refused."""
        self._await(self._close())
        try:
            yield
        finally:
            self._await(self._listen())

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api-proxy", daemon=True)
        self._thread.start()
        self._await(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        """End every connection."""
        self._await(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _await(self, work: Coroutine[Any, Any, Given]) -> Given:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _open(self) -> None:
        self._moving = asyncio.Event()
        self._moving.set()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._trust),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        await self._listen()

    async def _listen(self) -> None:
        self._web = web.Server(self._handle, access_log=None)
        self._listener = await self._loop.create_server(self._web, HOST, self._port, reuse_address=True)

    async def _close(self) -> None:
        self._listener.close()
        for connection in self._web.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._cut_watches()
        await self._web.shutdown(_SHUTDOWN_SECONDS)

    async def _end(self) -> None:
        self._moving.set()
        await self._close()
        await self._session.close()
        # The last of each connection's callbacks runs a few turns after its end.
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)

    async def _cut_watches(self) -> int:
        cut = list(self._watches)
        for request, answer in cut:
            _abort(request.transport)
            _abort(answer.connection and answer.connection.transport)
        return len(cut)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = self._note(request)
        body = await request.read()
        outcome = self.rule(asked)
        if isinstance(outcome, Answer):
            asked.status = outcome.status
            return web.json_response(outcome.body, status=outcome.status, headers=outcome.headers)
        if isinstance(outcome, Lose) and not outcome.done:
            return _lose(request, outcome)
        delay_seconds = outcome.seconds if isinstance(outcome, Wait) else 0.0
        try:
            async with self._ask(request, body) as answer:
                asked.status = answer.status
                if isinstance(outcome, Lose):
                    await answer.read()
                    return _lose(request, outcome)
                if asked.watches and answer.status == 200:
                    return await self._pass_watch_on(request, answer, delay_seconds)
                text = await answer.read()
            await asyncio.sleep(delay_seconds)
            return web.Response(status=answer.status, headers=_kept(answer.headers), body=text)
        except (aiohttp.ClientError, ConnectionError):
            # The server ended the connection, or the client did: the one is as the other would have it.
            return _lose(request, Lose(done=False))

    def _note(self, request: web.BaseRequest) -> Asked:
        write = 0
        if request.method in WRITES and not request.path.startswith(_REVIEWS):
            self._writes += 1
            write = self._writes
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        asked = Asked(request.method, request.path, request.query_string, token, write)
        self.asked.append(asked)
        return asked

    def _ask(self, request: web.BaseRequest, body: bytes) -> Any:
        url = URL(self._server + request.raw_path, encoded=True)
        return self._session.request(request.method, url, headers=_kept(request.headers), data=body or None)

    async def _pass_watch_on(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, delay_seconds: float
    ) -> web.StreamResponse:
        await asyncio.sleep(delay_seconds)
        out = web.StreamResponse(status=answer.status, headers=_kept(answer.headers))
        await out.prepare(request)
        watch = request, answer
        self._watches.append(watch)
        try:
            async for piece in _delayed(answer.content.iter_chunked(_PIECE_BYTES), delay_seconds):
                await self._moving.wait()
                await out.write(piece)
        finally:
            self._watches.remove(watch)
            # An ordinary end of TLS would wait for the server's.
            _abort(answer.connection and answer.connection.transport)
        return out


async def _delayed(pieces: AsyncIterator[bytes], seconds: float) -> AsyncIterator[bytes]:
    """The pieces in their order, each so much later than it came."""
    if not seconds:
        async for piece in pieces:
            yield piece
        return
    loop, waiting = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

    async def take() -> None:
        try:
            async for piece in pieces:
                waiting.put_nowait((loop.time() + seconds, piece))
        finally:
            waiting.put_nowait((loop.time() + seconds, b""))

    taking = asyncio.create_task(take())
    try:
        while True:
            due, piece = await waiting.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not piece:
                return
            yield piece
    finally:
        taking.cancel()
        with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
            await taking


def _lose(request: web.BaseRequest, how: Lose) -> web.Response:
    how.then()
    _abort(request.transport)
    return web.Response()


def _abort(transport: Any) -> None:
    """End the connection as a network does: at once, and without a word; nothing when it has ended."""
    if transport is not None:
        transport.abort()


def _kept(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _NOT_PASSED_ON}
