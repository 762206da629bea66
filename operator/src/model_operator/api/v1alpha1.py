"""The API: CompressedModel as users write it, and the recipe it asks for.

Pure: no clock, no client. A field stands here only once something obeys it. Limits and value sets are those of
`model_artifact.recipe`. Unknown fields are ignored, because the API server has already removed them. The docstrings of
classes and fields are what `kubectl explain` prints.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

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


class Source(ApiObject):
    """Where the model comes from."""

    training: Training


class CompressedModelSpec(ApiObject):
    """What is wanted."""

    compression: Compression
    source: Source


class Metadata(ApiObject):
    """The part of an object's metadata that the operator reads."""

    name: Annotated[str, AfterValidator(_check_name)]
    """Name of the model and of what is made for it."""


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

    def recipe(self) -> Recipe:
        """The recipe whose build gives the model that this spec asks for; metadata has no part in it."""
        return Recipe.model_validate(
            {
                "compression": self.spec.compression.model_dump(),
                "training": self.spec.source.training.model_dump(),
            }
        )


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
