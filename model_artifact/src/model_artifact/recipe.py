"""What to build: the one input of a build, and its digest.

Pure: pydantic alone. The digest of a recipe decides whether a model must be built, so the canonical form must never
change by an upgrade: `recipeVersion` is raised only when the same inputs would give other weights.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from model_artifact.errors import InvalidRecipeError

Rule = Literal["Floor"]
Architecture = Literal["CNN", "SmallCNN", "VGG16"]
Dataset = Literal["CIFAR10", "Digits"]
Task = Literal["Classification"]
LearningRateSchedule = Literal["Constant", "Cosine"]

NOT_QUANTISED = 32
LARGEST_BITS = 16
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


def _is_absent(value: object) -> bool:
    return value is None


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
    """Floor: paper 000, eq. 1-4."""


class Training(Contract):
    """How the network is trained; the defaults are those of paper 000, section III."""

    task: Task = "Classification"
    architecture: Architecture
    dataset: Dataset
    epochs: Annotated[int, Field(ge=0, le=10_000)] = 50
    """Passes over the training images; 0 leaves the initial weights, and the result says that it is untrained."""
    # Left out of every document where it is absent: content digests that older versions gave must stay as they are.
    maximum_steps: Annotated[int | None, Field(ge=1, exclude_if=_is_absent)] = None
    """Training ends after this many steps in all; when that cuts it short, the result says that it is untrained."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 0.05
    learning_rate_schedule: LearningRateSchedule = "Constant"
    """Constant, as in the papers, or Cosine: from the learning rate to zero over all steps."""
    momentum: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), AfterValidator(_drop_sign_of_zero)] = 0.9
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class Recipe(Contract):
    """A whole build: same recipe, same weights (up to the arithmetic of the machine)."""

    recipe_version: Literal[1] = 1
    compression: Compression
    training: Training

    def canonical_json(self) -> str:
        """The recipe as canonical JSON, without the fields that have their default value.

        So a field that a later version adds leaves the digests of older recipes as they are.
        """
        stated = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return canonical_json({**stated, "recipeVersion": self.recipe_version})

    @property
    def digest(self) -> str:
        """`sha256:` and the SHA-256 of the canonical JSON."""
        return f"sha256:{hashlib.sha256(self.canonical_json().encode()).hexdigest()}"


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
    if problem["type"] in {"missing", "extra_forbidden"}:
        return f"{field}: {message}"
    return f"{field}: {message}, but it is {problem['input']!r}"
