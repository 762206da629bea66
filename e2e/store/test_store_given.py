"""A model of a user's own, from a bucket, and images from a claim: built as the operator has it built."""

import hashlib
import os

import keras
import numpy as np
import pytest
from keras import layers

from model_artifact.inspection import inspect
from model_artifact.summary import parse_failure, parse_summary
from model_artifact.termination import TerminationLog
from model_builder.dataset import load_digits
from model_builder.job import run
from model_builder.store import open_store
from model_operator.api.v1alpha1 import parse_model
from model_operator.planning.job import render_job
from model_operator.settings import Settings
from store.server import SECRET_KEY

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own saving


@pytest.fixture(scope="module")
def own_model(tmp_path_factory):
    """A small network, saved by Keras."""
    path = tmp_path_factory.mktemp("own") / "own.keras"
    chain = [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(10)]
    keras.Sequential([keras.Input((8, 8, 1)), *chain]).save(path)
    return path


@pytest.fixture
def claims(tmp_path):
    """Where a pod has its claims, with digits in the one named sets."""
    digits, folder = load_digits(), tmp_path / "claims" / "sets"
    folder.mkdir(parents=True)
    images = {"x_train": digits.training_images, "x_test": digits.test_images}
    np.savez_compressed(folder / "own.npz", **images, y_train=digits.training_labels, y_test=digits.test_labels)
    return tmp_path / "claims"


def asked(uri, digest=None):
    """A model of one's own as a user writes it."""
    stated = {"uri": uri, "epochs": 2, "dataset": {"uri": "pvc://sets/own.npz"}} | (
        {"digest": digest} if digest else {}
    )
    return parse_model(
        {
            "apiVersion": "modelpress.dev/v1alpha1",
            "kind": "CompressedModel",
            "metadata": {"name": "own", "namespace": "press"},
            "spec": {"compression": {"alpha": 0.5, "bits": 8}, "source": {"model": stated}},
        }
    )


def run_job(model, bucket, claims, log_path, store=""):
    """The program of the Job that the operator makes, with its environment; the places of the pod are folders here."""
    settings = Settings(store_uri=f"s3://{bucket.name}/built", store_secret_name="s3")  # noqa: S106  a Secret's name
    job = render_job(model, "uid-1", model.recipe(), settings, 0)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "s3"}}]
    stated = {each["name"]: each["value"] for each in container["env"]}
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {f"{stated['MODELPRESS_CLAIMS']}/sets", "/tmp"}  # noqa: S108  the pod's own
    variables = {**os.environ, **stated, "MODELPRESS_CLAIMS": str(claims)}
    log = TerminationLog(log_path)
    try:
        return run(variables, open_store(str(store) or stated["MODELPRESS_STORE"]), log)
    finally:
        log.close()


def test_a_model_in_a_bucket_and_images_in_a_claim_are_built(bucket, own_model, claims, tmp_path, capfd):
    bucket.upload(own_model, "nets/own.keras")
    digest = f"sha256:{hashlib.sha256(own_model.read_bytes()).hexdigest()}"
    model = asked(f"s3://{bucket.name}/nets/own.keras", digest)
    assert run_job(model, bucket, claims, tmp_path / "log") == 0
    summary = parse_summary((tmp_path / "log").read_text())
    assert (summary.recipe_digest, summary.trained, summary.dataset) == (model.recipe().digest, True, "own")
    bucket_file = bucket.open(f"built/{summary.path}")
    (tmp_path / "artifact.zip").write_bytes(bucket_file.read_at(0, bucket_file.size_bytes))
    made = inspect(tmp_path / "artifact.zip").manifest.content.provenance
    assert made.recipe == model.recipe()
    assert (made.given_model.name, made.given_model.digest) == ("own.keras", digest)
    assert SECRET_KEY not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("key", "digest", "code", "sentence"),
    [
        ("nets/other.keras", None, 5, "there is no such object; correct the key, or put it there"),
        ("nets/own.keras", "sha256:" + "0" * 64, 5, "its digest is sha256:"),
    ],
)
def test_what_is_wrong_with_an_object_is_told(key, digest, code, sentence, bucket, own_model, claims, tmp_path):
    bucket.upload(own_model, "nets/own.keras")
    uri = f"s3://{bucket.name}/{key}"
    assert run_job(asked(uri, digest), bucket, claims, tmp_path / "log") == code
    failure = parse_failure((tmp_path / "log").read_text())
    assert failure.error.startswith(f"{uri}: {sentence}"), failure.error
    assert failure.permanent


def test_a_bucket_that_refuses_the_file_may_relent(server, through, bucket, own_model, claims, tmp_path):
    bucket.upload(own_model, "nets/own.keras")
    server.add_user("reader", "readers-own-key")
    through(server.port, "reader", "readers-own-key")
    (tmp_path / "store").mkdir()
    own = asked(f"s3://{bucket.name}/nets/own.keras")
    assert run_job(own, bucket, claims, tmp_path / "log", tmp_path / "store") == 6
    failure = parse_failure((tmp_path / "log").read_text())
    assert failure.error.startswith(f"s3://{bucket.name}/nets/own.keras: access is denied"), failure.error
    assert not failure.permanent
