"""What a server is asked for by spec.serving.engine and .precision, and what an image or an artifact cannot do."""

import pytest
from planning_toy import ToyCluster, make_summary

from model_operator.api.v1alpha1 import parse_model
from model_operator.planning.artifact import Artifact
from model_operator.planning.engine import choose_image, find_unsuitable, name_server, render_engine_arguments
from model_operator.settings import Settings

OURS = "ghcr.io/modelpress/modelpress-server:0.1.0"
THEIRS = "tensorflow/serving:2.20.0"


def serving(body, **stated):
    body["spec"]["serving"] = stated
    return parse_model(body)


def given(body, bits):
    """A model of a given artifact whose weights have these bits, None where that is not known."""
    digest = "sha256:" + "0" * 64
    body["spec"] = {"source": {"artifact": {"uri": "s3://models/a.zip", "digest": digest}}}
    summary = make_summary(digest).model_copy(update={"bits": bits})
    return Artifact(digest, "s3://models/a.zip", None if bits is None else summary)


@pytest.mark.parametrize(
    ("image", "server"),
    [
        (THEIRS, "TensorFlow Serving"),
        ("tensorflow/serving", "TensorFlow Serving"),
        ("localhost:5000/mirror/tensorflow/serving:latest-gpu", "TensorFlow Serving"),
        ("docker.io/tensorflow/serving@sha256:12", "TensorFlow Serving"),
        (OURS, "modelpress-server"),
        ("localhost/modelpress-server@sha256:12", "modelpress-server"),
        ("modelpress-server", "modelpress-server"),
        ("mirror/modelpress-server-openvino:1", "another"),
        ("mirror/not-tensorflow/serving-it:1", "another"),
        ("mirror/tf:1", "another"),
    ],
)
def test_a_server_is_known_by_the_name_of_its_repository(image, server):
    assert name_server(image) == server


@pytest.mark.parametrize(
    ("stated", "arguments"),
    [
        ({}, ()),
        ({"engine": "LiteRT"}, ("--engine=litert",)),
        ({"engine": "OpenVINO"}, ("--engine=openvino",)),
        ({"precision": "Auto"}, ()),
        ({"precision": "Float32"}, ()),
        ({"precision": "Int8"}, ("--prefer_tflite_model=true",)),
        ({"engine": "OpenVINO", "precision": "Int8"}, ("--engine=openvino", "--prefer_tflite_model=true")),
    ],
)
def test_what_is_asked_for_becomes_flags_of_the_server(body, stated, arguments):
    assert render_engine_arguments(serving(body, **stated)) == arguments


def test_the_image_of_the_spec_wins(body):
    settings = Settings(server_image=OURS)
    assert choose_image(serving(body), settings) == OURS
    assert choose_image(serving(body, image=THEIRS), settings) == THEIRS


@pytest.mark.parametrize(
    ("stated", "image", "words"),
    [
        ({}, THEIRS, None),
        ({"engine": "LiteRT"}, OURS, None),
        ({"engine": "OpenVINO"}, "mirror/server:1", None),
        (
            {"engine": "LiteRT"},
            THEIRS,
            f"engine LiteRT asks for modelpress-server, but the image is {THEIRS}, which has",
        ),
        ({"precision": "Int8"}, THEIRS, None),
        ({"precision": "Int8"}, OURS, None),
        ({"precision": "Float32"}, THEIRS, None),
        (
            {"precision": "Float32"},
            OURS,
            f"precision Float32 asks for TensorFlow Serving, but the image is {OURS}, which",
        ),
    ],
)
def test_an_image_that_cannot_is_told_with_what_to_name(body, stated, image, words):
    verdict = find_unsuitable(serving(body, **stated), Settings(server_image=image), None)
    if words is None:
        assert verdict is None
    else:
        assert (verdict.status, verdict.reason) == ("False", "UnsuitableImage")
        assert words in verdict.message
        assert "spec.serving.image" in verdict.message


@pytest.mark.parametrize(
    ("precision", "bits", "suits"),
    [
        *(("Int8", bits, suits) for bits, suits in ((8, True), (9, False), (32, False), (None, True))),
        *(("Float32", bits, suits) for bits, suits in ((8, False), (9, True), (32, True), (None, True))),
    ],
)
def test_the_weights_of_a_given_artifact_count_once_they_are_known(body, precision, bits, suits):
    artifact = given(body, bits)
    model = serving(body, precision=precision)
    assert (find_unsuitable(model, Settings(server_image=OURS), artifact) is None) is suits


def test_what_is_served_stays_until_the_spec_asks_for_what_the_image_can(body):
    cluster = ToyCluster(body, Settings(server_image=THEIRS))
    cluster.run()
    before = cluster.children["deployment"]["spec"]
    cluster.edit(serving={"engine": "LiteRT"})
    cluster.run()
    assert cluster.condition("Ready") == ("False", "UnsuitableImage")
    assert cluster.condition("Stalled") == ("True", "UnsuitableImage")
    assert cluster.condition("Available") == ("True", "Serving")
    assert cluster.children["deployment"]["spec"] == before
    cluster.edit(serving={"engine": "LiteRT", "image": OURS})
    cluster.run()
    assert cluster.condition("Ready") == ("True", "Serving")
    (container,) = cluster.children["deployment"]["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["args"][-1]) == (OURS, "--engine=litert")
    assert len(cluster.jobs) == 1, "how it is served builds nothing"


def test_a_build_goes_on_while_the_image_does_not_suit(body):
    cluster = ToyCluster(body, Settings(server_image=THEIRS))
    cluster.edit(serving={"engine": "OpenVINO"})
    cluster.run()
    assert cluster.condition("ArtifactReady") == ("True", "Built")
    assert cluster.condition("Ready") == ("False", "UnsuitableImage")
    assert cluster.children == {}
