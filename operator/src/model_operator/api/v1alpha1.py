"""The API: CompressedModel as users write it, and the recipe it asks for.

Pure: no clock, no client. A field stands here, in `source` or in `pods` only once something obeys it. Unknown fields
are ignored, because the API server has already removed them. The docstrings of classes and fields are what
`kubectl explain` prints.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from model_artifact.recipe import Recipe
from model_operator import names
from model_operator.api import rules
from model_operator.api.api_object import ApiObject
from model_operator.api.pods import Build, Placement, Resources, Serving, Store
from model_operator.api.problem import format_problem, format_value
from model_operator.api.quality import QualityMetric
from model_operator.api.source import ArtifactSource, Compression, Source
from model_operator.errors import InvalidModelError

__all__ = [
    "ApiObject",
    "ArtifactSource",
    "Autoscaling",
    "Build",
    "CompressedModel",
    "CompressedModelSpec",
    "Objectives",
    "Placement",
    "QualityObjective",
    "Resources",
    "format_object",
    "parse_model",
]

_LARGEST_INT32 = 2**31 - 1


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
    """How good the model must be: minimum or maximum, maximumLoss, or both."""

    rules = (rules.QUALITY, rules.QUALITY_MINIMUM, rules.QUALITY_MAXIMUM)

    metric: QualityMetric = "Accuracy"
    """What is measured on the test images: Accuracy, F1, MeanIoU and AUC in percent, of which more is better, or
    MeanAbsoluteError and MeanSquaredError in the unit of the targets, of which less is. Changing it builds nothing."""
    minimum: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Least value, in the metric's unit, of a metric of which more is better."""
    maximum: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Greatest value, in the metric's unit, of a metric of which less is better."""
    maximum_loss: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """How much worse than the baseline's value it may be, in the metric's unit (percent: points)."""


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

    rules = (rules.COMPRESSION, rules.LOSS, rules.QUALITY_OF_TASK, rules.INTEGER_WEIGHTS)

    compression: Compression | None = None
    """How hard the weights are pruned and quantised; needed but with source.artifact, which says it itself."""
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
    """True: the operator ends the model's builds, changes nothing else of it, and goes on to report."""


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
        training, compression = self.spec.source.render_training(), self.spec.compression
        if training is None or compression is None:
            return None
        return Recipe.model_validate({"compression": compression.model_dump(exclude_none=True), "training": training})


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
