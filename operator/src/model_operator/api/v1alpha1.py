"""The API: CompressedModel as users write it, and the recipe it asks for.

Pure: no clock, no client. A field stands here only once something obeys it. Limits and value sets are those of
`model_artifact.recipe`. Unknown fields are ignored, because the API server has already removed them. The docstrings of
classes and fields are what `kubectl explain` prints.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from model_artifact.recipe import Architecture, Dataset, LearningRateSchedule, Recipe, Rule, Task
from model_operator import names
from model_operator.api import rules
from model_operator.api.problem import format_problem, format_value
from model_operator.api.rules import ApiRule, Quantity
from model_operator.errors import InvalidModelError

_LARGEST_INT32 = 2**31 - 1


def _add_rules(schema: dict[str, Any], model: type[BaseModel]) -> None:
    if issubclass(model, ApiObject) and model.rules:
        schema |= rules.render_rules(*model.rules)


class ApiObject(BaseModel):
    """What every part of the API shares: camelCase on the wire, frozen, exact types, unknown fields ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        frozen=True,
        extra="ignore",
        strict=True,
        use_attribute_docstrings=True,
        json_schema_extra=_add_rules,
    )
    rules: ClassVar[tuple[ApiRule, ...]] = ()
    """How its fields must fit together."""

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        for rule in self.rules:
            rule.check(self)
        return self


class Compression(ApiObject):
    """How hard the weights are pruned and how finely they are quantised."""

    alpha: Annotated[
        float, Field(allow_inf_nan=False, json_schema_extra=rules.ALPHA.schema), AfterValidator(rules.ALPHA.check)
    ]
    """Pruning strength: weights smaller than alpha times the standard deviation of their layer become zero."""
    bits: Annotated[int, Field(json_schema_extra=rules.BITS.schema), AfterValidator(rules.BITS.check)]
    """Bits of a weight's code."""
    rule: Rule = "Floor"
    """How a weight becomes a code: by rounding down, by rounding on a shifted range, or softly from float weights."""


class Training(ApiObject):
    """Train a known network on a known data set, pruning and quantising as it learns."""

    rules = (rules.IMAGE_SIZE,)

    task: Task = "Classification"
    """What the network learns to do."""
    architecture: Architecture
    """The network. VGG16 needs the 32x32 images of CIFAR10."""
    dataset: Dataset
    """The labelled images that it learns from and is tested on."""
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


class ArtifactSource(ApiObject):
    """An artifact that is built already: it is verified and served."""

    uri: Annotated[str, Field(max_length=1024, json_schema_extra=rules.URI.schema), AfterValidator(rules.URI.check)]
    """Where it is: pvc://CLAIM/PATH, a file in a PersistentVolumeClaim of the model's namespace, or s3://BUCKET/KEY."""
    digest: Annotated[
        str, Field(max_length=128, json_schema_extra=rules.DIGEST.schema), AfterValidator(rules.DIGEST.check)
    ]
    """Its content digest, as `model-artifact inspect` prints it; another artifact is never served."""


class Source(ApiObject):
    """Where the model comes from: exactly one of training and artifact."""

    rules = (rules.ONE_SOURCE,)

    training: Training | None = None
    artifact: ArtifactSource | None = None


Amounts = Annotated[dict[str, Quantity], Field(max_length=16)]


class Resources(ApiObject):
    """Requests and limits of the container, as in a pod."""

    requests: Amounts = {}
    """What the container is given at least, by resource (cpu, memory)."""
    limits: Amounts = {}
    """What the container may use at most, by resource."""


class Toleration(ApiObject):
    """A taint that pods tolerate, as in a pod."""

    key: Annotated[str, Field(max_length=316)] | None = None
    """Key of the taint; absent with operator Exists: every taint."""
    operator: Literal["Equal", "Exists"] | None = None
    """Equal (also when absent) compares value; Exists takes any."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; absent: every effect."""
    toleration_seconds: int | None = None
    """How long a NoExecute taint is tolerated; absent: for ever."""


class Placement(ApiObject):
    """Where pods run and what they may use."""

    resources: Resources | None = None
    """Requests and limits of the container; absent: the operator's own choice, which docs/operations.md states."""
    node_selector: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=32)] = {}
    """Labels that the pods' nodes must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(strict=False, max_length=32)] = ()
    """Taints of nodes that the pods tolerate."""


class Store(ApiObject):
    """Where builds keep what they make."""

    uri: Annotated[
        str, Field(max_length=1024, json_schema_extra=rules.STORE_URI.schema), AfterValidator(rules.STORE_URI.check)
    ] = ""
    """A bucket, s3://BUCKET/PREFIX, or a claim, pvc://CLAIM; empty: the operator's setting."""


class Build(Placement):
    """How the model is built; nothing here changes the artifact."""

    queue_name: Annotated[str, Field(max_length=63)] = ""
    """Kueue's LocalQueue: the Job starts suspended and Kueue admits it. Empty: the Job starts at once."""
    timeout_seconds: Annotated[int, Field(ge=1, le=_LARGEST_INT32)] = 86_400
    """Longest time of one attempt."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """Further attempts after one that failed for a reason that may pass."""


class Serving(Placement):
    """How the model is served."""

    image: Annotated[str, Field(max_length=1024)] = ""
    """Image with TensorFlow Serving's command line; empty: the operator's setting."""


class Autoscaling(ApiObject):
    """A HorizontalPodAutoscaler (autoscaling/v2) for the model."""

    rules = (rules.REPLICA_RANGE,)

    min_replicas: Annotated[int, Field(ge=1, le=_LARGEST_INT32)] = 1
    """Fewest pods."""
    max_replicas: Annotated[int, Field(ge=1, le=_LARGEST_INT32)] = 5
    """Most pods."""
    target_cpu_utilization_percentage: Annotated[
        int, Field(ge=1, le=_LARGEST_INT32, alias="targetCPUUtilizationPercentage")
    ] = 70
    """CPU that is used of the CPU that is requested, mean over pods; not used where metrics are given."""
    metrics: Annotated[tuple[dict[str, Any], ...], Field(strict=False, max_length=32)] = ()
    """Metrics of autoscaling/v2 as they are; they replace the CPU target."""
    behavior: dict[str, Any] | None = None
    """Behavior of autoscaling/v2 as it is."""


class QualityObjective(ApiObject):
    """How good the model must be: minimum, maximumLoss or both."""

    rules = (rules.QUALITY,)

    metric: Literal["Accuracy"] = "Accuracy"
    """What is measured, on the test images of the data set."""
    minimum: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Least value, in the metric's unit (Accuracy: percent)."""
    maximum_loss: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Greatest loss against the baseline's value, in the metric's unit (Accuracy: points)."""


class Objectives(ApiObject):
    """What the served model must keep to; each absent one is not asked for."""

    p95_latency_milliseconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """95 % of the requests are answered within this time, inside the server."""
    cpu_millicores: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Most CPU that a pod uses, mean over pods."""
    memory_mebibytes: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Largest working set of a pod, mean over pods."""
    error_percent: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    """Most requests that may fail."""
    window: Annotated[
        str, Field(max_length=16, json_schema_extra=rules.WINDOW.schema), AfterValidator(rules.WINDOW.check)
    ] = "5m"
    """Over which KPIs are measured: a number and s, m or h."""
    quality: QualityObjective | None = None


class BaselineReference(ApiObject):
    """The CompressedModel of the same namespace that savings are measured against."""

    name: Annotated[
        str,
        Field(max_length=253, json_schema_extra=rules.BASELINE_NAME.schema),
        AfterValidator(rules.BASELINE_NAME.check),
    ]
    """Its name; it may be created later."""


class Rollout(ApiObject):
    """How a new revision replaces the one that is served."""

    strategy: Literal["Rolling", "Recreate"] = "Rolling"
    """Rolling starts new pods before it ends old ones; Recreate ends the old ones first."""


class CompressedModelSpec(ApiObject):
    """What is wanted."""

    rules = (rules.COMPRESSION, rules.LOSS)

    compression: Compression | None = None
    """How hard the weights are pruned and quantised; needed with source.training, an artifact says it itself."""
    source: Source
    store: Store = Store()
    build: Build = Build()
    serving: Serving = Serving()
    autoscaling: Autoscaling | None = None
    replicas: Annotated[int, Field(ge=0, le=_LARGEST_INT32)] = 1
    """Pods that serve; used only while autoscaling is absent."""
    objectives: Objectives = Objectives()
    baseline: BaselineReference | None = None
    rollout: Rollout = Rollout()
    suspend: bool = False
    """True: the operator changes nothing of this model and goes on to report."""


class Metadata(ApiObject):
    """The part of an object's metadata that the operator reads."""

    name: str
    """Name of the model and of what is made for it."""
    namespace: str = "default"
    """Where the model and what is made for it are."""


class CompressedModel(ApiObject):
    """A neural network, compressed by pruning and quantising its weights, and served."""

    rules = (rules.MODEL_NAME, rules.OTHER_BASELINE)

    metadata: Metadata
    spec: CompressedModelSpec

    def recipe(self) -> Recipe | None:
        """The recipe whose build gives what this spec asks for (not its metadata); None where an artifact is given."""
        training, compression = self.spec.source.training, self.spec.compression
        if training is None or compression is None:
            return None
        stated = training.model_dump(exclude_none=True)
        return Recipe.model_validate({"compression": compression.model_dump(), "training": stated})


def parse_model(body: Mapping[str, Any]) -> CompressedModel:
    """The CompressedModel in `body`, an object as the API server or a YAML file gives it.

    Raises:
        InvalidModelError: with the object, the first field that is wrong, its value and what to write instead.
    """
    for field, expected in (("apiVersion", names.API_VERSION), ("kind", names.KIND)):
        if body.get(field) != expected:
            raise InvalidModelError(
                f"{format_object(body)}: {field} is {format_value(body.get(field))}; it must be {expected}"
            )
    try:
        return CompressedModel.model_validate(dict(body))
    except ValidationError as error:
        raise InvalidModelError(f"{format_object(body)}: {format_problem(error)}") from error


def format_object(body: Mapping[str, Any]) -> str:
    """`CompressedModel namespace/name`, with as much of it as the object states."""
    metadata = body.get("metadata")
    stated = metadata if isinstance(metadata, Mapping) else {}
    full_name = "/".join(str(stated[key]) for key in ("namespace", "name") if stated.get(key))
    return f"{names.KIND} {full_name or 'without a name'}"
