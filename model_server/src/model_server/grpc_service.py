"""TensorFlow Serving's gRPC services and gRPC's health service over the data plane.

Methods that this server does not have are not registered: gRPC itself answers UNIMPLEMENTED for them, and for the
health service's Watch, after which clients go on without health checking.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import grpc

from model_server._protos import health_pb2
from model_server._protos.tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)
from model_server.errors import (
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    ServingError,
    StartupError,
    format_details,
)
from model_server.metadata import check_fields, render_metadata, render_status
from model_server.predict import DataPlane, ModelSpec, find_signature
from model_server.wire_grpc import parse_tensor, render_tensor

_LOGGER = logging.getLogger(__name__)

LARGEST_MESSAGE_BYTES = 2**31 - 1
# Health and status are answered by threads of their own number, so that an overloaded server is not taken for dead.
_THREADS_FOR_PROBES = 2
PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
_HEALTH_NAMES = {"", PREDICTION_SERVICE, MODEL_SERVICE}

Method = Callable[[Any, grpc.ServicerContext], Any]


@dataclass(frozen=True)
class GrpcSettings:
    """Where to listen and how much to take at once; port 0 listens on the socket path only."""

    bind_address: str
    port: int
    socket_path: Path | None
    max_threads: int
    as_content: bool
    channel_arguments: tuple[tuple[str, int | str], ...] = ()


class GrpcService:
    """The gRPC server; it listens from `start` until `stop`."""

    def __init__(self, data_plane: DataPlane, settings: GrpcSettings) -> None:
        self._data_plane = data_plane
        self._settings = settings
        self._slots = threading.BoundedSemaphore(settings.max_threads)
        self._server = grpc.server(
            ThreadPoolExecutor(settings.max_threads + _THREADS_FOR_PROBES, thread_name_prefix="grpc"),
            options=[
                ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
                ("grpc.max_send_message_length", LARGEST_MESSAGE_BYTES),
                # Without this a second server on the same port would start, and silently share its connections.
                ("grpc.so_reuseport", 0),
                *settings.channel_arguments,
            ],
        )
        self._server.add_generic_rpc_handlers(self._render_handlers())

    def start(self) -> None:
        """Open the port and the socket.

        Raises:
            StartupError: One of them is taken.
        """
        settings = self._settings
        if settings.port:
            address = f"[{settings.bind_address}]" if ":" in settings.bind_address else settings.bind_address
            self._listen(f"{address}:{settings.port}", f"--port={settings.port}")
        if settings.socket_path is not None:
            # A socket file outlives the process that listened on it.
            if settings.socket_path.is_socket():
                settings.socket_path.unlink()
            self._listen(f"unix:{settings.socket_path}", f"--grpc_socket_path={settings.socket_path}")
        self._server.start()

    def _listen(self, address: str, flag: str) -> None:
        try:
            self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise StartupError(
                f"{flag} cannot be opened for gRPC on {address}: stop what listens there or give another value."
            ) from error

    def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, and wait at most the grace for those under way."""
        self._server.stop(grace_seconds).wait()

    def _render_handlers(self) -> "tuple[grpc.GenericRpcHandler[Any, Any], ...]":
        def unary(method: Method, request: Any) -> "grpc.RpcMethodHandler[Any, Any]":
            return grpc.unary_unary_rpc_method_handler(
                self._guard(method),
                request_deserializer=request.FromString,
                response_serializer=_serialize,
            )

        prediction = {
            "Predict": unary(self._predict, predict_pb2.PredictRequest),
            "GetModelMetadata": unary(self._get_model_metadata, get_model_metadata_pb2.GetModelMetadataRequest),
        }
        model = {"GetModelStatus": unary(self._get_model_status, get_model_status_pb2.GetModelStatusRequest)}
        health = {"Check": unary(self._check_health, health_pb2.HealthCheckRequest)}
        return (
            grpc.method_handlers_generic_handler(PREDICTION_SERVICE, prediction),
            grpc.method_handlers_generic_handler(MODEL_SERVICE, model),
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
        )

    def _guard(self, method: Method) -> Method:
        """Turn our errors into status codes, at the only place where that happens."""

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                return method(request, context)
            except ServingError as error:
                code, message = error.grpc, str(error)
            except Exception:
                _LOGGER.exception("a gRPC call failed")
                code, message = grpc.StatusCode.INTERNAL, "The server failed: its log says where."
            _abort(context, code, message)

        return answer

    def _predict(
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        started = time.perf_counter()
        name, metrics = request.model_spec.name, self._data_plane.metrics
        try:
            if not self._slots.acquire(blocking=False):
                raise ResourceExhaustedError(
                    f"{self._settings.max_threads} requests are under way, the number that --grpc_max_threads allows."
                )
            try:
                response = self._answer_predict(request, context.time_remaining())
            finally:
                self._slots.release()
        except ServingError as error:
            metrics.count_request(name, error.grpc.name)
            raise
        seconds = time.perf_counter() - started
        metrics.count_request(name, "OK")
        metrics.observe_request(name, "Predict", "GRPC", seconds)
        metrics.observe_predict(name, response.model_spec.version.value, "Predict", "GRPC", seconds)
        return response

    def _answer_predict(
        self, request: predict_pb2.PredictRequest, timeout_seconds: float | None
    ) -> predict_pb2.PredictResponse:
        spec = _parse_spec(request)
        with self._data_plane.acquire(spec) as servable:
            signature = find_signature(servable, spec.signature)
            inputs = {name: parse_tensor(name, tensor) for name, tensor in request.inputs.items()}
            outputs = self._data_plane.run(servable, signature, inputs, request.output_filter, timeout_seconds)
            response = predict_pb2.PredictResponse()
            response.model_spec.name = spec.name
            response.model_spec.signature_name = spec.signature
            response.model_spec.version.value = servable.version
        for alias, array in outputs.items():
            render_tensor(array, response.outputs[alias], as_content=self._settings.as_content)
        return response

    def _get_model_metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, _: grpc.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        spec = _parse_spec(request)
        check_fields(request.metadata_field)
        with self._data_plane.acquire(spec) as servable:
            return render_metadata(servable)

    def _get_model_status(
        self, request: get_model_status_pb2.GetModelStatusRequest, _: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        return render_status(self._data_plane.statuses(_parse_spec(request)))

    def _check_health(
        self, request: health_pb2.HealthCheckRequest, _: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in _HEALTH_NAMES:
            raise NotFoundError(f"There is no service {request.service} here.")
        status = health_pb2.HealthCheckResponse
        return status(status=status.SERVING if self._data_plane.ready else status.NOT_SERVING)


def _parse_spec(request: Any) -> ModelSpec:
    if not request.HasField("model_spec"):
        raise InvalidArgumentError("Missing ModelSpec")
    spec: model_pb2.ModelSpec = request.model_spec
    return ModelSpec(
        spec.name, spec.version.value if spec.HasField("version") else None, spec.version_label, spec.signature_name
    )


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, message: str) -> NoReturn:
    context.abort(code, format_details(message))
