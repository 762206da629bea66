"""Flags -> the settings of every part, built once and passed down."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format

from model_server._protos import monitoring_config_pb2
from model_server.errors import StartupError
from model_server.flags import FLAGS, Value
from model_server.grpc_service import GrpcSettings
from model_server.repository import Polling
from model_server.rest_routes import RestSettings
from model_server.servable import EngineSettings

DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"
THREADS_PER_PROCESSOR = 4
# A server of one processor still has many clients; a waiting thread costs little, a refused call a retry.
FEWEST_GRPC_THREADS = 64
LARGEST_PORT = 65_535


@dataclass(frozen=True)
class Settings:
    """What the whole process needs."""

    model_name: str
    model_base_path: Path
    engine: EngineSettings
    polling: Polling
    grpc: GrpcSettings
    rest: RestSettings | None


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
    if not values.text("model_base_path"):
        raise StartupError("--model_base_path is empty: give the folder that holds the version folders.")
    port, rest_port, socket_path = values.port("port"), values.port("rest_api_port"), values.text("grpc_socket_path")
    if not port and not socket_path:
        raise StartupError("--port=0 opens no port for gRPC: give --grpc_socket_path as well.")
    if port == rest_port:
        raise StartupError(f"--rest_api_port cannot be same as --port ({port}): give one of them another port.")
    address = values.text("bind_address")
    metrics_path = load_metrics_path(values.text("monitoring_config_file"))
    rest = RestSettings(
        address or "::",
        rest_port,
        values.positive("rest_api_num_threads", THREADS_PER_PROCESSOR * processors),
        values.number("rest_api_timeout_in_ms") / 1e3,
        metrics_path,
        values.truth("rest_api_enable_cors_support"),
    )
    return Settings(
        values.text("model_name"),
        Path(values.text("model_base_path")),
        EngineSettings(
            values.positive("num_tflite_pools", processors),
            max(1, values.number("tensorflow_intra_op_parallelism")),
            frozenset(values.text("saved_model_tags").split(",")),
        ),
        Polling(
            values.number("file_system_poll_wait_seconds"),
            values.number("max_num_load_retries"),
            values.number("load_retry_interval_micros") / 1e6,
        ),
        GrpcSettings(
            address or "0.0.0.0",  # noqa: S104
            port,
            Path(socket_path) if socket_path else None,
            values.positive("grpc_max_threads", max(FEWEST_GRPC_THREADS, THREADS_PER_PROCESSOR * processors)),
            values.truth("enable_serialization_as_tensor_content"),
            parse_channel_arguments(values.text("grpc_channel_arguments")),
        ),
        rest if rest_port else None,
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
    try:
        config = text_format.Parse(Path(file).read_text(encoding="utf-8"), monitoring_config_pb2.MonitoringConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise StartupError(
            f"--monitoring_config_file={file} cannot be read as a MonitoringConfig in text format: {error}; write"
            f' prometheus_config {{ enable: true path: "{DEFAULT_METRICS_PATH}" }}.'
        ) from error
    prometheus = config.prometheus_config
    return (str(prometheus.path) or DEFAULT_METRICS_PATH) if prometheus.enable else None
