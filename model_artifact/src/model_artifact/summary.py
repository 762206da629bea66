"""What a build, or the verification of an artifact, tells the operator; and where a store keeps what.

Pure: pydantic alone. A summary travels as a pod's termination message, of which Kubernetes keeps 4,096 bytes: so it has
fixed keys, no lists, and is at most `LARGEST_SUMMARY_BYTES` long.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError

from model_artifact.errors import ArtifactError
from model_artifact.recipe import Contract, EndLayers, Metric, Rule, canonical_json

LARGEST_SUMMARY_BYTES = 3 * 1024
_LARGEST_MESSAGE = 1500

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Handover(Contract):
    """What one program writes and another, perhaps older, reads: what is unknown is ignored."""

    model_config = ConfigDict(extra="ignore")


class QualitySummary(Handover):
    """How good the deployed model is."""

    metric: Metric = "Accuracy"
    value: float
    """Of the unpacked model.tflite; percent, but MAE and MSE in the unit of the targets."""
    float_value: float
    """Of the float model with the same compressed weights."""
    samples: int
    measures: dict[str, float] | None = None
    """Of the unpacked model.tflite: the value of every metric that it was judged by, by its name in a recipe."""


class ArtifactSummary(Handover):
    """The facts of one artifact."""

    recipe_digest: Digest | None = None
    """Absent for artifacts that no recipe of ours describes."""
    digest: Digest
    """The content digest."""
    path: str
    """Below the root of the store."""
    size_bytes: Annotated[int, Field(ge=0)]
    """Of the artifact."""
    float_bytes: Annotated[int, Field(ge=0)]
    """Of the same weights as float32: 4 bytes each, what an uncompressed model stores."""
    weights: Annotated[int, Field(ge=0)]
    bits_per_weight: float
    entropy_bits_per_weight: float
    sparsity_percent: float
    alpha: float | None = None
    bits: int | None = None
    rule: Rule | None = None
    channel_sparsity: float | None = None
    """Share of each hidden layer's channels that were pruned as a whole."""
    first_and_last_layers: EndLayers | None = None
    """Dense where they were not pruned."""
    trained: bool = False
    """False when the training that the recipe asks for was not done in full."""
    quality: QualitySummary | None = None
    dataset: str | None = None
    """What to call the data beside a result; a copy that is not the published one says so here."""
    model_digest: Digest | None = None
    """Of the file that training began with; absent where the network is one of ours."""
    data_digest: Digest | None = None
    """Of the file that it was trained on; absent where that is a known data set."""
    duration_seconds: float | None = None


class BuildProgress(Handover):
    """One line of the build's log, while it runs."""

    phase: Literal["Loading", "Training", "Exporting", "Measuring", "Packing", "Storing"]
    epoch: int | None = None
    """From 1."""
    epochs: int | None = None
    steps_per_second: float | None = None
    eta_seconds: int | None = None
    """Until the end of training."""
    accuracy_percent: float | None = None
    zeros_percent: float | None = None
    loss: float | None = None
    test_accuracy_percent: float | None = None
    """Of the epoch that this line tells the end of."""
    metric: Metric | None = None
    """What the numbers below are, where the network answers something else than classes of images."""
    metric_value: float | None = None
    test_metric_value: float | None = None
    """Of the epoch that this line tells the end of."""
    message: str = ""


class Failure(Handover):
    """Why a build or a verification ended without an artifact."""

    error: str
    """One sentence: what was wrong, where, what to do."""
    permanent: bool
    """True when the same input would fail again."""


def format_document(document: Handover) -> str:
    """One line of JSON with sorted keys, without what is absent; a failure's sentence is cut where it is too long."""
    if isinstance(document, Failure) and len(document.error) > _LARGEST_MESSAGE:
        document = document.model_copy(update={"error": document.error[:_LARGEST_MESSAGE] + "…"})
    return canonical_json(document.model_dump(mode="json", by_alias=True, exclude_none=True))


def parse_summary(text: str) -> ArtifactSummary:
    """The summary in a termination message or a record.

    Raises:
        ArtifactError: when it is none.
    """
    try:
        return ArtifactSummary.model_validate_json(text)
    except ValidationError as error:
        raise ArtifactError(f"not an artifact's summary: {error.errors(include_url=False)[0]['msg']}") from error


def parse_failure(text: str) -> Failure | None:
    """The failure in a termination message, or None when the message is something else."""
    try:
        return Failure.model_validate_json(text)
    except ValidationError:
        return None


def parse_progress(log: str) -> BuildProgress | None:
    """The last line of a log that is a progress line."""
    for line in reversed(log.splitlines()):
        try:
            return BuildProgress.model_validate_json(line)
        except ValidationError:
            continue
    return None


def artifact_path(digest: str) -> str:
    """Where a store keeps the artifact of a content digest, below its root."""
    return f"artifacts/{digest.removeprefix('sha256:')}.zip"


def recipe_path(recipe_digest: str) -> str:
    """Where a store keeps the summary of a recipe's artifact, below its root."""
    return f"recipes/{recipe_digest.removeprefix('sha256:')}.json"
