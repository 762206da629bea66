"""What the demo applies, and what it says of the models."""

import json
import zipfile

import pytest

from demo_cluster.installation import SERVICE_USER, place_artifact
from demo_cluster.models import Example, choose_examples, format_progress, format_savings, is_ready, is_stalled
from model_artifact.inspection import inspect


def model(name="small", *, baseline=None, **status):
    spec = {"baseline": {"name": baseline}} if baseline else {}
    return {"metadata": {"name": name, "generation": 2}, "spec": spec, "status": {"observedGeneration": 2, **status}}


def condition(kind, status, reason="Because", message="so."):
    return {"type": kind, "status": status, "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("has_cifar10", "names"),
    [
        (True, ["cnn-a0-b32", "cnn-a125-b8", "vgg16-a0-b32", "vgg16-strong-a125-b8-c50"]),
        (False, ["digits-a0-b32", "digits-a125-b8", "vgg16-a0-b32", "vgg16-strong-a125-b8-c50"]),
    ],
)
def test_baselines_come_first_and_digits_stand_in_where_there_is_no_cifar10(has_cifar10, names):
    assert [example.name for example in choose_examples(has_cifar10)] == names


def test_a_training_budget_is_the_only_change_to_the_file():
    plain, bounded = Example("vgg16-a125-b8").read_manifest(), Example("vgg16-a125-b8", 4).read_manifest()
    assert bounded["spec"]["source"]["training"].pop("maximumSteps") == 4
    assert bounded == plain
    assert Example("vgg16-a125-b8", 0).read_manifest()["spec"]["source"]["training"]["epochs"] == 0


def test_a_trained_artifact_is_served_in_place_of_a_training():
    placed = {"uri": "pvc://modelpress-store/artifacts/1.zip", "digest": "sha256:1"}
    plain, served = Example("vgg16-a125-b8").read_manifest(), Example("vgg16-a125-b8").read_manifest(placed)
    assert served["spec"].pop("source") == {"artifact": placed}
    assert {**served["spec"], "source": 0} == {
        **{field: value for field, value in plain["spec"].items() if field != "compression"},
        "source": 0,
    }


@pytest.mark.parametrize("has_cifar10", [True, False])
def test_the_artifact_of_the_examples_is_a_trained_vgg16(has_cifar10):
    trained = choose_examples(has_cifar10)[-1].artifact
    found = inspect(trained)
    assert trained.stat().st_size <= 10_000_000
    assert found.manifest.content.provenance.recipe.compression.channel_sparsity == 0.5
    assert found.manifest.content.provenance.quality.deployed > 50
    with zipfile.ZipFile(trained) as archive:
        assert json.loads(archive.read("manifest.json")) == json.loads(trained.with_suffix(".json").read_text())


def test_an_artifact_is_placed_once_and_readable_under_its_digest(tmp_path):
    artifact = choose_examples(True)[-1].artifact
    placed = [place_artifact(tmp_path, artifact) for _ in range(2)]
    (stored,) = (tmp_path / "artifacts").iterdir()
    assert (
        placed[0]
        == placed[1]
        == {
            "uri": f"pvc://modelpress-store/artifacts/{stored.name}",
            "digest": f"sha256:{stored.stem}",
        }
    )
    assert stored.read_bytes() == artifact.read_bytes()
    assert stored.stat().st_mode & 0o777 == 0o644
    assert stored.parent.stat().st_uid == SERVICE_USER


def test_ready_of_an_older_generation_is_not_ready():
    ready = model(conditions=[condition("Ready", "True")])
    assert is_ready(ready)
    ready["metadata"]["generation"] = 3
    assert not is_ready(ready)


def test_a_build_is_told_with_its_epoch_speed_and_remaining_time():
    building = model(
        conditions=[condition("ArtifactReady", "False", "Building")],
        build={"phase": "Training", "epoch": 1, "epochs": 3, "stepsPerSecond": 12.5, "etaSeconds": 61},
    )
    assert format_progress(building) == "small: Training, epoch 1/3, 12.5 steps/s, ETA 1:01"


def test_what_is_waited_for_is_told_in_the_operators_words():
    waiting = model(conditions=[condition("Ready", "False", "StoreMissing", "no claim"), condition("Stalled", "True")])
    assert format_progress(waiting) == "small: StoreMissing: no claim"
    assert is_stalled(waiting)


def test_savings_are_a_row_for_each_compared_model_and_a_missing_one_says_why():
    measured = model(
        "fast",
        baseline="plain",
        artifact={"ratio": 8.5, "trained": True, "quality": {"value": 58.0, "loss": 1.25}},
        savings={
            "latency": 1.4,
            "cpu": 1.6,
            "memory": 1.2,
            "requestsPerSecondPerPod": 20.0,
            "baselineRequestsPerSecondPerPod": 15.0,
        },
        kpis={"window": "2m"},
    )
    silent = model(
        "quiet", baseline="plain", conditions=[condition("Compared", "Unknown", "InsufficientData", "12 requests")]
    )
    alone = model("alone", baseline="plain", artifact={"trained": True, "quality": {"value": 76.1111}}, savings={})
    _, _, fast, quiet, lone, note = format_savings([model("plain"), measured, silent, alone]).splitlines()
    assert [cell.strip() for cell in fast.split("  ") if cell.strip()] == [
        "fast", "plain", "8.5x", "1.4x", "1.6x", "1.2x", "58 (-1.25)", "20 and 15", "2m",
    ]  # fmt: skip
    assert quiet.split()[-6:] == ["-", "-", "-", "untrained", "-", "-"]
    assert lone.split()[-4:-2] == ["-", "76.1"]
    assert note == "quiet: no savings (InsufficientData): 12 requests"
