"""TensorFlow Serving's gRPC services and gRPC's health service over the data plane.

The health service's Watch is not there: it is answered UNIMPLEMENTED, after which clients go on without it.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from model_server._protos import health_pb2
from model_server._protos.tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
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
from model_server.grpc_calls import Call, CallServer, Take
from model_server.inference import Inference, Run
from model_server.memory_limit import LARGEST_MESSAGE_BYTES, RequestLimits
from model_server.metadata import check_fields, render_metadata, render_status
from model_server.model_config import plan_models
from model_server.predict import LARGE_BYTES, DataPlane, ModelSpec
from model_server.predict_forms import PredictForms, Question, parse_model_spec, parse_request_spec
from model_server.reload_calls import MOST_RELOADS, ReloadCalls
from model_server.servable import Servable
from model_server.turns import LARGEST_BYTES, ElsewhereError, Turns

_LOGGER = logging.getLogger(__name__)

_LONGEST_DEADLINE_SECONDS = 30 * 86_400.0
PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
HEALTH_SERVICE = "grpc.health.v1.Health"
_HEALTH_NAMES = {"", PREDICTION_SERVICE, MODEL_SERVICE}

# A request as what it was parsed into; the call says how much time is left.
Method = Callable[[Any, Call], bytes]


@dataclass(frozen=True)
class GrpcSettings:
    """Where to listen and how much to take at once; port 0 listens on the socket path only."""

    bind_address: str
    port: int
    socket_path: Path | None
    max_threads: int
    channel_arguments: tuple[tuple[str, int | str], ...] = ()
    credentials: grpc.ServerCredentials | None = None
    # Whether a prediction that nobody else stands in the way of is run where it arrives; right for one interpreter.
    inline: bool = False


class GrpcService:
    """The gRPC server; it listens from `start` until `stop`.

    Health, status and metadata are answered where they arrive, so that an overloaded server is not taken for dead.
    """

    def __init__(
        self,
        data_plane: DataPlane,
        inference: Inference,
        settings: GrpcSettings,
        access_log: AccessLog | None = None,
        limits: RequestLimits | None = None,
    ) -> None:
        self._data_plane = data_plane
        self._access_log = access_log
        self._inference = inference
        self._settings = settings
        self._turns = Turns(lambda: data_plane.busy, enabled=settings.inline)
        self._limits = limits or RequestLimits()
        # Predictions that are not answered yet, and their bytes; the numbers change on the server's thread only.
        self._under_way = 0
        self._held_bytes = 0
        self._threads = ThreadPoolExecutor(settings.max_threads, thread_name_prefix="grpc")
        self._reloads = ReloadCalls(
            self._guard(model_management_pb2.ReloadConfigRequest, _serializing(self._reload)),
            self._guard(model_management_pb2.ReloadConfigRequest, _refuse_reload, _parse_nothing),
        )
        self._server = CallServer(
            self._plan_methods(),
            self._turns,
            options=[
                ("grpc.max_receive_message_length", self._limits.grpc_message_bytes),
                ("grpc.max_send_message_length", LARGEST_MESSAGE_BYTES),
                # Without this a second server on the same port would start, and silently share its connections.
                ("grpc.so_reuseport", 0),
                *settings.channel_arguments,
            ],
        )

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
        self._reloads.start()
        self._server.start()

    def _listen(self, address: str, flag: str) -> None:
        try:
            self._server.listen(address, self._settings.credentials)
        except OSError as error:
            raise StartupError(
                f"{flag} cannot be opened for gRPC on {address}: stop what listens there or give another value."
            ) from error

    def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, and wait for those under way, which are cancelled after the grace."""
        self._server.stop(grace_seconds, self._give_up)
        self._threads.shutdown(wait=False)

    def _give_up(self) -> None:
        self._reloads.give_up()
        # Else those who wait for an engine would be run one after the other, for clients that have been cancelled.
        self._data_plane.give_up()

    def _plan_methods(self) -> dict[str, Take]:
        inference, forms = self._inference, PredictForms(self._inference)
        predict = self._answer_one("Predict", Question.parse_spec, forms.answer)
        classify = self._answer_one("Classify", parse_request_spec, _serializing(inference.classify))
        regress = self._answer_one("Regress", parse_request_spec, _serializing(inference.regress))
        prediction = {
            "Predict": self._predicts(predict_pb2.PredictRequest, predict, forms.read),
            "Classify": self._predicts(classification_pb2.ClassificationRequest, classify),
            "Regress": self._predicts(regression_pb2.RegressionRequest, regress),
            "MultiInference": self._predicts(inference_pb2.MultiInferenceRequest, _serializing(self._infer)),
            "GetModelMetadata": self._at_once(
                get_model_metadata_pb2.GetModelMetadataRequest, _serializing(self._get_model_metadata)
            ),
        }
        model = {
            "GetModelStatus": self._at_once(
                get_model_status_pb2.GetModelStatusRequest, _serializing(self._get_model_status)
            ),
            "HandleReloadConfigRequest": self._reloads.take,
        }
        health = {"Check": self._at_once(health_pb2.HealthCheckRequest, _serializing(self._check_health))}
        services = {PREDICTION_SERVICE: prediction, MODEL_SERVICE: model, HEALTH_SERVICE: health}
        return {f"/{service}/{name}": take for service, methods in services.items() for name, take in methods.items()}

    def _at_once(self, kind: Any, method: Method) -> Take:
        """Answered on this thread however many predictions there are, unless the request is so long that it is work."""
        answer, bounded = self._guard(kind, method), self._predicts(kind, method)
        return lambda call: (answer if len(call.message) <= LARGEST_BYTES else bounded)(call)

    def _predicts(self, kind: Any, method: Method, parse: Callable[[bytes], Any] | None = None) -> Take:
        """Predictions are bounded in number, and run on this thread or on another one."""
        answer = self._guard(kind, method, parse)
        refuse = self._guard(kind, self._refuse_busy, _parse_short(kind))
        refuse_much = self._guard(kind, self._refuse_much, _parse_short(kind))

        def take(call: Call) -> None:
            self._under_way += 1
            self._held_bytes += len(call.message)
            call.ended = self._end_prediction
            if self._under_way > self._settings.max_threads:
                refuse(call)
            elif self._held_bytes > self._limits.grpc_bytes:
                refuse_much(call)
            elif self._turns.suit(len(call.message)):
                waits = self._turns.behind
                self._turns.offer(
                    lambda: self._answer_late(answer, call) if waits else answer(call),
                    lambda: self._submit(answer, call),
                )
            else:
                self._submit(answer, call)

        return take

    def _submit(self, answer: Take, call: Call, *, large: bool = False) -> None:
        self._threads.submit(self._answer_late, answer, call, large=large)

    def _answer_late(self, answer: Take, call: Call, *, large: bool = False) -> None:
        self._data_plane.metrics.observe_thread_wait("GRPC", time.perf_counter() - call.arrived_seconds)
        if call.cancelled:
            # Nobody waits for the answer any more.
            call.refuse(grpc.StatusCode.CANCELLED, "")
        else:
            answer(call)
        if large or len(call.message) > LARGE_BYTES:
            self._data_plane.tidy()

    def _end_prediction(self, call: Call) -> None:
        self._under_way -= 1
        self._held_bytes -= len(call.message)

    def _refuse_busy(self, request: Any, _: Call) -> NoReturn:
        self._refuse_prediction(
            request, f"{self._settings.max_threads} requests are under way, the number that --grpc_max_threads allows."
        )

    def _refuse_much(self, request: Any, _: Call) -> NoReturn:
        self._refuse_prediction(
            request,
            f"Requests of {self._limits.grpc_bytes} bytes are under way, all that the memory allows: send it again.",
        )

    def _refuse_prediction(self, request: Any, message: str) -> NoReturn:
        error = ResourceExhaustedError(message)
        if hasattr(request, "model_spec"):
            self._data_plane.metrics.count_request(request.model_spec.name, error.grpc.name)
        raise error

    def _guard(self, kind: Any, method: Method, parse: Callable[[bytes], Any] | None = None) -> Take:
        """Turn our errors into status codes, at the only place where that happens."""
        name, parse = kind.DESCRIPTOR.name.removesuffix("Request"), parse or kind.FromString

        def answer(call: Call) -> None:
            request = None
            try:
                request = parse(call.message)
                response = method(request, call)
            except ServingError as error:
                code, message = error.grpc, str(error)
            except DecodeError:
                code, message = grpc.StatusCode.INTERNAL, "Exception deserializing request!"
            except ElsewhereError:
                self._submit(answer, call, large=True)
                return
            except Exception:
                _LOGGER.exception("a gRPC call failed")
                code, message = grpc.StatusCode.INTERNAL, "The server failed: its log says where."
            else:
                call.answer(response)
                self._log(name, request, "OK", call, len(response))
                return
            call.refuse(code, format_details(message))
            self._log(name, request, code.name, call, 0)

        return answer

    def _log(self, method: str, request: Any, status: str, call: Call, response_bytes: int) -> None:
        """One line for the call, named as its request is: Predict, GetModelStatus, HealthCheck."""
        if self._access_log is not None:
            spec = getattr(request, "model_spec", None)
            seconds = time.perf_counter() - call.arrived_seconds
            model = spec.name if spec else ""
            self._access_log.add("GRPC", method, model, status, seconds, len(call.message), response_bytes)

    def _answer_one(
        self, api: str, parse_spec: Callable[[Any], ModelSpec], infer: Callable[[Servable, Any, Run], bytes]
    ) -> Method:
        """A request for one signature, counted and timed."""
        metrics = self._data_plane.metrics

        def answer(request: Any, call: Call) -> bytes:
            name = request.model_spec.name
            try:
                with self._data_plane.acquire(parse_spec(request)) as servable:
                    response = infer(servable, request, self._runner(servable, api, call))
            except ServingError as error:
                metrics.count_request(name, error.grpc.name)
                raise
            metrics.observe_answer(name, servable.version, api, "GRPC", time.perf_counter() - call.arrived_seconds)
            return response

        return answer

    def _infer(self, request: inference_pb2.MultiInferenceRequest, call: Call) -> inference_pb2.MultiInferenceResponse:
        """Neither counted nor timed in TensorFlow Serving's metrics, as there."""
        spec = parse_model_spec(request.tasks[0].model_spec) if request.tasks else ModelSpec("")
        with self._data_plane.acquire(spec) as servable:
            return self._inference.infer(servable, request, self._runner(servable, "MultiInference", call))

    def _runner(self, servable: Servable, api: str, call: Call) -> Run:
        return self._data_plane.runner(servable, api, limit_seconds(call.read_seconds_left()))

    def _get_model_metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, _: Call
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        spec = parse_request_spec(request)
        check_fields(request.metadata_field)
        with self._data_plane.acquire(spec) as servable:
            return render_metadata(servable)

    def _get_model_status(
        self, request: get_model_status_pb2.GetModelStatusRequest, _: Call
    ) -> get_model_status_pb2.GetModelStatusResponse:
        return render_status(self._data_plane.statuses(parse_request_spec(request)))

    def _reload(
        self, request: model_management_pb2.ReloadConfigRequest, _: Call
    ) -> model_management_pb2.ReloadConfigResponse:
        if request.config.WhichOneof("config") != "model_config_list":
            raise InvalidArgumentError(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently"
                " supported"
            )
        self._data_plane.reload(plan_models(request.config))
        return model_management_pb2.ReloadConfigResponse(status=status_pb2.StatusProto())

    def _check_health(self, request: health_pb2.HealthCheckRequest, _: Call) -> health_pb2.HealthCheckResponse:
        if request.service not in _HEALTH_NAMES:
            raise NotFoundError(f"There is no service {request.service} here.")
        status = health_pb2.HealthCheckResponse
        return status(status=status.SERVING if self._data_plane.ready else status.NOT_SERVING)


def limit_seconds(stated_seconds: float) -> float | None:
    """The time left of a call, or None where it has no deadline; gRPC states centuries then, which no clock counts."""
    return None if stated_seconds > _LONGEST_DEADLINE_SECONDS else stated_seconds


def _refuse_reload(_request: Any, _: Call) -> NoReturn:
    raise ResourceExhaustedError(f"{MOST_RELOADS} lists of models wait to be loaded: send the last one again.")


def _parse_nothing(_message: bytes) -> None:
    """A request that is refused whatever it is."""


def _parse_short(kind: Any) -> Callable[[bytes], Any]:
    """Of a request that is refused only the model's name counts, for which nothing long is read."""
    return lambda message: kind.FromString(message if len(message) <= LARGEST_BYTES else b"")


def _serializing(answer: Callable[..., Any]) -> Callable[..., bytes]:
    return lambda *asked: bytes(answer(*asked).SerializeToString())
