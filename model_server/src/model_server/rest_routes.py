"""What each REST path answers: one request in, one response out; no sockets here."""

import json
import logging
import re
import time
import zlib
from dataclasses import dataclass, replace
from urllib.parse import unquote

from model_server._protos.tensorflow_serving.apis import classification_pb2, regression_pb2
from model_server.answer_packing import pack_answer
from model_server.errors import InvalidArgumentError, ServingError
from model_server.inference import Inference
from model_server.json_rows import looks_like_rows
from model_server.metadata import render_metadata_json, render_status_json
from model_server.predict import LARGE_BYTES, DataPlane, ModelSpec
from model_server.turns import ElsewhereError
from model_server.wire_examples import format_classifications, format_regressions, parse_examples
from model_server.wire_rest import format_error, format_outputs, parse_body, parse_inputs

_LOGGER = logging.getLogger(__name__)

_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
PREDICTION_PATH = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_MODEL_PATH = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?P<metadata>/metadata)?", re.IGNORECASE | re.ASCII
)
LARGEST_INFLATED_BYTES = 100 * 1024 * 1024
# No deflated byte stands for more.
_LARGEST_RATIO = 1032
LARGEST_VERSION = 2**63 - 1
_MOST_DIGITS = len(str(LARGEST_VERSION))
CORS_HEADERS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
)


@dataclass(frozen=True)
class RestRequest:
    """A request with its whole body; `path` includes the query, as TensorFlow Serving matches it."""

    method: str
    path: str
    body: bytes
    gzipped: bool
    accepts_gzip: bool
    arrived_seconds: float
    """By the performance counter."""

    @property
    def content_bytes(self) -> int:
        """The size of the body, or of what it holds in gzip where that is more."""
        return max(len(self.body), state_inflated_bytes(self.body)) if self.gzipped else len(self.body)


@dataclass(frozen=True)
class RestResponse:
    """A whole response; `packed` is the body in gzip where the client takes that."""

    status: int
    body: str
    content_type: str = "application/json"
    packed: bytes | None = None

    @property
    def size_bytes(self) -> int:
        """The length of the body as it is sent."""
        if self.packed:
            return len(self.packed)
        return len(self.body) if self.body.isascii() else len(self.body.encode("utf-8", errors="replace"))


@dataclass(frozen=True)
class RestSettings:
    """Where to listen, and how requests are taken; no metrics path means no metrics."""

    bind_address: str
    port: int
    threads: int
    timeout_seconds: float
    metrics_path: str | None
    cors: bool
    # Whether a prediction that nobody else stands in the way of is run where it arrives; right for one interpreter.
    inline: bool = False
    # One that would be answered later than this is refused, where more than a few wait.
    longest_wait_seconds: float = 5.0


class RestRoutes:
    """Answers every path; errors become their status and a JSON body here."""

    def __init__(self, data_plane: DataPlane, inference: Inference, settings: RestSettings) -> None:
        self._data_plane = data_plane
        self._inference = inference
        self._settings = settings
        self._methods = {"predict": self._predict, "classify": self._classify, "regress": self._regress}

    @property
    def busy(self) -> bool:
        """Whether a graph is running now, for any wire."""
        return self._data_plane.busy

    def tidy(self) -> None:
        """After a large request."""
        self._data_plane.tidy()

    def observe_queue(self, seconds: float) -> None:
        """A prediction waited so long for a thread."""
        self._data_plane.metrics.observe_thread_wait("REST", seconds)

    def answer(self, request: RestRequest) -> RestResponse:
        """The response to the request, whatever it is.

        Raises:
            ElsewhereError: It belongs on another thread.
        """
        try:
            response = self._route(request)
            return replace(response, packed=pack_answer(response.body)) if request.accepts_gzip else response
        except ServingError as error:
            return RestResponse(error.http, format_error(str(error)))
        except ElsewhereError:
            raise
        except Exception:
            _LOGGER.exception("%s %s failed", request.method, request.path)
            return RestResponse(500, format_error("The server failed: its log says where."))

    def _route(self, request: RestRequest) -> RestResponse:
        path = request.path.partition("?")[0]
        if request.path[:4].lower() == "/v1/":
            return self._answer_model(request)
        if path == self._settings.metrics_path:
            return RestResponse(200, self._data_plane.metrics.format_page(), "text/plain")
        if path == "/healthz":
            return RestResponse(200, "ok\n", "text/plain")
        if path == "/readyz":
            ready = self._data_plane.ready
            return RestResponse(200 if ready else 503, "ready\n" if ready else "not ready\n", "text/plain")
        return RestResponse(404, format_error(f"Not found: {path}"))

    def _answer_model(self, request: RestRequest) -> RestResponse:
        if self._settings.cors and request.method == "OPTIONS":
            return RestResponse(200, "")
        if request.method == "POST" and (found := PREDICTION_PATH.fullmatch(request.path)):
            return self._answer_prediction(request, _parse_spec(found), found["method"].lower())
        if request.method == "GET" and (found := _MODEL_PATH.fullmatch(request.path)):
            return self._answer_get(request, _parse_spec(found), metadata=bool(found["metadata"]))
        self._data_plane.metrics.count_request("", InvalidArgumentError.grpc.name)
        raise InvalidArgumentError(f"Malformed request: {request.method} {request.path}")

    def _answer_get(self, request: RestRequest, spec: ModelSpec, *, metadata: bool) -> RestResponse:
        metrics = self._data_plane.metrics
        try:
            if not spec.name:
                raise InvalidArgumentError("Missing model name in request.")
            if metadata:
                with self._data_plane.acquire(spec) as servable:
                    document = render_metadata_json(servable)
            else:
                document = render_status_json(self._data_plane.statuses(spec))
        except ServingError as error:
            metrics.count_request(spec.name, error.grpc.name)
            raise
        metrics.count_request(spec.name, "OK")
        metrics.observe_request(spec.name, "", "REST", time.perf_counter() - request.arrived_seconds)
        return RestResponse(200, json.dumps(document, indent=1) + "\n")

    def _answer_prediction(self, request: RestRequest, spec: ModelSpec, method: str) -> RestResponse:
        metrics = self._data_plane.metrics
        try:
            text, version = self._methods[method](request, spec)
        except ServingError as error:
            metrics.count_request(spec.name, error.grpc.name)
            raise
        metrics.observe_answer(spec.name, version, method, "REST", time.perf_counter() - request.arrived_seconds)
        return RestResponse(200, text)

    def _classify(self, request: RestRequest, spec: ModelSpec) -> tuple[str, int]:
        body = parse_body(_inflate(request))
        question = classification_pb2.ClassificationRequest(input=parse_examples(body))
        question.model_spec.name, question.model_spec.signature_name = spec.name, body.signature_name
        with self._data_plane.acquire(spec) as servable:
            run = self._data_plane.runner(servable, "Classify", self._left_seconds(request))
            response = self._inference.classify(servable, question, run)
            return format_classifications(response.result), servable.version

    def _regress(self, request: RestRequest, spec: ModelSpec) -> tuple[str, int]:
        body = parse_body(_inflate(request))
        question = regression_pb2.RegressionRequest(input=parse_examples(body))
        question.model_spec.name, question.model_spec.signature_name = spec.name, body.signature_name
        with self._data_plane.acquire(spec) as servable:
            run = self._data_plane.runner(servable, "Regress", self._left_seconds(request))
            response = self._inference.regress(servable, question, run)
            return format_regressions(response.result), servable.version

    def _left_seconds(self, request: RestRequest) -> float:
        return request.arrived_seconds + self._settings.timeout_seconds - time.perf_counter()

    def _predict(self, request: RestRequest, spec: ModelSpec) -> tuple[str, int]:
        content = _inflate(request)
        body = None if looks_like_rows(content) else parse_body(content)
        with self._data_plane.acquire(spec) as servable:
            name = (body.signature_name if body else "") or spec.signature
            signature = servable.signatures.get(name)
            if signature is None:
                raise InvalidArgumentError(f'Serving signature name: "{name}" not found in signature def')
            rows = servable.parse_rows(signature, content) if body is None else None
            inputs, row_format = (rows, True) if rows else parse_inputs(body or parse_body(content), signature)
            outputs = self._data_plane.run(servable, signature, inputs, timeout_seconds=self._left_seconds(request))
            return format_outputs(outputs, row_format=row_format), servable.version


def _parse_version(text: str) -> int:
    digits = text.lstrip("0") or "0"
    # Python converts no number of thousands of digits.
    if len(digits) > _MOST_DIGITS or int(digits) > LARGEST_VERSION:
        raise InvalidArgumentError(f"Failed to convert version: {text} to numeric.")
    return int(digits)


def _parse_spec(found: re.Match[str]) -> ModelSpec:
    version = None if found["version"] is None else _parse_version(found["version"])
    return ModelSpec(unquote(found["name"] or ""), version, unquote(found["label"] or ""))


def _inflate(request: RestRequest) -> bytes:
    return inflate(request.body) if request.gzipped else request.body


def state_inflated_bytes(body: bytes) -> int:
    """How many bytes the gzip body says that it holds, at its end; at most 100 MB, and what its own size allows."""
    return min(int.from_bytes(body[-4:], "little"), len(body) * _LARGEST_RATIO, LARGEST_INFLATED_BYTES)


def inflate(body: bytes) -> bytes:
    """The gzip body's content, at most 100 MB of it, and where it is large, not more than it says.

    Raises:
        InvalidArgumentError: It is no gzip, or it holds more.
    """
    limit_bytes = max(state_inflated_bytes(body), LARGE_BYTES)
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        # One more, or the end would not be read of what has just this size.
        content = inflater.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise InvalidArgumentError(f"Failed to uncompress request body: {error}.") from error
    if len(content) > limit_bytes or not inflater.eof:
        raise InvalidArgumentError(
            f"Failed to uncompress request body: it is cut short or exceeds {limit_bytes} bytes."
        )
    return content
