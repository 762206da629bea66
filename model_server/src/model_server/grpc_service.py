"""TensorFlow Serving's gRPC services and gRPC's health service over the data plane.

The health service's Watch is not registered: gRPC itself answers UNIMPLEMENTED, after which clients go on without it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import grpc

from model_server._protos import health_pb2
from model_server._protos.tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
    status_pb2,
)
from model_server.access_log import AccessLog
from model_server.errors import (
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    ServingError,
    StartupError,
    format_details,
)
from model_server.inference import Inference, Run
from model_server.metadata import check_fields, render_metadata, render_status
from model_server.model_config import plan_models
from model_server.predict import DataPlane, ModelSpec
from model_server.servable import Servable

_LOGGER = logging.getLogger(__name__)

LARGEST_MESSAGE_BYTES = 2**31 - 1
_LONGEST_DEADLINE_SECONDS = 30 * 86_400.0
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
    channel_arguments: tuple[tuple[str, int | str], ...] = ()
    credentials: grpc.ServerCredentials | None = None


class GrpcService:
    """The gRPC server; it listens from `start` until `stop`."""

    def __init__(
        self,
        data_plane: DataPlane,
        inference: Inference,
        settings: GrpcSettings,
        access_log: AccessLog | None = None,
    ) -> None:
        self._data_plane = data_plane
        self._access_log = access_log
        self._inference = inference
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
            if self._settings.credentials is None:
                self._server.add_insecure_port(address)
            else:
                self._server.add_secure_port(address, self._settings.credentials)
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

        inference = self._inference
        prediction = {
            "Predict": unary(self._answer_one("Predict", inference.predict), predict_pb2.PredictRequest),
            "Classify": unary(
                self._answer_one("Classify", inference.classify), classification_pb2.ClassificationRequest
            ),
            "Regress": unary(self._answer_one("Regress", inference.regress), regression_pb2.RegressionRequest),
            "MultiInference": unary(self._infer, inference_pb2.MultiInferenceRequest),
            "GetModelMetadata": unary(self._get_model_metadata, get_model_metadata_pb2.GetModelMetadataRequest),
        }
        model = {
            "GetModelStatus": unary(self._get_model_status, get_model_status_pb2.GetModelStatusRequest),
            "HandleReloadConfigRequest": unary(self._reload, model_management_pb2.ReloadConfigRequest),
        }
        health = {"Check": unary(self._check_health, health_pb2.HealthCheckRequest)}
        return (
            grpc.method_handlers_generic_handler(PREDICTION_SERVICE, prediction),
            grpc.method_handlers_generic_handler(MODEL_SERVICE, model),
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
        )

    def _guard(self, method: Method) -> Method:
        """Turn our errors into status codes, at the only place where that happens."""

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            arrived_seconds = time.perf_counter()
            try:
                response = method(request, context)
                self._log(request, "OK", arrived_seconds, response)
            except ServingError as error:
                code, message = error.grpc, str(error)
            except Exception:
                _LOGGER.exception("a gRPC call failed")
                code, message = grpc.StatusCode.INTERNAL, "The server failed: its log says where."
            else:
                return response
            self._log(request, code.name, arrived_seconds, None)
            _abort(context, code, message)

        return answer

    def _log(self, request: Any, status: str, arrived_seconds: float, response: Any) -> None:
        """One line for the call, named as its request is: Predict, GetModelStatus, HealthCheck."""
        if self._access_log is not None:
            method, spec = type(request).__name__.removesuffix("Request"), getattr(request, "model_spec", None)
            sizes = request.ByteSize(), 0 if response is None else response.ByteSize()
            seconds = time.perf_counter() - arrived_seconds
            self._access_log.add("GRPC", method, spec.name if spec else "", status, seconds, *sizes)

    def _answer_one(self, api: str, infer: Callable[[Servable, Any, Run], Any]) -> Method:
        """A request for one signature: bounded in number, counted and timed."""

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            started = time.perf_counter()
            name, metrics = request.model_spec.name, self._data_plane.metrics
            try:
                with self._slot():
                    spec = _parse_spec(request)
                    response = self._run_on(spec, api, request, infer, context)
            except ServingError as error:
                metrics.count_request(name, error.grpc.name)
                raise
            seconds = time.perf_counter() - started
            metrics.count_request(name, "OK")
            metrics.observe_request(name, api, "GRPC", seconds)
            metrics.observe_predict(name, response.model_spec.version.value, api, "GRPC", seconds)
            return response

        return answer

    def _infer(
        self, request: inference_pb2.MultiInferenceRequest, context: grpc.ServicerContext
    ) -> inference_pb2.MultiInferenceResponse:
        """Neither counted nor timed in TensorFlow Serving's metrics, as there."""
        spec = _parse_model_spec(request.tasks[0].model_spec) if request.tasks else ModelSpec("")
        with self._slot():
            response: inference_pb2.MultiInferenceResponse = self._run_on(
                spec, "MultiInference", request, self._inference.infer, context
            )
        return response

    def _run_on(
        self,
        spec: ModelSpec,
        api: str,
        request: Any,
        infer: Callable[[Servable, Any, Run], Any],
        context: grpc.ServicerContext,
    ) -> Any:
        with self._data_plane.acquire(spec) as servable:
            return infer(servable, request, self._data_plane.runner(servable, api, read_seconds_left(context)))

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(blocking=False):
            raise ResourceExhaustedError(
                f"{self._settings.max_threads} requests are under way, the number that --grpc_max_threads allows."
            )
        try:
            yield
        finally:
            self._slots.release()

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

    def _reload(
        self, request: model_management_pb2.ReloadConfigRequest, _: grpc.ServicerContext
    ) -> model_management_pb2.ReloadConfigResponse:
        if request.config.WhichOneof("config") != "model_config_list":
            raise InvalidArgumentError(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently"
                " supported"
            )
        self._data_plane.reload(plan_models(request.config))
        return model_management_pb2.ReloadConfigResponse(status=status_pb2.StatusProto())

    def _check_health(
        self, request: health_pb2.HealthCheckRequest, _: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in _HEALTH_NAMES:
            raise NotFoundError(f"There is no service {request.service} here.")
        status = health_pb2.HealthCheckResponse
        return status(status=status.SERVING if self._data_plane.ready else status.NOT_SERVING)


def read_seconds_left(context: grpc.ServicerContext) -> float | None:
    """The time left of a call, or None where it has no deadline; gRPC states centuries then, which no clock counts."""
    seconds = context.time_remaining()
    return None if seconds > _LONGEST_DEADLINE_SECONDS else seconds


def _parse_spec(request: Any) -> ModelSpec:
    if not request.HasField("model_spec"):
        raise InvalidArgumentError("Missing ModelSpec")
    return _parse_model_spec(request.model_spec)


def _parse_model_spec(spec: model_pb2.ModelSpec) -> ModelSpec:
    return ModelSpec(
        spec.name, spec.version.value if spec.HasField("version") else None, spec.version_label, spec.signature_name
    )


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, message: str) -> NoReturn:
    context.abort(code, format_details(message))
