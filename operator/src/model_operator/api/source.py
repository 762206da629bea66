"""The API: where a model comes from, and how its weights are compressed. Pure.

Limits and value sets are those of `model_artifact.recipe`.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from model_artifact.recipe import (
    Architecture,
    Dataset,
    EndLayers,
    Frequency,
    Granularity,
    Keep,
    LearningRateSchedule,
    Precision,
    Rule,
    Task,
    TrainingRecipe,
    Update,
)
from model_operator.api import rules
from model_operator.api.api_object import ApiObject

Alpha = Annotated[
    float, Field(allow_inf_nan=False, json_schema_extra=rules.ALPHA.schema), AfterValidator(rules.ALPHA.check)
]
Bits = Annotated[int, Field(json_schema_extra=rules.BITS.schema), AfterValidator(rules.BITS.check)]
Digest = Annotated[
    str, Field(max_length=128, json_schema_extra=rules.DIGEST.schema), AfterValidator(rules.DIGEST.check)
]
FileDigest = Annotated[
    str, Field(max_length=128, json_schema_extra=rules.FILE_DIGEST.schema), AfterValidator(rules.FILE_DIGEST.check)
]
ArtifactUri = Annotated[
    str, Field(max_length=1024, json_schema_extra=rules.URI.schema), AfterValidator(rules.URI.check)
]
ModelUri = Annotated[
    str, Field(max_length=1024, json_schema_extra=rules.MODEL_URI.schema), AfterValidator(rules.MODEL_URI.check)
]
DatasetUri = Annotated[
    str, Field(max_length=1024, json_schema_extra=rules.DATASET_URI.schema), AfterValidator(rules.DATASET_URI.check)
]


class Compression(ApiObject):
    """How hard the weights are pruned and how finely they are quantised."""

    rules = (rules.SHADOW_ONLY, rules.SHADOW_MASTERS, rules.EPOCH_IN_PLACE, rules.SHARES)

    alpha: Alpha
    """Pruning strength: weights smaller than alpha times the standard deviation of their layer become zero."""
    bits: Bits
    """Bits of a weight's code."""
    rule: Rule = "Floor"
    """How a weight becomes a code: by rounding down, by rounding on a shifted range, or softly from float weights."""
    update: Update | None = None
    """Where the gradient goes: to Masters, float weights beside the compressed ones, or InPlace, to the compressed ones
    themselves. Absent: InPlace with OffsetRound and with frequency Epoch, Masters otherwise."""
    frequency: Frequency = "Step"
    """How often the weights are compressed: in every Step of the training, or once at the end of each Epoch."""
    granularity: Granularity | None = None
    """With Shadow: one quantisation step for a Tensor, or one for each of its output Channels. Absent: Tensor."""
    ramp: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    """With Shadow: share of the training, at its begin, in which alpha rises from 0. Absent: 0.5."""
    freeze: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    """With Shadow: share of the training, at its end, in which pruned weights stay pruned. Absent: 0.25."""
    channel_sparsity: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] | None = None
    """With Shadow: share of each hidden layer's channels and units that are pruned as a whole, and taken out of what is
    served, which makes it faster on any processor. Absent: none."""
    first_and_last_layers: EndLayers | None = None
    """With Shadow: Dense leaves the network's first and last layer unpruned, with all of their channels, and gives
    their weights 8 bits where bits are fewer: few bytes, much accuracy. Absent: Compressed, as all others."""


class Learning(ApiObject):
    """How the network is trained."""

    epochs: Annotated[int, Field(ge=0, le=10_000)] = 50
    """Passes over the training images; 0 keeps the initial weights."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    """Images of one training step."""
    learning_rate: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 0.05
    """Learning rate of the first step."""
    learning_rate_schedule: LearningRateSchedule = "Constant"
    """How the learning rate goes on: Constant, or Cosine, which falls to zero over all steps."""
    momentum: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.9
    """Momentum of stochastic gradient descent."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Seed of the initial weights and of the order of the images."""
    maximum_steps: Annotated[int, Field(ge=1)] | None = None
    """Training ends after this many steps in all; the artifact then counts as not trained in full."""
    recipe: TrainingRecipe = "Published"
    """Published: plain, as the papers train. Strong: random crops and flips, label smoothing, weight decay, Nesterov
    momentum, a learning rate that rises and falls, and batch normalisation in our own networks; more accurate."""
    validation_images: Annotated[int, Field(ge=0)] = 0
    """Training images that are set aside, to stop and to choose by; 0: the test images serve."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Training ends after this many epochs without a better accuracy. Absent: never early."""
    keep: Keep = "Last"
    """Which weights are kept: those after the Last step, or those after the epoch with the Best accuracy."""


class Training(Learning):
    """Train a known network on a known data set, pruning and quantising as it learns."""

    rules = (rules.IMAGE_SIZE, rules.STRONG_SCHEDULE)

    task: Literal["Classification"] = "Classification"
    """What the network learns to do."""
    architecture: Architecture
    """The network. VGG16 needs the 32x32 images of CIFAR10."""
    dataset: Dataset
    """The labelled images that it learns from and is tested on."""
    precision: Precision = "Float32"
    """Arithmetic of the training's passes; BFloat16 is faster where a processor has it. Weights stay Float32."""


class DatasetSource(ApiObject):
    """Labelled images of the user's own: an .npz file with x_train, y_train, x_test and y_test."""

    uri: DatasetUri
    """Where it is: pvc://CLAIM/PATH.npz, a file in a PersistentVolumeClaim of the model's namespace, which the build
    mounts, or s3://BUCKET/KEY.npz, which it downloads."""
    digest: FileDigest | None = None
    """What sha256sum prints of the file, behind sha256:; a build refuses another file. Absent: the URI alone says which
    file it is, and nothing is built anew when it is changed there."""


class ModelSource(Learning):
    """Train a Keras model of the user's own on data of the user's own, pruning and quantising as it learns."""

    rules = (rules.STRONG_SCHEDULE, rules.STRONG_TASK)

    task: Task = "Classification"
    """What the network answers: a class for each image, numbers for each image, or a class for each pixel."""
    uri: ModelUri
    """Where it is: pvc://CLAIM/PATH.keras, a file in a PersistentVolumeClaim of the model's namespace, which the build
    mounts, or s3://BUCKET/KEY.keras, which it downloads. Training begins with its weights."""
    digest: FileDigest | None = None
    """What sha256sum prints of the file, behind sha256:; a build refuses another file. Absent: the URI alone says which
    file it is, and nothing is built anew when it is changed there."""
    dataset: DatasetSource


class ArtifactSource(ApiObject):
    """An artifact that is built already: it is verified and served."""

    uri: ArtifactUri
    """Where it is: pvc://CLAIM/PATH, a file in a PersistentVolumeClaim of the model's namespace, or s3://BUCKET/KEY."""
    digest: Digest
    """Its content digest, as `model-artifact inspect` prints it; another artifact is never served."""


class Source(ApiObject):
    """Where the model comes from: exactly one of training, model and artifact."""

    rules = (rules.ONE_SOURCE,)

    training: Training | None = None
    model: ModelSource | None = None
    artifact: ArtifactSource | None = None

    def render_training(self) -> dict[str, Any] | None:
        """What a recipe says of the training; None where an artifact is given."""
        if self.training is not None:
            return self.training.model_dump(exclude_none=True)
        if self.model is None:
            return None
        stated = self.model.model_dump(exclude_none=True)
        data, file = stated.pop("dataset"), {key: stated.pop(key) for key in ("uri", "digest") if key in stated}
        return {**stated, "model": file, "data": data}
