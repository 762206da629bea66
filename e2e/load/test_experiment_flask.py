"""The Flask baseline's pod is ours with another server."""

import subprocess
import sys

import pytest

from load.configurations import Limits, Planned, render_manifest
from load.deploying import Scene, count_threads, read_saved_model_bytes
from load.flask_pod import render_flask
from load.kpis import PrometheusPlace
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.planning.artifact import Artifact
from model_operator.planning.deployment import render_deployment
from model_operator.settings import Settings

DIGEST = "sha256:" + "1" * 64


@pytest.fixture
def ours():
    manifest = render_manifest(Planned("cnn-a0-b32", "cnn", 0.0, 32), Limits(), "60s")
    manifest["metadata"] |= {"namespace": "load", "uid": "1", "generation": 1}
    settings = Settings(server_image="modelpress-server:1", unpack_image="unpack:1", builder_image="builder:1")
    artifact = Artifact(DIGEST, "pvc://modelpress-store/artifacts/a.zip")
    return render_deployment(CompressedModel.model_validate(manifest), "1", artifact, settings)


def test_the_pod_differs_from_ours_by_its_server_alone(ours):
    deployment, service = render_flask("cnn-flask", "flask:1", ours, threads=1)
    theirs, own = deployment["spec"]["template"]["spec"], ours["spec"]["template"]["spec"]
    (unpack,), (our_unpack,) = theirs["initContainers"], own["initContainers"]
    at = our_unpack["args"].index("--exclude")
    assert unpack["args"] == [*our_unpack["args"][:at], *our_unpack["args"][at + 2 :]]
    assert {**unpack, "args": our_unpack["args"]} == our_unpack
    assert theirs["securityContext"] == own["securityContext"]
    (server,), (our_server,) = theirs["containers"], own["containers"]
    assert server["resources"] == our_server["resources"] == Limits().render()
    assert server["securityContext"] == our_server["securityContext"]
    assert server["securityContext"]["readOnlyRootFilesystem"] is True
    assert server["name"] == our_server["name"]
    assert server["image"] == "flask:1"
    assert "--folder=/models/cnn-a0-b32/1" in server["args"]
    mounted = {mount["name"] for mount in server["volumeMounts"]}
    assert mounted <= {volume["name"] for volume in theirs["volumes"]}
    assert service["spec"]["ports"][0]["port"] == 8501
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]


def test_its_labels_are_none_that_our_services_or_scrapes_select(ours):
    deployment, _ = render_flask("cnn-flask", "flask:1", ours, threads=1)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert not [name for name in labels if name.startswith("modelpress.dev/")]
    assert labels["app.kubernetes.io/name"] == "flask-baseline"


def test_the_size_of_a_saved_model_is_that_of_its_files_without_ours(tmp_path):
    for name, size in (("saved_model.pb", 5), ("variables/variables.data", 70), ("fingerprint.pb", 1)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "model.tflite").write_bytes(bytes(300))
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "inputs.npy").write_bytes(bytes(900))

    class Pod:
        def run(self, *arguments):
            assert arguments[:5] == ("exec", "deployment/cnn-flask", "-n", "load", "--")
            return subprocess.run([sys.executable, *arguments[6:]], check=False, capture_output=True, text=True)

    scene = Scene(Pod(), "load", "a node", PrometheusPlace("system", "prometheus:9090"))
    planned = Planned("cnn-flask", "cnn", 0.0, 32, "flask")
    assert read_saved_model_bytes(scene, planned, {"args": ["--name=x", f"--folder={tmp_path}"]}) == 76
    assert read_saved_model_bytes(scene, planned, {"args": [f"--folder={tmp_path / 'none'}"]}) is None


@pytest.mark.parametrize(("cpu", "threads"), [("500m", 1), ("1", 1), ("1500m", 2), ("2", 2)])
def test_tensorflow_has_a_thread_for_each_processor_that_it_may_use(cpu, threads):
    assert count_threads(cpu) == threads
