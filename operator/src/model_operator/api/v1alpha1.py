"""The API: CompressedModel as users write it, and the recipe it asks for.

Pure: no clock, no client. A field stands here only once something obeys it. Limits and value sets are those of
`model_artifact.recipe`. Unknown fields are ignored, because the API server has already removed them. The docstrings of
classes and fields are what `kubectl explain` prints.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from model_artifact.recipe import (
    LARGEST_BITS,
    NOT_QUANTISED,
    Architecture,
    Dataset,
    LearningRateSchedule,
    Recipe,
    Rule,
    Task,
)
from model_operator import names
from model_operator.api.problem import format_problem, format_value
from model_operator.api.structural import CEL_RULES
from model_operator.errors import InvalidModelError

SMALLEST_BITS = 2
ALPHA_LIMIT = 5.0

ALPHA_MESSAGE = "alpha must be at least 0 and less than 5; 0 prunes nothing"
BITS_MESSAGE = f"bits must be {SMALLEST_BITS} to {LARGEST_BITS}, or {NOT_QUANTISED} to leave weights unquantised"
NAME_MESSAGE = (
    f"metadata.name must be a DNS label that begins with a letter and has at most {names.LARGEST_MODEL_NAME_LENGTH}"
    " characters (a-z, 0-9, -); create the object under such a name"
)


URI_PATTERN = "^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9_][-A-Za-z0-9_.]*)+$"
URI_MESSAGE = "uri must be pvc://CLAIM/PATH, a file in a PersistentVolumeClaim of the same namespace"
DIGEST_PATTERN = "^sha256:[0-9a-f]{64}$"
DIGEST_MESSAGE = "digest must be sha256: and 64 hexadecimal digits; model-artifact inspect prints it"
WINDOW_PATTERN = "^[1-9][0-9]{0,4}[smh]$"
WINDOW_MESSAGE = "window must be a whole number and s, m or h, for example 5m"

Quantity = str | int


def _cel(rule: str, message: str) -> dict[str, Any]:
    """JSON schema keywords that have the API server check `rule`; it must compile on Kubernetes 1.26."""
    return {CEL_RULES: [{"rule": rule, "message": message}]}


def _check_alpha(alpha: float) -> float:
    if not 0 <= alpha < ALPHA_LIMIT:
        raise ValueError(ALPHA_MESSAGE)
    return alpha


def _check_bits(bits: int) -> int:
    if not (SMALLEST_BITS <= bits <= LARGEST_BITS or bits == NOT_QUANTISED):
        raise ValueError(BITS_MESSAGE)
    return bits


def _check_name(name: str) -> str:
    if not re.fullmatch(names.MODEL_NAME_PATTERN, name) or len(name) > names.LARGEST_MODEL_NAME_LENGTH:
        raise ValueError(NAME_MESSAGE)
    return name


def _check_uri(uri: str) -> str:
    if not re.fullmatch(URI_PATTERN, uri):
        raise ValueError(URI_MESSAGE)
    return uri


def _check_digest(digest: str) -> str:
    if not re.fullmatch(DIGEST_PATTERN, digest):
        raise ValueError(DIGEST_MESSAGE)
    return digest


def _check_window(window: str) -> str:
    if not re.fullmatch(WINDOW_PATTERN, window):
        raise ValueError(WINDOW_MESSAGE)
    return window


class ApiObject(BaseModel):
    """What every part of the API shares: camelCase on the wire, frozen, exact types, unknown fields ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, frozen=True, extra="ignore", strict=True, use_attribute_docstrings=True
    )


class Compression(ApiObject):
    """How hard the weights are pruned and how finely they are quantised."""

    alpha: Annotated[
        float,
        Field(allow_inf_nan=False, json_schema_extra=_cel(f"self >= 0.0 && self < {ALPHA_LIMIT}", ALPHA_MESSAGE)),
        AfterValidator(_check_alpha),
    ]
    """Pruning strength: weights smaller than alpha times the standard deviation of their layer become zero."""
    bits: Annotated[
        int,
        Field(
            json_schema_extra=_cel(
                f"(self >= {SMALLEST_BITS} && self <= {LARGEST_BITS}) || self == {NOT_QUANTISED}", BITS_MESSAGE
            )
        ),
        AfterValidator(_check_bits),
    ]
    """Bits of a weight's code."""
    rule: Rule = "Floor"
    """How a weight becomes a code: Floor divides it by the step of its layer and rounds down."""


class Training(ApiObject):
    """Train a known network on a known data set, pruning and quantising as it learns."""

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


class ArtifactSource(ApiObject):
    """An artifact that is built already: it is verified and served."""

    uri: Annotated[
        str, Field(json_schema_extra=_cel(f"self.matches('{URI_PATTERN}')", URI_MESSAGE)), AfterValidator(_check_uri)
    ]
    """Where it is: pvc://CLAIM/PATH, a file in a PersistentVolumeClaim of the model's namespace."""
    digest: Annotated[
        str,
        Field(json_schema_extra=_cel(f"self.matches('{DIGEST_PATTERN}')", DIGEST_MESSAGE)),
        AfterValidator(_check_digest),
    ]
    """Its content digest, as `model-artifact inspect` prints it; another artifact is never served."""


class Source(ApiObject):
    """Where the model comes from: exactly one of training and artifact."""

    training: Training | None = None
    artifact: ArtifactSource | None = None


class Resources(ApiObject):
    """Requests and limits of the container, as in a pod."""

    requests: dict[str, Quantity] = {}
    limits: dict[str, Quantity] = {}


class Toleration(ApiObject):
    """A taint that pods tolerate, as in a pod."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] | None = None
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None


class Placement(ApiObject):
    """Where pods run and what they may use."""

    resources: Resources | None = None
    """Absent: the operator's own choice, which docs/operations.md states."""
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()


class Build(Placement):
    """How the model is built; nothing here changes the artifact."""

    queue_name: str = ""
    """Kueue's LocalQueue: the Job starts suspended and Kueue admits it."""
    timeout_seconds: Annotated[int, Field(ge=1)] = 86_400
    """Of one attempt."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """Further attempts after one that failed for a reason that may pass."""


class Serving(Placement):
    """How the model is served."""

    image: str = ""
    """Image with TensorFlow Serving's command line; empty: the operator's setting."""


class Autoscaling(ApiObject):
    """A HorizontalPodAutoscaler (autoscaling/v2) for the model."""

    min_replicas: Annotated[int, Field(ge=1)] = 1
    max_replicas: Annotated[int, Field(ge=1)] = 5
    target_cpu_utilization_percentage: Annotated[int, Field(ge=1)] = 70
    """Of the requested CPU, mean over pods; used unless metrics are given."""
    metrics: tuple[dict[str, Any], ...] = ()
    """autoscaling/v2 metrics as they are; they replace the CPU target."""
    behavior: dict[str, Any] | None = None
    """autoscaling/v2 behavior as it is."""


class QualityObjective(ApiObject):
    """How good the model must be."""

    metric: Literal["Accuracy"] = "Accuracy"
    minimum: float | None = None
    """Least value, in the metric's unit (Accuracy: percent)."""
    maximum_loss: float | None = None
    """Greatest loss against the baseline's value, in the metric's unit (Accuracy: points)."""


class Objectives(ApiObject):
    """What the served model must keep to; each absent one is not asked for."""

    p95_latency_milliseconds: Annotated[float, Field(gt=0)] | None = None
    cpu_millicores: Annotated[float, Field(gt=0)] | None = None
    """Mean of a pod."""
    memory_mebibytes: Annotated[float, Field(gt=0)] | None = None
    """Working set, mean of a pod."""
    error_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    window: Annotated[
        str,
        Field(json_schema_extra=_cel(f"self.matches('{WINDOW_PATTERN}')", WINDOW_MESSAGE)),
        AfterValidator(_check_window),
    ] = "5m"
    """Over which KPIs are measured: a number and s, m or h."""
    quality: QualityObjective | None = None


class BaselineReference(ApiObject):
    """The CompressedModel of the same namespace that savings are measured against."""

    name: str


class Rollout(ApiObject):
    """How a new revision replaces the one that is served."""

    strategy: Literal["Rolling", "Recreate"] = "Rolling"
    """Rolling starts new pods before it ends old ones; Recreate ends the old ones first."""


class CompressedModelSpec(ApiObject):
    """What is wanted."""

    compression: Compression | None = None
    """Needed with source.training; with source.artifact the artifact itself says it."""
    source: Source
    build: Build = Build()
    serving: Serving = Serving()
    autoscaling: Autoscaling | None = None
    replicas: Annotated[int, Field(ge=0)] = 1
    """Used only while autoscaling is absent."""
    objectives: Objectives = Objectives()
    baseline: BaselineReference | None = None
    rollout: Rollout = Rollout()
    suspend: bool = False
    """True: the operator changes nothing of this model and goes on to report."""


class Metadata(ApiObject):
    """The part of an object's metadata that the operator reads."""

    name: Annotated[str, AfterValidator(_check_name)]
    """Name of the model and of what is made for it."""
    namespace: str = "default"


class CompressedModel(ApiObject):
    """A neural network, compressed by pruning and quantising its weights."""

    model_config = ConfigDict(
        json_schema_extra=_cel(
            f"size(self.metadata.name) <= {names.LARGEST_MODEL_NAME_LENGTH}"
            f" && self.metadata.name.matches('{names.MODEL_NAME_PATTERN}')",
            NAME_MESSAGE,
        )
    )

    metadata: Metadata
    spec: CompressedModelSpec

    def recipe(self) -> Recipe | None:
        """The recipe whose build gives what this spec asks for (metadata has no part); None where an artifact is given."""
        training, compression = self.spec.source.training, self.spec.compression
        if training is None or compression is None:
            return None
        return Recipe.model_validate({"compression": compression.model_dump(), "training": training.model_dump()})


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
