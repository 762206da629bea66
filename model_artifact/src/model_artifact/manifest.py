"""What an artifact says of itself: the files it unpacks to, where its tensors go, and how it was made.

Pure: pydantic alone. The content digest covers `content` only, so it is the same whatever zlib packed the archive;
`storage` says where the bytes are found, and every byte it yields is checked against `content` when unpacking.
"""

import hashlib
import math
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from model_artifact.recipe import Activations, Contract, Metric, Recipe, canonical_json, is_absent

MANIFEST_ENTRY = "manifest.json"
LARGEST_MANIFEST_BYTES = 64 * 2**20

DType = Literal["int8", "int16", "float32"]
ITEM_BYTES: dict[str, int] = {"int8": 1, "int16": 2, "float32": 4}
Coder = Literal["dense", "packed", "split", "split-packed", "joint"]
Role = Literal["classes", "gaps", "plane", "digits", "joint"]
Code = Annotated[int, Field(ge=-128, le=127)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _check_inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or "\0" in path or path != "/".join(parts) or ".." in parts:
        raise ValueError(f"{path!r} is not a plain relative path")
    return path


RelativePath = Annotated[str, AfterValidator(_check_inside)]


class Covered(Contract):
    """A part of what the content digest covers: its canonical JSON has neither infinite numbers nor NaN."""

    model_config = ConfigDict(allow_inf_nan=False)


class UnpackedFile(Covered):
    """One file of the version folder."""

    path: RelativePath
    size_bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class Dataset(Covered):
    """The data that a model was trained and measured on, as they were found."""

    name: str
    """What to call it beside a result; a copy that is not the published one says so here."""
    digest: str
    """`sha256:` of the raw records, training files first."""
    training_images: int
    test_images: int


class GivenModel(Covered):
    """The file that training began with, as it was found."""

    name: str
    digest: str
    """`sha256:` and the SHA-256 of its bytes."""


class WorstClass(Covered):
    """The class of which the deployed model gets the smallest share right."""

    name: str
    accuracy_percent: float
    samples: int


class Quality(Covered):
    """How good the deployed model is, beside the float model it stands for."""

    metric: Metric = "Accuracy"
    unit: Literal["percent", "targets"] = "percent"
    """percent, or the unit of the targets."""
    deployed: float
    """Of the unpacked model.tflite."""
    float_model: float
    """Of the same compressed weights with float32 arithmetic."""
    samples: int
    agreement_percent: Annotated[float | None, Field(exclude_if=is_absent)] = None
    """Share of the test samples to which model.tflite gives the class that the float model gives."""
    confusion: Annotated[tuple[tuple[int, ...], ...] | None, Field(exclude_if=is_absent)] = None
    """How often each class (row) was taken for each class (column); absent above 100 classes."""
    class_names: Annotated[tuple[str, ...] | None, Field(exclude_if=is_absent)] = None
    """Of the rows and columns."""
    worst_class: Annotated[WorstClass | None, Field(exclude_if=is_absent)] = None
    measures: Annotated[dict[Metric, float] | None, Field(exclude_if=is_absent)] = None
    """Of the deployed model: every metric that judges its task and has a value; absent where they were not measured."""


Measured = Annotated[float | None, Field(exclude_if=is_absent)]


class Epoch(Covered):
    """One line of the training curve: accuracy where classes of images are learnt, else the recipe's metric."""

    epoch: int
    loss: float
    accuracy_percent: Measured = None
    test_accuracy_percent: Measured = None
    validation_accuracy_percent: Measured = None
    """Of the training images that were set aside; absent where none were."""
    metric_value: Measured = None
    """Of the images of the epoch, as they were trained: percent, or for MAE and MSE in the unit of the targets."""
    test_metric_value: Measured = None
    validation_metric_value: Measured = None
    zeros_percent: float
    kept_percent: Annotated[float | None, Field(exclude_if=is_absent)] = None
    """Weights that pruning left before they were quantised: what paper 004 calls density."""
    steps_per_second: float

    @model_validator(mode="after")
    def _check_measured(self) -> Self:
        pairs = (self.accuracy_percent, self.test_accuracy_percent), (self.metric_value, self.test_metric_value)
        if sorted([number is None for number in pair] for pair in pairs) != [[False, False], [True, True]]:
            raise ValueError("an epoch has accuracyPercent and testAccuracyPercent, or metricValue and testMetricValue")
        return self

    @property
    def quality(self) -> float:
        """Accuracy in percent or the metric, of the images of the epoch as they were trained."""
        return self._either(self.accuracy_percent, self.metric_value)

    @property
    def test_quality(self) -> float:
        """Likewise, of the test images."""
        return self._either(self.test_accuracy_percent, self.test_metric_value)

    @property
    def validation_quality(self) -> float | None:
        """Likewise, of the images set aside; None where none were."""
        return self.validation_metric_value if self.accuracy_percent is None else self.validation_accuracy_percent

    @staticmethod
    def _either(accuracy: float | None, metric: float | None) -> float:
        return next(value for value in (accuracy, metric) if value is not None)


class Layer(Covered):
    """One compressed weight tensor, as the rule left it."""

    name: str
    shape: tuple[int, ...]
    step: float | None = None
    """q_k (paper 000, eq. 4); absent where bits is 32, and where every output channel has a step of its own."""
    steps: Annotated[tuple[float, ...] | None, Field(exclude_if=is_absent)] = None
    """The step of each output channel, where they have their own."""
    bits: Annotated[int | None, Field(exclude_if=is_absent)] = None
    """Bits that the codes take, counted; absent where they are at most the recipe's."""
    zeros: int
    removed_channels: Annotated[int | None, Field(exclude_if=is_absent)] = None
    """Output channels or units that the deployed graph is without, since they had no weights or nobody read them."""
    saturated: int
    """Weights whose code fell outside +-(2^(b-1) - 1) and was held at that edge; OffsetRound holds none."""
    entropy_bits_per_weight: Annotated[float | None, Field(exclude_if=is_absent)] = None
    """Order-0 entropy of the stored numbers; absent in artifacts that do not say it."""


class Golden(Covered):
    """The answers of the builder's own model.tflite, which a server must repeat before it is ready."""

    folder: RelativePath
    """Holds inputs, outputs and golden.json, in the version folder."""
    samples: int
    tolerance: float
    """Largest absolute difference of any output value."""


class Surroundings(Covered):
    """What a training ran on: which may be another machine than the one that made the artifact."""

    backend: str
    """Keras' own: tensorflow or jax."""
    versions: dict[str, str]
    hardware: str
    """Processor, cores and memory."""
    accelerator: Annotated[str | None, Field(exclude_if=is_absent)] = None
    """That computed; absent where the processor did."""
    commit: Annotated[str | None, Field(exclude_if=is_absent)] = None
    """Of the checkout; `+`: with changes. Absent outside of one."""
    source_digest: str
    """Of the builder's and the artifact's modules."""


class Provenance(Covered):
    """How the artifact came to be."""

    recipe: Recipe
    trained: bool
    """False when the recipe's training was not done in full, be it that it asks for 0 epochs or that `maximumSteps` cut
    it short: then size, speed and memory mean something, quality does not."""
    dataset: Dataset | None = None
    given_model: Annotated[GivenModel | None, Field(exclude_if=is_absent)] = None
    """Absent where the network is one of ours."""
    quality: Quality | None = None
    curve: tuple[Epoch, ...] = ()
    layers: tuple[Layer, ...]
    versions: dict[str, str]
    """Of the programs that made the artifact."""
    trained_on: Annotated[tuple[Surroundings, ...] | None, Field(exclude_if=is_absent)] = None
    """What the training ran on, in turn where it was taken up elsewhere; absent in artifacts that do not say it."""
    activations: Annotated[Activations | None, Field(exclude_if=is_absent)] = None
    """How model.tflite computes, as `Recipe.export` says it; absent in artifacts that do not say it."""
    export_difference: Annotated[float | None, Field(exclude_if=is_absent)] = None
    """How far model.tflite was from a plain forward pass of its codes, relative to the spread of the answers."""
    reproducible: Annotated[str | None, Field(exclude_if=is_absent)] = None
    """How far the same recipe gives the same weights again; absent in artifacts that do not say it."""
    golden: Annotated[Golden | None, Field(exclude_if=is_absent)] = None
    """Absent in artifacts that do not say it; their files may hold golden answers all the same."""
    duration_seconds: float


class Content(Covered):
    """What the content digest covers."""

    files: tuple[UnpackedFile, ...]
    provenance: Provenance | None = None


class Stream(Contract):
    """One Deflated entry of the archive that carries part of a tensor."""

    role: Role
    entry: str
    size_bytes: Annotated[int, Field(ge=0)]
    """Inflated size."""


class StoredTensor(Contract):
    """A weight tensor, stored once, from which the holes of the files are filled."""

    name: str
    shape: tuple[Annotated[int, Field(ge=0)], ...]
    dtype: DType
    step: float | None = None
    """Multiplies the codes where a file holds them as float32; exactly a float32."""
    coder: Coder
    alphabet: Annotated[tuple[Code, ...], Field(min_length=1, max_length=64)] | None = None
    """The values that `packed`, `split-packed` and `joint` count; absent for `dense` and `split`."""
    sorted_axis: Annotated[int, Field(ge=0)] | None = None
    """The axis along which the tensor is stored sorted by class; absent where it is stored in its own order."""
    streams: tuple[Stream, ...]

    @property
    def elements(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


class Hole(Contract):
    """A stretch of a file that is left out of its entry and filled from a tensor."""

    path: RelativePath
    offset: Annotated[int, Field(ge=0)]
    tensor: Annotated[int, Field(ge=0)]
    axes: tuple[Annotated[int, Field(ge=0)], ...]
    """The tensor's axes in the order in which the file holds them."""
    form: Literal["codes", "values"]
    """codes: the stored numbers; values: float32(code) * float32(step)."""


class Storage(Contract):
    """Where the bytes of the files come from."""

    tensors: tuple[StoredTensor, ...]
    holes: tuple[Hole, ...]
    """Sorted by path, then offset."""


class Manifest(Contract):
    """The first entry of every artifact."""

    format: Literal["modelpress-artifact"] = "modelpress-artifact"
    format_version: Literal[1] = 1
    content: Content
    storage: Storage

    @property
    def digest(self) -> str:
        """The content digest: `sha256:` and the SHA-256 of the canonical JSON of `content`."""
        text = canonical_json(self.content.model_dump(mode="json", by_alias=True))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
