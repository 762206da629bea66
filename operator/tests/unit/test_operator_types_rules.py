"""What must hold beyond a field's type; e2e/apiserver has the API server say the same."""

import pytest

from model_operator.api import rules
from model_operator.api.v1alpha1 import parse_model
from model_operator.errors import InvalidModelError

TRAINING = {"architecture": "SmallCNN", "dataset": "Digits"}
ARTIFACT = {"uri": "pvc://store/a.zip", "digest": "sha256:" + "0" * 64}
SOURCE = "source must be exactly one of training and artifact; state one and leave out the other"
COMPRESSION = "compression must be stated with source.training and only with it; an artifact is compressed already"
IMAGES = "dataset must have images that the architecture takes; VGG16 needs 32x32 images: use CIFAR10"
REPLICAS = "minReplicas must be at most maxReplicas; lower the one or raise the other"
QUALITY = "quality must state minimum, maximumLoss or both; leave quality out where none is asked for"
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
        ({"source": {"artifact": ARTIFACT}}, f"spec: {COMPRESSION}"),
        ({"compression": None}, f"spec: {COMPRESSION}"),
        ({"source": {"training": TRAINING | {"architecture": "VGG16"}}}, f"spec.source.training: {IMAGES}"),
        ({"autoscaling": {"minReplicas": 6}}, f"spec.autoscaling: {REPLICAS}"),
        ({"objectives": {"quality": {}}}, f"spec.objectives.quality: {QUALITY}"),
        ({"objectives": {"quality": {"maximumLoss": 7}}}, f"spec: {LOSS}"),
        ({"baseline": {"name": "small"}}, OTHER_BASELINE),
    ],
)
def test_fields_that_do_not_fit_together_are_told_in_one_sentence(body, changes, problem):
    assert message_of(with_parts(body, **changes)) == f"CompressedModel press/small: {problem}"
