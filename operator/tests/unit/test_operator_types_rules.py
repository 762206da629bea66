"""What must hold beyond a field's type; e2e/apiserver has the API server say the same."""

import pytest

from model_operator.api import rules
from model_operator.api.v1alpha1 import parse_model
from model_operator.errors import InvalidModelError

TRAINING = {"architecture": "SmallCNN", "dataset": "Digits"}
ARTIFACT = {"uri": "pvc://store/a.zip", "digest": "sha256:" + "0" * 64}
OWN = {"uri": "s3://models/own.keras", "dataset": {"uri": "pvc://sets/own.npz"}}
SOURCE = "source must be exactly one of training, model and artifact; state one and leave out the others"
COMPRESSION = (
    "compression must be stated with source.training or source.model, and only with them; an artifact is compressed"
    " already"
)
IMAGES = "dataset must have images that the architecture takes; VGG16 needs 32x32 images: use CIFAR10"
ENGINE = "engine must be left out where image is TensorFlow Serving's, which has one of its own; name modelpress-server"
INTEGER_WEIGHTS = "serving.precision must not be Int8 where compression.bits is more than 8; set it to Auto"
SHADOW = {"alpha": 1, "bits": 8, "rule": "Shadow"}
SHADOW_ONLY = (
    "granularity must be left out, and so must ramp, freeze, channelSparsity and firstAndLastLayers, where rule is not"
    " Shadow"
)
SHADOW_MASTERS = (
    "update must not be InPlace, nor frequency Epoch, where rule is Shadow, which keeps masters; leave both out"
)
EPOCH_IN_PLACE = "update must be InPlace, or left out, where frequency is Epoch, which overwrites the weights"
STRONG = "learningRateSchedule must be left out where recipe is Strong, which has a schedule of its own"
STRONG_TASK = "recipe must be left out where task is not Classification; Strong smooths classes and moves images"
SHARES = (
    "ramp must leave freeze its share of the training; make their sum at most 1 (0.5 and 0.25 are those that are left"
    " out)"
)
REPLICAS = "minReplicas must be at most maxReplicas; lower the one or raise the other"
QUALITY = "quality must state minimum, maximum or maximumLoss; leave quality out where none is asked for"
MINIMUM = (
    "minimum must be left out where metric is MeanAbsoluteError or MeanSquaredError, of which less is better; state"
    " maximum"
)
MAXIMUM = (
    "maximum must be left out where metric is neither MeanAbsoluteError nor MeanSquaredError: more is better; state"
    " minimum"
)
METRIC = (
    "objectives.quality.metric must judge source.model.task: state MeanAbsoluteError or MeanSquaredError for"
    " Regression, Accuracy or F1 or MeanIoU for Segmentation"
)
LOSS = (
    "objectives.quality.maximumLoss must have a baseline to compare with; state baseline.name, or use minimum instead"
)
OTHER_BASELINE = (
    "spec.baseline.name must be another model than this one; name the uncompressed one, or leave baseline out"
)


def with_parts(body, **parts):
    """The object with these parts of its spec instead of its own."""
    return body | {"spec": body["spec"] | parts}


def message_of(body):
    with pytest.raises(InvalidModelError) as caught:
        parse_model(body)
    return str(caught.value)


def test_a_rule_hands_on_what_it_holds_for_and_refuses_the_rest_in_its_words():
    assert rules.BITS.check(8) == 8
    with pytest.raises(ValueError, match=r"^bits must be 2 to 16, or 32 to leave weights unquantised$"):
        rules.BITS.check(17)


@pytest.mark.parametrize(
    ("uri", "good"),
    [
        ("pvc://store/a.zip", True),
        ("pvc://my.store-1/artifacts/0a_B.zip", True),
        ("pvc://store", False),
        ("pvc://store/", False),
        ("pvc://store/../a.zip", False),
        ("pvc://store//a.zip", False),
        ("pvc://Store/a.zip", False),
        ("s3://bucket/a.zip", True),
        ("s3://my.bucket-1/team/artifacts/0a_B.zip", True),
        ("s3://bucket", False),
        ("s3://bucket/", False),
        ("s3://bucket/../a.zip", False),
        ("s3://b/a.zip", False),
        ("s3://Bucket/a.zip", False),
        ("gs://bucket/a.zip", False),
        ("/a.zip", False),
        ("pvc://store/a.zip\n", False),
    ],
)
def test_an_artifact_is_a_file_in_a_claim_or_an_object_in_a_bucket(body, uri, good):
    artifact = {"uri": uri, "digest": "sha256:" + "0" * 64}
    changed = body | {"spec": {"source": {"artifact": artifact}}}
    if good:
        assert parse_model(changed).spec.source.artifact.uri == uri
    else:
        assert message_of(changed).endswith(
            "; uri must be pvc://CLAIM/PATH, a file in a PersistentVolumeClaim of the same namespace, or s3://BUCKET/KEY"
        )


@pytest.mark.parametrize(
    ("uri", "good"),
    [
        ("pvc://mine/own.keras", True),
        ("pvc://mine/nets/v1.2/own.keras", True),
        ("s3://models/team/own-2.keras", True),
        ("pvc://mine/own.h5", False),
        ("pvc://mine/.keras", False),
        ("pvc://own.keras", False),
        ("s3://models/../own.keras", False),
        ("s3://models/own.keras/", False),
        ("own.keras", False),
    ],
)
def test_a_model_and_its_data_are_files_of_their_kind(body, uri, good):
    for file, ending in (
        (OWN | {"uri": uri}, "keras"),
        (OWN | {"dataset": {"uri": uri.replace("keras", "npz")}}, "npz"),
    ):
        changed = with_parts(body, source={"model": file})
        if good:
            assert parse_model(changed).recipe() is not None
        else:
            assert message_of(changed).endswith(
                f"; uri must be pvc://CLAIM/PATH.{ending}, a file in a PersistentVolumeClaim of the same namespace, or"
                f" s3://BUCKET/KEY.{ending}"
            )


def test_the_digest_of_a_file_is_the_whole_of_it(body):
    changed = with_parts(body, source={"model": OWN | {"digest": "sha256:12"}})
    assert message_of(changed).endswith("; digest must be sha256: and the 64 hexadecimal digits that sha256sum prints")


@pytest.mark.parametrize(
    ("uri", "good"),
    [
        ("", True),
        ("pvc://store", True),
        ("s3://bucket", True),
        ("s3://bucket/team/models", True),
        ("pvc://store/below", False),
        ("s3://bucket/", False),
        ("s3://bucket/../other", False),
        ("s3://user:key@bucket/models", False),
        ("gs://bucket", False),
        ("/store", False),
    ],
)
def test_a_store_is_a_claim_or_a_prefix_of_a_bucket(body, uri, good):
    changed = body | {"spec": body["spec"] | {"store": {"uri": uri}}}
    if good:
        assert parse_model(changed).spec.store.uri == uri
    else:
        assert message_of(changed).endswith(
            "; uri must be s3://BUCKET/PREFIX, or pvc://CLAIM, a PersistentVolumeClaim of the same namespace; or leave"
            " store out"
        )


@pytest.mark.parametrize("digest", ["", "0" * 64, "sha256:" + "0" * 63, "sha256:" + "A" * 64, "sha256:" + "0" * 65])
def test_a_digest_is_the_whole_of_it(body, digest):
    artifact = {"uri": "pvc://store/a.zip", "digest": digest}
    assert message_of(body | {"spec": {"source": {"artifact": artifact}}}).endswith(
        "; digest must be sha256: and 64 hexadecimal digits; model-artifact inspect prints it"
    )


@pytest.mark.parametrize(
    ("amount", "good"),
    [
        *((amount, True) for amount in ("1", "100m", "1.5Gi", ".5", "2e3", 0)),
        *((amount, False) for amount in ("", "-1", "1 Gi", "1gi", "Gi", 1.5, True, None)),
    ],
)
def test_an_amount_is_written_as_in_a_pod(body, amount, good):
    changed = with_parts(body, serving={"resources": {"limits": {"cpu": amount}}})
    if good:
        assert parse_model(changed).spec.serving.resources.limits == {"cpu": amount}
    else:
        assert message_of(changed).endswith("; it must be a quantity as in a pod, for example 500m or 1Gi")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"source": {}}, f"spec.source: {SOURCE}"),
        ({"source": {"artifact": ARTIFACT, "training": TRAINING}}, f"spec.source: {SOURCE}"),
        ({"source": {"model": OWN, "training": TRAINING}}, f"spec.source: {SOURCE}"),
        ({"source": {"model": OWN, "training": TRAINING, "artifact": ARTIFACT}}, f"spec.source: {SOURCE}"),
        ({"source": {"artifact": ARTIFACT}}, f"spec: {COMPRESSION}"),
        ({"source": {"model": OWN}, "compression": None}, f"spec: {COMPRESSION}"),
        (
            {"source": {"model": OWN | {"recipe": "Strong", "task": "Segmentation"}}},
            f"spec.source.model: {STRONG_TASK}",
        ),
        ({"compression": None}, f"spec: {COMPRESSION}"),
        ({"source": {"training": TRAINING | {"architecture": "VGG16"}}}, f"spec.source.training: {IMAGES}"),
        (
            {"compression": {"alpha": 1, "bits": 8, "granularity": "Channel"}},
            f"spec.compression: {SHADOW_ONLY}",
        ),
        ({"compression": {"alpha": 1, "bits": 8, "channelSparsity": 0.5}}, f"spec.compression: {SHADOW_ONLY}"),
        ({"compression": {"alpha": 1, "bits": 8, "firstAndLastLayers": "Dense"}}, f"spec.compression: {SHADOW_ONLY}"),
        ({"compression": SHADOW | {"update": "InPlace"}}, f"spec.compression: {SHADOW_MASTERS}"),
        ({"compression": SHADOW | {"frequency": "Epoch"}}, f"spec.compression: {SHADOW_MASTERS}"),
        (
            {"compression": {"alpha": 1, "bits": 8, "update": "Masters", "frequency": "Epoch"}},
            f"spec.compression: {EPOCH_IN_PLACE}",
        ),
        ({"compression": SHADOW | {"ramp": 0.8}}, f"spec.compression: {SHARES}"),
        ({"compression": SHADOW | {"freeze": 0.6}}, f"spec.compression: {SHARES}"),
        (
            {"source": {"training": TRAINING | {"recipe": "Strong", "learningRateSchedule": "Cosine"}}},
            f"spec.source.training: {STRONG}",
        ),
        ({"autoscaling": {"minReplicas": 6}}, f"spec.autoscaling: {REPLICAS}"),
        ({"objectives": {"quality": {}}}, f"spec.objectives.quality: {QUALITY}"),
        (
            {"objectives": {"quality": {"metric": "MeanSquaredError", "minimum": 1}}},
            f"spec.objectives.quality: {MINIMUM}",
        ),
        ({"objectives": {"quality": {"metric": "AUC", "maximum": 90}}}, f"spec.objectives.quality: {MAXIMUM}"),
        (
            {"source": {"model": OWN | {"task": "Regression"}}, "objectives": {"quality": {"minimum": 90}}},
            f"spec: {METRIC}",
        ),
        (
            {
                "source": {"model": OWN | {"task": "Segmentation"}},
                "objectives": {"quality": {"metric": "MeanAbsoluteError", "maximum": 1}},
            },
            f"spec: {METRIC}",
        ),
        ({"objectives": {"quality": {"maximumLoss": 7}}}, f"spec: {LOSS}"),
        *(
            ({"serving": {"engine": "LiteRT", "image": image}}, f"spec.serving: {ENGINE}")
            for image in ("tensorflow/serving", "tensorflow/serving:2.20.0", "docker.io/tensorflow/serving@sha256:12")
        ),
        ({"serving": {"precision": "Int8"}, "compression": {"alpha": 1, "bits": 9}}, f"spec: {INTEGER_WEIGHTS}"),
        ({"serving": {"precision": "Int8"}, "compression": {"alpha": 1, "bits": 32}}, f"spec: {INTEGER_WEIGHTS}"),
        ({"baseline": {"name": "small"}}, OTHER_BASELINE),
    ],
)
def test_fields_that_do_not_fit_together_are_told_in_one_sentence(body, changes, problem):
    assert message_of(with_parts(body, **changes)) == f"CompressedModel press/small: {problem}"


@pytest.mark.parametrize(
    "serving",
    [
        {"engine": "OpenVINO"},
        {"engine": "LiteRT", "image": "mirror.example/modelpress-server:1"},
        {"engine": "LiteRT", "image": "mirror.example/not-tensorflow/serving-ours:1"},
        {"precision": "Int8", "image": "tensorflow/serving:2.20.0"},
        {"precision": "Float32"},
    ],
)
def test_what_an_image_may_be_asked_for(body, serving):
    assert parse_model(with_parts(body, serving=serving)).spec.serving.precision in {"Auto", "Int8", "Float32"}
