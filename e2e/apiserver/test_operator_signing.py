"""Builds that sign, and pods that serve what is signed alone: what the operator renders, run as a kubelet would.

The recipe is known to the store, signed by the key of the build, so that nothing is trained.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from operator_play import NOW, OperatorProcess, training_model
from store.version_folder import write_version_folder

from model_artifact.manifest import Provenance
from model_artifact.packing import pack
from model_artifact.recipe import parse_recipe
from model_artifact.summary import parse_summary
from model_builder.seal import KEY_VARIABLE, load_seal
from model_builder.store import open_store

PROGRAMS = {"model-builder-job": "model_builder.job", "model-artifact": "model_artifact"}
SECRET = "modelpress-signing"  # noqa: S105  a Secret's name


def make_keys():
    """A private key and its public half, in PEM."""
    secret = ec.generate_private_key(ec.SECP256R1())
    private = secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = secret.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


@pytest.fixture
def keys():
    return make_keys()


@pytest.fixture
def own_operator(operator_kubeconfig, api_namespace, keys, tmp_path):
    """An operator that trusts the key, and whose builds sign by it."""
    settings = {"signing_public_keys": keys[1], "signing_secret_name": SECRET, "resync_seconds": 5}
    with OperatorProcess(operator_kubeconfig, tmp_path / "log", watch_namespaces=api_namespace, **settings) as running:
        yield running


class Mounted:
    """The folders of a pod, each a folder of the test, and its containers as processes."""

    def __init__(self, root):
        self.root = root

    def place(self, path):
        """Where a path of the pod is here."""
        return self.root / path.removeprefix("/")

    def write(self, path, text):
        """A file that a volume of the pod holds."""
        self.place(path).parent.mkdir(parents=True, exist_ok=True)
        self.place(path).write_text(text)

    def run(self, container):
        """The container's own command; how it ended, and its termination message."""
        log = self.place("/dev/termination-log")
        log.parent.mkdir(exist_ok=True)
        stated = {each["name"]: self._here(each["value"]) for each in container.get("env", [])}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MODELPRESS_")}
        done = subprocess.run(
            [sys.executable, "-m", PROGRAMS[container["command"][0]], *map(self._here, container.get("args", []))],
            env={**clean, **stated, "MODELPRESS_TERMINATION_LOG": str(log)},
            check=False,
            capture_output=True,
            text=True,
        )
        return done, log.read_text()

    def _here(self, value):
        return str(self.place(value)) if value.startswith("/") else value


@pytest.fixture
def mounted(tmp_path):
    return Mounted(tmp_path / "pod")


def store_artifact(mounted, recipe):
    """Put what the recipe gives into the store, signed, as a build did before."""
    made = Provenance(recipe=recipe, trained=True, layers=(), versions={}, duration_seconds=1.0)
    artifact = mounted.root / "made" / "artifact.zip"
    pack(write_version_folder(artifact.parent / "1", 0), artifact, provenance=made)
    mounted.place("/store").mkdir()
    environment = {KEY_VARIABLE: str(mounted.place("/etc/modelpress/signing/signing.pem"))}
    store = open_store(str(mounted.place("/store")), load_seal(environment))
    store.prepare(0)
    return store.keep(artifact, recipe.digest)


def read_annotation_file(template):
    """What the volume `trust` holds, as the downward API writes it."""
    (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == "trust"]
    (item,) = volume["downwardAPI"]["items"]
    annotation = re.fullmatch(r"metadata\.annotations\['(.+)'\]", item["fieldRef"]["fieldPath"])[1]
    return item["path"], template["metadata"]["annotations"][annotation]


def fail_unpacking(cluster, pod, code, message):
    """Be the kubelet: the init container ends with an error."""
    end = {"exitCode": code, "message": message, "reason": "Error", "startedAt": NOW, "finishedAt": NOW}
    status = {
        "name": "unpack",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": end},
        "ready": False,
        "restartCount": 1,
        "image": "i",
        "imageID": "i",
    }
    ready = [{"type": "Ready", "status": "False", "lastTransitionTime": NOW}]
    cluster._put_status("pod", pod, {"phase": "Pending", "initContainerStatuses": [status], "conditions": ready})


def test_what_builds_sign_is_served_and_nothing_else(own_operator, cluster, keys, mounted):
    cluster.make_claim()
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    spec = job["spec"]["template"]["spec"]
    (volume,) = [each for each in spec["volumes"] if each["name"] == "signing-key"]
    assert volume["secret"]["secretName"] == SECRET
    (building,) = spec["containers"]
    recipe = parse_recipe(next(each["value"] for each in building["env"] if each["name"] == "MODELPRESS_RECIPE"), "it")
    mounted.write("/etc/modelpress/signing/signing.pem", keys[0])
    stored = store_artifact(mounted, recipe)
    done, message = mounted.run(building)
    assert (done.returncode, parse_summary(message)) == (0, stored), done.stderr
    cluster.start_build(job)
    cluster.end_build(job, message)
    cluster.wait_for("small", ArtifactReady="True/Built")
    pod = cluster.serve("small")
    cluster.wait_for("small", Ready="True/Serving")

    template = cluster.read("deployment", "small")["spec"]["template"]
    file, trusted = read_annotation_file(template)
    mounted.write(f"/etc/modelpress/trust/{file}", trusted)
    (unpacking,) = template["spec"]["initContainers"]
    unpacked, said = mounted.run(unpacking)
    assert (unpacked.returncode, unpacked.stdout) == (0, f"{stored.digest}\n"), unpacked.stderr
    assert parse_summary(said).digest == stored.digest
    for words in (own_operator.words(), done.stdout, done.stderr, message, unpacked.stderr):
        assert "PRIVATE KEY" not in words
    for kind in ("cmod", "jobs", "deployments", "configmaps", "events"):
        assert "PRIVATE KEY" not in json.dumps(cluster.list(kind))

    signature = Path(f"{mounted.place('/store')}/{stored.path}.sig")
    for reason, code, words, change in (
        ("SignatureInvalid", 7, "not a signature of a model", lambda: signature.write_text("{}")),
        ("SignatureMissing", 8, "no such signature", signature.unlink),
    ):
        change()
        refused, said = mounted.run(unpacking)
        assert refused.returncode == code
        assert not refused.stdout
        fail_unpacking(cluster, pod, code, said)
        cluster.wait_for("small", Ready=f"False/{reason}", ArtifactReady=f"False/{reason}", Stalled=f"True/{reason}")
        told = cluster.message("small", "ArtifactReady")
        assert "is not signed by a trusted key, so it is never served" in told
        assert words in told
        assert "delete configmap,job -l modelpress.dev/recipe=" in told


def test_a_build_without_its_key_ends_with_a_sentence_and_is_tried_again(own_operator, cluster, mounted):
    assert own_operator
    cluster.make_claim()
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    mounted.place("/store").mkdir(parents=True)
    done, message = mounted.run(job["spec"]["template"]["spec"]["containers"][0])
    assert (done.returncode, json.loads(message)["permanent"]) == (1, False)
    assert "/etc/modelpress/signing/signing.pem: no such file or directory" in json.loads(message)["error"]
    cluster.start_build(job)
    cluster.end_build(job, message, exit_code=done.returncode)
    cluster.wait_for("small", Ready="False/BuildFailed", Reconciling="True/BuildFailed")
    assert "signing.pem: no such file or directory" in cluster.message("small", "Ready")
