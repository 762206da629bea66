"""What is compared, in which order, and that the operator takes what is applied."""

from collections import Counter

import pytest
from store.version_folder import write_version_folder

from load.configurations import (
    ALPHAS,
    BITS,
    Limits,
    Planned,
    Trained,
    find_trained,
    name_compression,
    plan_configurations,
    render_manifest,
)
from load.measuring import Key, plan_seed
from load.order import format_left, plan_order
from model_artifact.packing import pack
from model_operator.api.v1alpha1 import CompressedModel

BOTH = ("vgg16", "cnn")


def test_seven_compressions_of_each_network_and_a_baseline_are_planned():
    planned = plan_configurations(BOTH, ("flask",))
    assert [each.name for each in planned if each.network == "cnn"] == [
        "cnn-a0-b32", "cnn-a50-b32", "cnn-a125-b32", "cnn-a0-b8", "cnn-a50-b8", "cnn-a125-b8", "cnn-a125-b8-c50",
        "cnn-flask",
    ]  # fmt: skip
    assert {(each.alpha, each.bits) for each in planned} == {(alpha, bits) for alpha in ALPHAS for bits in BITS}


def test_half_of_the_channels_are_pruned_in_one_of_them_and_its_weights_are_its_own():
    (asked,) = (each for each in plan_configurations(("cnn",)) if each.channel_sparsity)
    assert render_manifest(asked, Limits(), "60s")["spec"]["compression"] == {
        "alpha": 1.25, "bits": 8, "rule": "Shadow", "channelSparsity": 0.5,
    }  # fmt: skip
    assert asked.source == asked.name == name_compression("cnn", 1.25, 8, 0.5) == "cnn-a125-b8-c50"
    assert [each.name for each in plan_configurations(("cnn",), only=["a0-b32", "a125-b8"])] == [
        "cnn-a0-b32", "cnn-a125-b8",
    ]  # fmt: skip


def test_the_short_form_keeps_the_least_and_the_most_compressed():
    assert [each.name for each in plan_configurations(("digits",), short=True)] == ["digits-a0-b32", "digits-a125-b8"]


def test_tensorflow_serving_answers_with_both_weights():
    _, _, plain, integer = plan_configurations(("cnn",), ("tensorflow-serving",), short=True)
    manifests = [render_manifest(each, Limits(), "60s") for each in (plain, integer)]
    assert [each["spec"]["serving"]["precision"] for each in manifests] == ["Float32", "Int8"]
    assert [each["spec"]["compression"]["bits"] for each in manifests] == [32, 8]
    assert {each["spec"]["serving"]["image"] for each in manifests} == {"tensorflow/serving:2.20.0"}


@pytest.mark.parametrize("planned", plan_configurations((*BOTH, "digits"), ("tensorflow-serving",)), ids=str)
@pytest.mark.parametrize("artifact", [None, {"uri": "pvc://modelpress-store/a.zip", "digest": "sha256:" + "0" * 64}])
def test_the_operator_takes_what_is_applied(planned, artifact):
    manifest = render_manifest(planned, Limits(), "60s", artifact)
    manifest["metadata"] |= {"namespace": "load", "uid": "1", "generation": 1}
    model = CompressedModel.model_validate(manifest)
    assert model.spec.replicas == 1
    assert model.spec.autoscaling is None
    assert (model.spec.baseline is None) == (planned.name == name_compression(planned.network, 0, 32))
    resources = model.spec.serving.resources
    assert str(resources.limits["cpu"]) == "1"


def test_a_trained_artifact_is_found_by_the_name_of_its_weights(tmp_path):
    asked, baseline = Planned("cnn-a0-b32", "cnn", 0, 32), Planned("cnn-flask", "cnn", 0, 32, "flask")
    assert find_trained(asked, tmp_path) is None
    packed = pack(write_version_folder(tmp_path / "1", 0), tmp_path / "cnn-a0-b32.zip")
    assert find_trained(asked, tmp_path) == Trained(tmp_path / "cnn-a0-b32.zip", packed.digest)
    assert find_trained(baseline, tmp_path) == find_trained(asked, tmp_path)
    assert find_trained(Planned("cnn-a125-b8", "cnn", 1.25, 8), tmp_path) is None


def test_each_block_has_every_run_once_in_an_order_of_its_own():
    planned = plan_configurations(BOTH, ("flask",))
    order = plan_order(planned, ["n75", "n250"], ["rest", "grpc"], blocks=3, seed=7)
    # fourteen compressions by both protocols, two baselines by REST alone
    assert len(order) == 3 * 2 * (14 * 2 + 2)
    assert set(Counter(order).values()) == {1}
    blocks = [[key for key in order if key.block == block] for block in range(3)]
    assert order == [key for block in blocks for key in block]
    shapes = [[(key.configuration, key.profile, key.protocol) for key in block] for block in blocks]
    assert sorted(shapes[0]) == sorted(shapes[1]) == sorted(shapes[2])
    assert shapes[0] != shapes[1]
    assert order == plan_order(planned, ["n75", "n250"], ["rest", "grpc"], blocks=3, seed=7)
    assert order != plan_order(planned, ["n75", "n250"], ["rest", "grpc"], blocks=3, seed=8)
    assert order[: len(blocks[0])] == plan_order(planned, ["n75", "n250"], ["rest", "grpc"], blocks=1, seed=7)


def test_configurations_of_a_block_are_asked_at_the_same_times():
    first, second = Key("a", "n75", "rest", 0), Key("b", "n75", "rest", 0)
    assert plan_seed(1, first) == plan_seed(1, second)
    assert plan_seed(1, first) != plan_seed(1, Key("a", "n75", "rest", 1))
    assert plan_seed(1, first) != plan_seed(2, first)


@pytest.mark.parametrize(("seconds", "words"), [(45, "45 s"), (719, "12 min"), (3 * 3600 + 300, "3 h 5 min")])
def test_what_is_left_is_told_in_people_s_units(seconds, words):
    assert format_left(seconds) == words
