"""Flags -> the settings of every part, built once and passed down."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_server._protos import monitoring_config_pb2
from model_server.batching_settings import BatchingSettings, load_batching
from model_server.engines import parse_engine_kind
from model_server.errors import StartupError
from model_server.flags import FLAGS, Value
from model_server.grpc_service import GrpcSettings
from model_server.inference import Inference
from model_server.loading import LoadSettings
from model_server.model_config import ModelConfig, ModelList
from model_server.rest_routes import RestSettings
from model_server.servable import EngineSettings
from model_server.served_model import Polling
from model_server.text_config import load_text_config
from model_server.tls import load_credentials

DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"
THREADS_PER_PROCESSOR = 4
# A server of one processor still has many clients; a waiting thread costs little, a refused call a retry.
FEWEST_GRPC_THREADS = 64
LARGEST_PORT = 65_535


@dataclass(frozen=True)
class Settings:
    """What the whole process needs."""

    models: ModelList
    loading: LoadSettings
    polling: Polling
    inference: Inference
    grpc: GrpcSettings
    rest: RestSettings | None
    access_log: bool = False


class _Values:
    """Typed access to the given values, with the defaults filled in."""

    def __init__(self, given: Mapping[str, Value]) -> None:
        self._given = given

    def text(self, name: str) -> str:
        return str(self._given.get(name, FLAGS[name].default))

    def number(self, name: str, default: int | None = None) -> int:
        return int(self._given.get(name, FLAGS[name].default if default is None else default) or 0)

    def truth(self, name: str) -> bool:
        return bool(self._given.get(name, FLAGS[name].default))

    def positive(self, name: str, default: int) -> int:
        number = self.number(name, default)
        if number < 1:
            raise StartupError(f"--{name}={number} is not possible: give 1 or more.")
        return number

    def port(self, name: str) -> int:
        number = self.number(name)
        if not 0 <= number <= LARGEST_PORT:
            raise StartupError(f"--{name}={number} is no port: give 1 to {LARGEST_PORT}, or 0 for none.")
        return number


def load_settings(given: Mapping[str, Value], processors: int) -> Settings:
    """The settings for these flags on a machine with so many processors for us.

    Raises:
        StartupError: Flags contradict each other, or the monitoring file cannot be read.
    """
    values = _Values(given)
    models = _plan_model_list(values, processors)
    port, rest_port, socket_path = values.port("port"), values.port("rest_api_port"), values.text("grpc_socket_path")
    if not port and not socket_path:
        raise StartupError("--port=0 opens no port for gRPC: give --grpc_socket_path as well.")
    if port and port == rest_port:
        raise StartupError(f"--rest_api_port cannot be same as --port ({port}): give one of them another port.")
    address = values.text("bind_address")
    inline = values.number("num_tflite_pools", processors) == 1 and not values.truth("enable_batching")
    metrics_path = load_metrics_path(values.text("monitoring_config_file"))
    rest = RestSettings(
        address or "::",
        rest_port,
        values.positive("rest_api_num_threads", THREADS_PER_PROCESSOR * processors),
        values.number("rest_api_timeout_in_ms") / 1e3,
        metrics_path,
        values.truth("rest_api_enable_cors_support"),
        inline,
        values.number("rest_api_longest_wait_in_ms") / 1e3,
    )
    loading = _plan_loading(values, processors)
    return Settings(
        models,
        loading,
        Polling(
            values.number("file_system_poll_wait_seconds"),
            values.number("max_num_load_retries"),
            values.number("load_retry_interval_micros") / 1e6,
        ),
        loading.inference,
        GrpcSettings(
            address or "0.0.0.0",  # noqa: S104
            port,
            Path(socket_path) if socket_path else None,
            values.positive("grpc_max_threads", max(FEWEST_GRPC_THREADS, THREADS_PER_PROCESSOR * processors)),
            parse_channel_arguments(values.text("grpc_channel_arguments")),
            load_credentials(values.text("ssl_config_file"), use_alts=values.truth("use_alts_credentials")),
            inline,
        ),
        rest if rest_port else None,
        values.truth("access_log"),
    )


def _plan_loading(values: _Values, processors: int) -> LoadSettings:
    parallelism = [f"tensorflow_{kind}_parallelism" for kind in ("intra_op", "inter_op", "session")]
    if all(values.number(name) > 0 for name in parallelism):
        raise StartupError(
            "Give either --tensorflow_session_parallelism or --tensorflow_intra_op_parallelism and"
            " --tensorflow_inter_op_parallelism; not all three."
        )
    engine = EngineSettings(
        values.positive("num_tflite_pools", processors),
        max(1, values.number("tensorflow_intra_op_parallelism"), values.number("tensorflow_session_parallelism")),
        frozenset(values.text("saved_model_tags").split(",")),
        parse_engine_kind(values.text("engine")),
    )
    inference = Inference(
        check_methods=values.truth("enable_signature_method_name_check"),
        as_content=values.truth("enable_serialization_as_tensor_content"),
    )
    iterations = max(1, values.number("num_request_iterations_for_warmup"))
    return LoadSettings(
        engine,
        inference,
        iterations if values.truth("enable_model_warmup") else 0,
        _plan_batching(values, processors),
    )


def _plan_batching(values: _Values, processors: int) -> BatchingSettings | None:
    file = values.text("batching_parameters_file")
    if not values.truth("enable_batching"):
        if file:
            raise StartupError("--batching_parameters_file is set without setting --enable_batching to true.")
        return None
    default = load_batching(Path(file) if file else None, processors)
    return BatchingSettings(default, per_model=values.truth("enable_per_model_batching_parameters"))


def _plan_model_list(values: _Values, processors: int) -> ModelList:
    """The single model of the flags, which the file overrides."""
    base_path, file = values.text("model_base_path"), values.text("model_config_file")
    if not base_path and not file:
        raise StartupError(
            "Both --model_base_path and --model_config_file are empty! Give the folder that holds the version folders,"
            " an artifact, or a file that lists models."
        )
    return ModelList(
        ModelConfig(values.text("model_name"), base_path),
        Path(file) if file else None,
        values.number("model_config_file_poll_wait_seconds"),
        values.number("num_load_threads") or processors,
        values.truth("allow_version_labels_for_unavailable_models"),
    )


def parse_channel_arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    """`key=value` pairs by commas; values that are integers are passed on as such.

    Raises:
        StartupError: A part is no pair.
    """
    pairs: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not key or not equals:
            raise StartupError(f"--grpc_channel_arguments has the part {part}: write key=value,key=value.")
        pairs.append((key, int(value) if value.removeprefix("-").isdecimal() else value))
    return tuple(pairs)


def load_metrics_path(file: str) -> str | None:
    """Where metrics are answered, or None where the file does not enable them.

    Raises:
        StartupError: The file cannot be read as a MonitoringConfig.
    """
    if not file:
        return None
    config = load_text_config(Path(file), monitoring_config_pb2.MonitoringConfig(), "monitoring_config_file")
    prometheus = config.prometheus_config
    return (str(prometheus.path) or DEFAULT_METRICS_PATH) if prometheus.enable else None
