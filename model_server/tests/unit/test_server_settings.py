from pathlib import Path

import pytest

from model_server.errors import StartupError
from model_server.settings import load_metrics_path, load_settings, parse_channel_arguments

BASE = {"model_base_path": "/models/m"}


def test_thread_numbers_follow_the_processors():
    settings = load_settings({**BASE, "rest_api_port": 8501}, processors=3)
    assert (settings.loading.engine.interpreters, settings.loading.engine.threads) == (3, 1)
    assert settings.rest is not None
    assert (settings.rest.threads, settings.grpc.max_threads) == (12, 64)


def test_given_numbers_win():
    given = {**BASE, "num_tflite_pools": 5, "grpc_max_threads": 2, "tensorflow_intra_op_parallelism": 4}
    settings = load_settings({**given, "load_retry_interval_micros": 1_500_000}, processors=3)
    assert (settings.loading.engine.interpreters, settings.loading.engine.threads, settings.grpc.max_threads) == (
        5,
        4,
        2,
    )
    assert settings.polling.retry_interval_seconds == 1.5
    assert settings.polling.load_retries == 0


def test_socket_may_be_the_only_port():
    settings = load_settings({**BASE, "port": 0, "grpc_socket_path": "/s"}, processors=1)
    assert (settings.rest, settings.grpc.port, settings.grpc.socket_path) == (None, 0, Path("/s"))


def test_no_rest_port_means_no_rest():
    assert load_settings(BASE, processors=1).rest is None


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"model_base_path": ""}, "Both --model_base_path and --model_config_file are empty!"),
        ({"port": 0}, "--port=0 opens no port for gRPC: give --grpc_socket_path"),
        ({"rest_api_port": 8500}, "--rest_api_port cannot be same as --port (8500)"),
        ({"port": 70_000}, "--port=70000 is no port"),
        ({"num_tflite_pools": -1}, "--num_tflite_pools=-1 is not possible"),
        ({"monitoring_config_file": "/does/not/exist"}, "--monitoring_config_file=/does/not/exist cannot be read"),
        ({"grpc_channel_arguments": "a"}, "--grpc_channel_arguments has the part a"),
    ],
)
def test_contradictions_are_refused_with_the_flag(given, text):
    with pytest.raises(StartupError) as error:
        load_settings({**BASE, **given}, processors=1)
    assert text in str(error.value)


def test_channel_arguments_keep_integers():
    parsed = parse_channel_arguments("grpc.max_connection_age_ms=20,grpc.primary_user_agent=a b")
    assert parsed == (("grpc.max_connection_age_ms", 20), ("grpc.primary_user_agent", "a b"))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('prometheus_config { enable: true path: "/metrics" }', "/metrics"),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { path: "/metrics" }', None),
        ("", None),
    ],
)
def test_metrics_path_comes_from_the_monitoring_file(tmp_path: Path, text, path):
    file = tmp_path / "monitoring.txt"
    file.write_text(text)
    assert load_metrics_path(str(file)) == path


def test_unreadable_monitoring_file_says_what_is_wrong(tmp_path: Path):
    file = tmp_path / "monitoring.txt"
    file.write_text("prometheus_config { enabled: true }")
    with pytest.raises(
        StartupError, match=r"^Error parsing text-format tensorflow.serving.MonitoringConfig: .*enabled"
    ):
        load_metrics_path(str(file))
