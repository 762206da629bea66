"""A store that is a bucket: what the operator renders is taken by an API server, and then run as it stands.

The commands of the build and of the unpacking are those of the Job and of the Deployment, with their environment and
the Secret's, as a kubelet would start them; the recipe is known to the store, so that nothing is trained.
"""

import base64
import json
import os
import subprocess
import sys

import pytest
from images.steps import tell_on_stderr
from operator_play import NOW, OperatorProcess, training_model
from store.programs import build_server
from store.server import StoreServer, render_environment
from store.version_folder import write_version_folder

from model_artifact.inspection import inspect
from model_artifact.manifest import Provenance
from model_artifact.object_store import Bucket
from model_artifact.packing import pack
from model_artifact.recipe import parse_recipe
from model_artifact.summary import parse_summary
from model_builder.store import open_store

SECRET = "modelpress-s3"  # noqa: S105  a Secret's name
PROGRAMS = {"model-builder-job": "model_builder.job", "model-artifact": "model_artifact"}


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """An S3 server with a bucket named models."""
    server = StoreServer(build_server(tell_on_stderr), tmp_path_factory.mktemp("s3"))
    server.start()
    server.make_bucket("models")
    yield server
    server.stop()


@pytest.fixture
def own_operator(operator_kubeconfig, api_namespace, tmp_path):
    """An operator whose models are kept in the bucket."""
    settings = {"store_uri": "s3://models/team", "store_secret_name": SECRET, "resync_seconds": 5}
    with OperatorProcess(operator_kubeconfig, tmp_path / "log", watch_namespaces=api_namespace, **settings) as running:
        yield running


def run_container(cluster, container, places):
    """The container's own command, environment and termination message; folders of the pod are those of `places`."""
    variables = {each["name"]: each["value"] for each in container.get("env", [])}
    for source in container["envFrom"]:
        data = cluster.read("secret", source["secretRef"]["name"])["data"]
        variables |= {name: base64.b64decode(value).decode() for name, value in data.items()}
    log = places["/dev/termination-log"]
    arguments = [places.get(each, each) for each in container.get("args", [])]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MODELPRESS_"))}
    done = subprocess.run(
        [sys.executable, "-m", PROGRAMS[container["command"][0]], *arguments],
        env={**clean, **variables, "MODELPRESS_TERMINATION_LOG": log},
        check=False,
        capture_output=True,
        text=True,
    )
    with open(log, encoding="utf-8") as message:  # noqa: PTH123  the file may be any
        return done, message.read()


def make_secret(cluster, s3):
    cluster.make(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET},
            "stringData": render_environment(s3.port),
        }
    )


def store_artifact(s3, recipe, folder, monkeypatch):
    """Put what the recipe gives into the store, as a build of another namespace did."""
    made = Provenance(recipe=recipe, trained=True, layers=(), versions={}, duration_seconds=1.0)
    pack(write_version_folder(folder / "version", 0), folder / "artifact.zip", provenance=made)
    with monkeypatch.context() as patch:
        for name, value in render_environment(s3.port).items():
            patch.setenv(name, value)
        return open_store("s3://models/team").keep(folder / "artifact.zip", recipe.digest)


def test_a_model_comes_from_a_bucket_and_the_operator_never_sees_a_key(
    own_operator, cluster, s3, tmp_path, monkeypatch
):
    assert own_operator
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    assert job["metadata"]["annotations"]["modelpress.dev/store"] == "s3://models/team"
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": SECRET}}]
    assert [each["name"] for each in spec["volumes"]] == ["tmp"]
    recipe = parse_recipe(next(each["value"] for each in container["env"] if each["name"] == "MODELPRESS_RECIPE"), "it")
    stored = store_artifact(s3, recipe, tmp_path, monkeypatch)

    make_secret(cluster, s3)
    done, message = run_container(cluster, container, {"/dev/termination-log": str(tmp_path / "log")})
    assert (done.returncode, parse_summary(message)) == (0, stored), done.stderr
    cluster.start_build(job)
    cluster.end_build(job, message)
    cluster.wait_for("small", ArtifactReady="True/Built")
    cluster.serve("small")
    cluster.wait_for("small", Ready="True/Serving")
    uri = f"s3://models/team/{stored.path}"
    assert cluster.read("cmod", "small")["status"]["artifact"]["uri"] == uri
    (record,) = cluster.list("configmaps", "app.kubernetes.io/managed-by=modelpress")
    assert record["metadata"]["annotations"]["modelpress.dev/store"] == "s3://models/team"

    pod = cluster.read("deployment", "small")["spec"]["template"]["spec"]
    (unpacking,) = pod["initContainers"]
    assert unpacking["args"][:2] == ["unpack", uri]
    assert "envFrom" not in pod["containers"][0]
    places = {"/models/small/1": str(tmp_path / "models" / "1"), "/dev/termination-log": str(tmp_path / "unpacked")}
    done, message = run_container(cluster, unpacking, places)
    assert (done.returncode, done.stdout) == (0, f"{stored.digest}\n"), done.stderr
    assert parse_summary(message).digest == inspect(tmp_path / "artifact.zip").digest
    assert (tmp_path / "models" / "1" / "model.tflite").is_file()
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        secret = render_environment(s3.port)[name]
        assert secret not in own_operator.words()
        for kind in ("cmod", "jobs", "deployments", "configmaps", "events"):
            assert secret not in json.dumps(cluster.list(kind))


def test_a_build_without_its_secret_says_how_to_make_it_and_goes_on(own_operator, cluster):
    assert own_operator
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    pod = cluster.start_build(job)
    waiting = {"reason": "CreateContainerConfigError", "message": f'secret "{SECRET}" not found'}
    cluster._put_container(pod, "build", {"waiting": waiting}, "Pending")
    cluster.wait_for("small", Ready="False/StoreMissing", Reconciling="True/StoreMissing", Stalled="False/NotStalled")
    assert f"create secret generic {SECRET} --from-literal=AWS_ACCESS_KEY_ID=…" in cluster.message("small", "Ready")
    cluster._put_container(pod, "build", {"running": {"startedAt": NOW}}, "Running")
    cluster.wait_for("small", Ready="False/Building")


def test_a_model_may_name_a_store_of_its_own_and_the_rest_is_refused(own_operator, cluster):
    assert own_operator
    refused = cluster.server.kubectl(
        "apply", "-n", cluster.namespace, "-f", "-", text=json.dumps(training_model(store={"uri": "gs://models"}))
    )
    assert refused.returncode != 0
    assert "uri must be s3://BUCKET/PREFIX, or pvc://CLAIM, a PersistentVolumeClaim of the same name" in refused.stderr
    cluster.make(training_model(store={"uri": "pvc://mine"}))
    cluster.wait_for("small", Ready="False/StoreMissing")
    assert "The PersistentVolumeClaim mine does not exist." in cluster.message("small", "Ready")
    cluster.make_claim("mine")
    (job,) = cluster.wait_for_jobs(1, seconds=20)
    spec = job["spec"]["template"]["spec"]
    assert spec["volumes"][0] == {"name": "store", "persistentVolumeClaim": {"claimName": "mine"}}
    assert "envFrom" not in spec["containers"][0]


def test_a_given_artifact_may_lie_in_a_bucket(own_operator, cluster, s3, tmp_path):
    assert own_operator
    pack(write_version_folder(tmp_path / "given", 0), tmp_path / "given.zip")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (environment := render_environment(s3.port)).items():
            patch.setenv(name, value)
        Bucket("models", environment).upload(tmp_path / "given.zip", "shared/given.zip")
    digest = inspect(tmp_path / "given.zip").digest
    make_secret(cluster, s3)
    given = {"uri": "s3://models/shared/given.zip", "digest": digest}
    body = training_model()
    cluster.make({**body, "spec": {"source": {"artifact": given}}})
    cluster.serve("small")
    cluster.wait_for("small", Ready="True/Serving", ArtifactReady="True/Verified")
    (unpacking,) = cluster.read("deployment", "small")["spec"]["template"]["spec"]["initContainers"]
    places = {"/models/small/1": str(tmp_path / "1"), "/dev/termination-log": str(tmp_path / "log")}
    done, _ = run_container(cluster, unpacking, places)
    assert (done.returncode, done.stdout) == (0, f"{digest}\n"), done.stderr
