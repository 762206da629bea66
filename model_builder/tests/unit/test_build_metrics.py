import socket
import urllib.request

import pytest

from model_artifact.summary import BuildProgress
from model_builder.errors import BuildError
from model_builder.metrics import BuildMetrics, serve_metrics

TRAINING = BuildProgress(phase="Training", epoch=2, epochs=5, steps_per_second=7.5, zeros_percent=61.25, loss=0.5)


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def values(text):
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def test_the_file_holds_what_was_told_last(tmp_path):
    metrics = BuildMetrics(tmp_path / "build.prom")
    metrics(TRAINING)
    metrics(BuildProgress(phase="Training", epoch=3))
    found = values((tmp_path / "build.prom").read_text())
    assert found["modelpress_build_epoch"] == 3
    assert found["modelpress_build_steps_per_second"] == 7.5
    assert found["modelpress_build_zeros_percent"] == 61.25
    assert found['modelpress_build_phase{modelpress_build_phase="Training"}'] == 1
    assert found['modelpress_build_phase{modelpress_build_phase="Packing"}'] == 0


def test_what_is_not_known_is_not_zero(tmp_path):
    BuildMetrics(tmp_path / "build.prom")(TRAINING)
    assert "modelpress_build_test_accuracy_percent NaN" in (tmp_path / "build.prom").read_text()


def test_the_port_answers_prometheus(port):
    metrics = serve_metrics(port, None, "127.0.0.1")
    metrics(TRAINING)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert values(answer.read().decode())["modelpress_build_epochs"] == 5


def test_nothing_is_shown_where_nothing_is_asked_for():
    assert serve_metrics(None, None) is None


def test_a_port_that_is_taken_is_refused(port):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(BuildError, match=f"port {port}: cannot be had for metrics .* choose another"):
            serve_metrics(port, None, "127.0.0.1")


def test_a_file_without_a_folder_is_refused(tmp_path):
    with pytest.raises(BuildError, match="its folder is missing; make it, or name another file"):
        serve_metrics(None, tmp_path / "missing" / "build.prom")
