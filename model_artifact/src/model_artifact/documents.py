"""What `--json` prints, as types: docs/schemas is made from them.

Fields may be added, but none is renamed or taken away.
"""

from model_artifact.inspection import ArtifactFacts, TensorFacts
from model_artifact.manifest import Manifest, Quality
from model_artifact.recipe import Contract


class TensorDocument(Contract):
    """One tensor as it is stored."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """int8, int16 or float32; half precision is stored by its bits, as int16."""
    coder: str
    weights: int
    zeros: int
    entropy_bits_per_weight: float
    """Order-0 entropy."""
    bits_per_weight: float
    """Stored."""
    stored_bytes: int


class InspectDocument(Contract):
    """A whole artifact: `model-artifact inspect --json`."""

    digest: str
    """The content digest."""
    size_bytes: int
    unpacked_bytes: int
    weights: int
    """In the stored tensors; those below hold as many."""
    zeros_percent: float
    bits_per_weight: float
    """Stored, tensors alone."""
    entropy_bits_per_weight: float
    tensors: tuple[TensorDocument, ...]
    manifest: Manifest


class Change(Contract):
    """One field that differs, as it is written in JSON; null where it is absent."""

    field: str
    a: str
    b: str


class Side(Contract):
    """One of two artifacts."""

    digest: str
    size_bytes: int
    unpacked_bytes: int
    weights: int
    zeros_percent: float
    bits_per_weight: float
    entropy_bits_per_weight: float
    recipe_digest: str | None
    """Absent for a model that no recipe of ours describes."""
    quality: Quality | None


class LayerPair(Contract):
    """A tensor of both, or of one."""

    name: str
    a: TensorDocument | None
    b: TensorDocument | None


class DiffDocument(Contract):
    """Two artifacts beside each other: `model-artifact diff --json`."""

    same: bool
    """Whether both unpack to the same files and say the same of how they were made: their digests are equal."""
    a: Side
    b: Side
    recipe: tuple[Change, ...]
    """Fields of the recipe that differ."""
    quality: tuple[Change, ...]
    files: tuple[Change, ...]
    """Unpacked files that differ: their SHA-256."""
    layers: tuple[LayerPair, ...]
    """Every tensor, in A's order, then those that B alone has."""


def render_tensor(facts: TensorFacts) -> TensorDocument:
    """One tensor's facts as they are printed."""
    return TensorDocument.model_validate(facts, from_attributes=True)


def render_inspection(facts: ArtifactFacts) -> InspectDocument:
    """An artifact's facts as they are printed."""
    return InspectDocument.model_validate(facts, from_attributes=True)


def render_side(facts: ArtifactFacts) -> Side:
    """An artifact's facts as they stand beside another's."""
    return Side.model_validate(facts, from_attributes=True)


def format_json(document: Contract) -> str:
    """The document for a program to read, absent fields as null."""
    return document.model_dump_json(by_alias=True, indent=2)
