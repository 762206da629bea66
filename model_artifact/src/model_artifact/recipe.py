"""What to build: the one input of a build, and its digest.

Pure: pydantic alone. The digest of a recipe decides whether a model must be built, so the canonical form must never
change by an upgrade: `recipeVersion` is raised only when the same inputs would give other weights.

Over 400 lines, because the canonical form is read and changed as one: what enters the digest stands in no second place.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from model_artifact.errors import InvalidRecipeError

Rule = Literal["Floor", "OffsetRound", "Shadow"]
Update = Literal["Masters", "InPlace"]
Frequency = Literal["Step", "Epoch"]
Granularity = Literal["Tensor", "Channel"]
EndLayers = Literal["Compressed", "Dense"]
TrainingRecipe = Literal["Published", "Strong"]
Precision = Literal["Float32", "BFloat16"]
Keep = Literal["Last", "Best"]
Activations = Literal["Float", "Dynamic", "Integer"]
Metric = Literal["Accuracy", "F1", "MAE", "MSE", "AUC", "MeanIoU"]
Architecture = Literal["CNN", "SmallCNN", "VGG16"]
Dataset = Literal["CIFAR10", "Digits"]
Task = Literal["Classification", "Regression", "Segmentation"]
LearningRateSchedule = Literal["Constant", "Cosine"]

NOT_QUANTISED = 32
LARGEST_BITS = 16
LARGEST_INTEGER_BITS = 8
"""Bits of a weight that integer kernels take."""
DENSE_BITS = 8
"""Bits at least of a weight of a layer that is left dense."""
MAXIMUM_EPOCHS = 10_000
SHADOW_RAMP = 0.5
SHADOW_FREEZE = 0.25
METRICS: dict[Task, tuple[Metric, ...]] = {
    "Classification": get_args(Metric),
    "Regression": ("MAE", "MSE"),
    "Segmentation": ("Accuracy", "F1", "MeanIoU"),
}
"""What the answers to each task can be judged by; the first is the one where none is stated."""
FILE_URI_PATTERN = (
    "^(pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?|s3://[a-z0-9][-a-z0-9.]{1,61}[a-z0-9])(/[A-Za-z0-9_][-A-Za-z0-9_.]*)+$"
)
"""A file in a PersistentVolumeClaim, or an object in a bucket; no part of its path begins with a dot."""
CHOICES: dict[str, tuple[str, ...]] = {
    "rule": get_args(Rule),
    "architecture": get_args(Architecture),
    "dataset": get_args(Dataset),
}


def _check_bits(bits: int) -> int:
    if not (2 <= bits <= LARGEST_BITS or bits == NOT_QUANTISED):
        raise ValueError("bits must be 2 to 16, or 32 for weights that are not quantised")
    return bits


def _drop_sign_of_zero(number: float) -> float:
    """Minus zero is zero: both must have one canonical form, hence one digest."""
    return number + 0.0


def is_absent(value: object) -> bool:
    """For optional fields that older documents do not have: they are left out where they are absent."""
    return value is None


def _equals(default: object) -> Callable[[object], bool]:
    """For fields that later versions added: left out of every document where they have the default.

    Content digests that older versions gave then stay as they are.
    """
    return lambda value: value == default


class Contract(BaseModel):
    """What every document of the contract shares: camelCase on the wire, frozen, nothing unknown."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", ser_json_inf_nan="strings"
    )


class Compression(Contract):
    """How hard to prune and how finely to quantise (paper 000, eq. 1-4)."""

    alpha: Annotated[float, Field(ge=0, lt=5, allow_inf_nan=False), AfterValidator(_drop_sign_of_zero)]
    """Pruning strength: weights below alpha times their layer's standard deviation become zero. 0 prunes nothing."""
    bits: Annotated[int, AfterValidator(_check_bits)]
    """Bits of a weight (b): 2 to 16, or 32 for weights that are not quantised."""
    rule: Rule = "Floor"
    """Floor: paper 000, eq. 1-4. OffsetRound: paper 004, eq. 1-4. Shadow: rounded, with ramp, freeze and channels."""
    update: Annotated[Update | None, Field(exclude_if=is_absent)] = None
    """Where the gradient goes: onto float masters W while C runs forward, or onto the C that overwrites W.

    Absent: what `chosen_update` says.
    """
    frequency: Annotated[Frequency, Field(exclude_if=_equals("Step"))] = "Step"
    """Step: P->Q in every training step. Epoch: W is overwritten by C once at the end of each epoch."""
    granularity: Annotated[Granularity | None, Field(exclude_if=is_absent)] = None
    """Shadow only: one quantisation step for a tensor, or one for each output channel. Absent: Tensor."""
    ramp: Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False, exclude_if=is_absent)] = None
    """Shadow only: share of the training, at its begin, in which alpha rises cubically from 0. Absent: 0.5."""
    freeze: Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False, exclude_if=is_absent)] = None
    """Shadow only: share of the training, at its end, in which zeros stay the same ones. Absent: 0.25."""
    channel_sparsity: Annotated[float | None, Field(gt=0, lt=1, allow_inf_nan=False, exclude_if=is_absent)] = None
    """Shadow only: share of the output channels of each hidden layer, units of dense ones among them, that become zero
    as a whole, rising as alpha does: those whose weights have the smallest L2 norm (He et al. 2018, soft filter
    pruning). Absent: none."""
    first_and_last_layers: Annotated[EndLayers | None, Field(exclude_if=is_absent)] = None
    """Shadow only: Dense leaves the network's first and last layer unpruned, with all of their channels, and gives
    their weights 8 bits where bits are fewer. Absent: Compressed, as all others."""

    @model_validator(mode="after")
    def _check_rule(self) -> Self:
        if self.rule == "Shadow":
            self._check_shadow()
        elif any(part is not None for part in self._only_for_shadow):
            raise ValueError(
                "granularity, ramp, freeze, channelSparsity and firstAndLastLayers belong to the rule Shadow; leave"
                f" them out for {self.rule}"
            )
        if self.frequency == "Epoch" and self.update == "Masters":
            raise ValueError("frequency Epoch overwrites the weights; leave update out, or set it to InPlace")
        return self

    @property
    def _only_for_shadow(self) -> tuple[Any, ...]:
        return self.granularity, self.ramp, self.freeze, self.channel_sparsity, self.first_and_last_layers

    def _check_shadow(self) -> None:
        if self.update == "InPlace" or self.frequency == "Epoch":
            raise ValueError("Shadow keeps masters and compresses in every step; leave update and frequency out")
        if self.chosen_ramp + self.chosen_freeze > 1:
            raise ValueError("ramp and freeze are shares of one training; make their sum at most 1")

    @property
    def compresses(self) -> bool:
        """Whether the rule changes any weight."""
        return self.alpha > 0 or self.bits != NOT_QUANTISED or self.channel_sparsity is not None

    @property
    def chosen_update(self) -> Update:
        """Where the gradient goes; where the recipe does not say, what fits the published results (docs/results.md).

        Paper 000 loses little at 8 bits, where overwriting by floor learns nothing: masters. Paper 004 collapses
        without pruning, where rounding onto an unmoved grid loses every small update: overwriting.
        """
        if self.update is not None:
            return self.update
        return "InPlace" if self.rule == "OffsetRound" or self.frequency == "Epoch" else "Masters"

    @property
    def chosen_granularity(self) -> Granularity:
        """One step for a tensor or for each of its output channels."""
        return self.granularity or "Tensor"

    @property
    def chosen_first_and_last_layers(self) -> EndLayers:
        """Whether the first and the last layer are pruned."""
        return self.first_and_last_layers or "Compressed"

    def for_layer(self, place: int, layers: int) -> "Compression":
        """What is done to the weights of one layer.

        Args:
            place: of the layer among those whose weights are compressed, in the network's order, from 0.
            layers: how many there are.
        """
        if self.chosen_first_and_last_layers == "Compressed" or 0 < place < layers - 1:
            return self
        return self.model_copy(update={"alpha": 0.0, "bits": max(self.bits, DENSE_BITS), "channel_sparsity": None})

    @property
    def chosen_ramp(self) -> float:
        """Share of the training in which alpha rises; 0 for the published rules."""
        return 0.0 if self.rule != "Shadow" else SHADOW_RAMP if self.ramp is None else self.ramp

    @property
    def chosen_freeze(self) -> float:
        """Share of the training in which the mask is frozen; 0 for the published rules."""
        return 0.0 if self.rule != "Shadow" else SHADOW_FREEZE if self.freeze is None else self.freeze

    def without_rule_defaults(self) -> "Compression":
        """The same compression with what its rule has by default left out, so that it has one canonical form."""
        plain = self.model_copy(update=dict.fromkeys(_RULE_DEFAULTS))
        same = [name for name, chosen in _RULE_DEFAULTS.items() if getattr(self, chosen) == getattr(plain, chosen)]
        return self.model_copy(update=dict.fromkeys(same))


_RULE_DEFAULTS = {
    "update": "chosen_update",
    "granularity": "chosen_granularity",
    "first_and_last_layers": "chosen_first_and_last_layers",
    "ramp": "chosen_ramp",
    "freeze": "chosen_freeze",
}


class FileReference(Contract):
    """A file that a build needs: where it is, and what it must be."""

    path: Annotated[str | None, Field(min_length=1, exclude_if=is_absent)] = None
    """Absolute, or in the folder of the data sets, or in the current one."""
    uri: Annotated[str | None, Field(max_length=1024, pattern=FILE_URI_PATTERN, exclude_if=is_absent)] = None
    """In place of a path: pvc://CLAIM/PATH, a file in a claim that the build has mounted, or s3://BUCKET/KEY."""
    digest: Annotated[str | None, Field(pattern=r"^sha256:[0-9a-f]{64}$", exclude_if=is_absent)] = None
    """`sha256:` and the SHA-256 of its bytes; another file is another recipe. Absent, only with a URI: the URI alone
    says which file it is, and that it was changed there is not noticed."""

    @property
    def place(self) -> str:
        """What it is named by."""
        return self.path or str(self.uri)

    @property
    def stem(self) -> str:
        """The name of the file, without folders and suffix."""
        return PurePosixPath(self.place).stem

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if (self.path is None) == (self.uri is None):
            raise ValueError("state one of path and uri")
        if self.path is not None and self.digest is None:
            raise ValueError("a file that is named by its path needs its digest; state what sha256sum prints")
        return self


class Training(Contract):
    """How the network is trained; the defaults are those of paper 000, section III."""

    task: Task = "Classification"
    """Classification: a class for each image, by cross-entropy. Regression: numbers for each image, by the mean squared
    error. Segmentation: a class for each pixel, by cross-entropy. The last two train a given model on given data."""
    architecture: Annotated[Architecture | None, Field(exclude_if=is_absent)] = None
    """One of our networks; absent where a model is given."""
    model: Annotated[FileReference | None, Field(exclude_if=is_absent)] = None
    """A .keras file to begin with, its weights included, in place of an architecture."""
    dataset: Annotated[Dataset | None, Field(exclude_if=is_absent)] = None
    """One of the known data sets; absent where data are given."""
    data: Annotated[FileReference | None, Field(exclude_if=is_absent)] = None
    """An .npz file with x_train, y_train, x_test and y_test, in place of a data set."""
    epochs: Annotated[int, Field(ge=0, le=MAXIMUM_EPOCHS)] = 50
    """Passes over the training images; 0 leaves the initial weights, and the result says that it is untrained."""
    # Left out of every document where it is absent: content digests that older versions gave must stay as they are.
    maximum_steps: Annotated[int | None, Field(ge=1, exclude_if=is_absent)] = None
    """Training ends after this many steps in all; when that cuts it short, the result says that it is untrained."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 0.05
    learning_rate_schedule: LearningRateSchedule = "Constant"
    """Constant, as in the papers, or Cosine: from the learning rate to zero over all steps."""
    momentum: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), AfterValidator(_drop_sign_of_zero)] = 0.9
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    recipe: Annotated[TrainingRecipe, Field(exclude_if=_equals("Published"))] = "Published"
    """Published: as in the papers. Strong: batch normalisation in every network, random crop and flip, label smoothing
    0.1, weight decay 5e-4 on kernels, Nesterov momentum, and a learning rate that rises linearly and falls to zero, and
    is lower for a last layer with more than 128 inputs."""
    precision: Annotated[Precision, Field(exclude_if=_equals("Float32"))] = "Float32"
    """Of the arithmetic of forward and backward pass; masters, rules and normalisation stay float32."""
    validation_images: Annotated[int, Field(ge=0, exclude_if=_equals(0))] = 0
    """Training images that are set aside, drawn by the seed, to stop and to choose by; 0: the test images serve."""
    patience: Annotated[int | None, Field(ge=1, exclude_if=is_absent)] = None
    """Training ends after this many epochs without a better accuracy (Classification) or metric (the other tasks);
    absent: never early."""
    keep: Annotated[Keep, Field(exclude_if=_equals("Last"))] = "Last"
    """Last: the weights after the last step. Best: those after the epoch with the best accuracy or metric, likewise."""

    @property
    def network_name(self) -> str:
        """What to call the network: the architecture, or the name of the given file."""
        return self.model.stem if self.model is not None else str(self.architecture)

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        if (self.architecture is None) == (self.model is None):
            raise ValueError("state one of architecture and model")
        if (self.dataset is None) == (self.data is None):
            raise ValueError("state one of dataset and data")
        if self.model is not None and self.precision != "Float32":
            raise ValueError("a given model computes as it says itself; leave precision out")
        return self

    @model_validator(mode="after")
    def _check_task(self) -> Self:
        if self.task == "Classification":
            return self
        if self.architecture is not None:
            raise ValueError(f"{self.architecture} answers classes; for {self.task} state a model of your own")
        if self.dataset is not None:
            raise ValueError(f"{self.dataset} has a class for each image; for {self.task} state data of your own")
        if self.recipe == "Strong":
            raise ValueError(
                f"the recipe Strong smooths classes and moves images, which does not fit {self.task}; leave recipe out"
            )
        return self

    @model_validator(mode="after")
    def _check_recipe(self) -> Self:
        if self.recipe == "Strong" and self.learning_rate_schedule != "Constant":
            raise ValueError(
                "the recipe Strong has a learning-rate schedule of its own; leave learningRateSchedule out"
            )
        return self


class Export(Contract):
    """What model.tflite is made of the trained weights."""

    activations: Activations = "Dynamic"
    """Dynamic: int8 weights where the codes fit, float activations that the kernels round as they run. Integer: int8
    throughout, the ranges measured on training images; at most 8 bits. Float: float32 weights code x step."""
    remove_zero_channels: bool = True
    """Take channels and units without weights out of the graph; it answers the same."""


class Evaluation(Contract):
    """How the deployed model is judged."""

    metric: Metric = "Accuracy"
    """Accuracy, F1 (mean over the classes), AUC (mean over the classes, each against the rest) and MeanIoU in percent;
    MAE and MSE in the unit of the numbers that Regression answers, or those of the probabilities, 1 being right for the
    class and 0 for the others. Left out, it is MAE for Regression."""


class Recipe(Contract):
    """A whole build: same recipe, same weights (up to the arithmetic of the machine)."""

    recipe_version: Literal[1] = 1
    compression: Compression
    training: Training
    export: Annotated[Export, Field(exclude_if=_equals(Export()))] = Export()
    evaluation: Annotated[Evaluation, Field(exclude_if=_equals(Evaluation()))] = Evaluation()

    @model_validator(mode="before")
    @classmethod
    def _choose_metric(cls, stated: Any) -> Any:
        """Where Regression says nothing of its metric, state the first that there is."""
        if not isinstance(stated, dict) or _part(stated.get("training"), "task") != "Regression":
            return stated
        evaluation = stated.get("evaluation", {})
        if isinstance(evaluation, Evaluation):
            metric = evaluation.metric if evaluation.model_fields_set else METRICS["Regression"][0]
            return {**stated, "evaluation": Evaluation(metric=metric)}
        if not isinstance(evaluation, dict):
            return stated
        return {**stated, "evaluation": {"metric": METRICS["Regression"][0], **evaluation}}

    @model_validator(mode="after")
    def _check_metric(self) -> Self:
        task, metric = self.training.task, self.evaluation.metric
        if metric not in METRICS[task]:
            raise ValueError(f"evaluation.metric: {refuse_metric(task, metric)}")
        return self

    @model_validator(mode="after")
    def _check_export(self) -> Self:
        wide = self.compression.bits > LARGEST_INTEGER_BITS or self.compression.rule == "OffsetRound"
        if self.export.activations == "Integer" and wide:
            raise ValueError(
                "export.activations Integer needs codes of at most 8 bits; choose fewer bits, another rule than"
                " OffsetRound, or Dynamic"
            )
        return self

    def canonical_json(self) -> str:
        """The recipe as canonical JSON, without the fields that have their default value.

        So a field that a later version adds leaves the digests of older recipes as they are.
        """
        plain = self.model_copy(update={"compression": self.compression.without_rule_defaults()})
        stated = plain.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return canonical_json({**stated, "recipeVersion": self.recipe_version})

    @property
    def digest(self) -> str:
        """`sha256:` and the SHA-256 of the canonical JSON."""
        return f"sha256:{hashlib.sha256(self.canonical_json().encode()).hexdigest()}"


def _part(document: object, name: str) -> object:
    """A part of a document, be it parsed yet or not."""
    return document.get(name) if isinstance(document, dict) else getattr(document, name, None)


def refuse_metric(task: Task, metric: Metric) -> str:
    """Why a metric does not judge a task, and what does."""
    return f"{metric} does not judge {task}; choose one of {', '.join(METRICS[task])}"


def canonical_json(document: Any) -> str:
    """JSON that is the same for the same content: sorted keys, no spaces, shortest numbers, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse_recipe(text: str, source: str) -> Recipe:
    """Read a recipe from JSON.

    Args:
        text: the JSON document.
        source: where it came from, for the message.

    Raises:
        InvalidRecipeError: with the field, the value and what is allowed.
    """
    try:
        return Recipe.model_validate_json(text)
    except ValidationError as error:
        raise InvalidRecipeError(f"{source}: {_first_problem(error)}") from error


def _first_problem(error: ValidationError) -> str:
    """One sentence for the first thing that is wrong: field, what was expected, what was given."""
    problem = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "json_invalid":
        return f"not a JSON document: {problem['msg']}"
    message = problem["msg"].removeprefix("Value error, ")
    where = f"{field}: " if field else ""
    if problem["type"] in {"missing", "extra_forbidden"} or isinstance(problem["input"], dict):
        return f"{where}{message}"
    return f"{where}{message}, but it is {problem['input']!r}"
