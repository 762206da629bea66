"""The arguments that the operator writes for spec.serving, run as they are: the engine that is asked for answers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from first_answer import START_SECONDS, wait_for_answer
from local_servers import ROOT
from loopback import HOST, free_ports

from model_operator import names
from model_operator.api.v1alpha1 import parse_model
from model_operator.planning.artifact import Artifact
from model_operator.planning.deployment import MODELS_FOLDER, render_deployment
from model_operator.settings import Settings

MODELS = ROOT / "model_server" / "tests" / "data"
WITHOUT_OPENVINO = ROOT / ".envs" / "server" / "bin" / "python"


def render_arguments(**serving):
    """The server's arguments in the Deployment of a model that is served so."""
    artifact = {"uri": "pvc://store/a.zip", "digest": "sha256:" + "0" * 64}
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "half-plus-two", "namespace": "press"},
        "spec": {"source": {"artifact": artifact}, "serving": serving},
    }
    deployment = render_deployment(
        parse_model(body), "uid-1", Artifact(artifact["digest"], artifact["uri"]), Settings()
    )
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container["args"]


@pytest.fixture
def start(tmp_path):
    """Starts a server with the operator's arguments; only places and ports are those of this machine."""
    processes = []
    (tmp_path / "half-plus-two").mkdir()
    (tmp_path / "half-plus-two" / "1").symlink_to(MODELS / "half_plus_two")
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")

    def run(python, arguments):
        grpc, rest = free_ports(2)
        placed = [
            argument.replace(MODELS_FOLDER, str(tmp_path))
            .replace(f"={names.GRPC_PORT}", f"={grpc}")
            .replace(f"={names.HTTP_PORT}", f"={rest}")
            .replace("/etc/modelpress/monitoring.config", str(monitoring))
            for argument in arguments
        ]
        log = (tmp_path / "log").open("wb")
        command = [python, "-m", "model_server", f"--bind_address={HOST}", *placed]
        processes.append((subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT), log))
        return processes[-1][0], rest, tmp_path / "log"

    yield run
    for process, log in processes:
        process.kill()
        process.wait()
        log.close()


def predict(process, port, log):
    """The answer to one prediction, once there is one."""
    url = f"http://{HOST}:{port}/v1/models/half-plus-two:predict"
    return json.loads(wait_for_answer(process, url, log, b'{"instances": [2.0]}'))


@pytest.mark.parametrize(
    ("serving", "has_openvino"),
    [({}, False), ({"engine": "LiteRT", "precision": "Int8"}, False), ({"engine": "OpenVINO"}, True)],
)
def test_the_engine_that_is_asked_for_answers(serving, has_openvino, start):
    process, port, log = start(sys.executable, render_arguments(**serving))
    assert predict(process, port, log) == {"predictions": [3.0]}
    loaded = Path(f"/proc/{process.pid}/maps").read_text()
    assert ("libopenvino" in loaded) is has_openvino
    assert "unknown" not in log.read_text().lower()


def test_an_image_without_openvino_says_so_where_the_operator_reads_it(start):
    process, _, log = start(WITHOUT_OPENVINO, render_arguments(engine="OpenVINO"))
    assert process.wait(START_SECONDS) == 255
    last = log.read_text().strip().splitlines()[-1]
    assert "--engine=openvino needs OpenVINO, which is not here: install modelpress-server[openvino]" in last
