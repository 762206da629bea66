"""What an artifact holds, layer by layer, measured from its own bytes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_artifact.archive_reader import ArchiveReader
from model_artifact.location import Location
from model_artifact.manifest import ITEM_BYTES, Manifest, Quality, StoredTensor
from model_artifact.manifest_reader import read_manifest
from model_artifact.naming import format_name
from model_artifact.recipe import Recipe
from model_artifact.streams import Array, entropy_bits, is_nonzero
from model_artifact.summary import ArtifactSummary, QualitySummary
from model_artifact.unpacking import list_units, read_tensor, unpack_archive
from model_artifact.verification import verify


@dataclass(frozen=True)
class TensorFacts:
    """One tensor as it is stored."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    coder: str
    weights: int
    zeros: int
    entropy_bits_per_weight: float
    stored_bytes: int

    @property
    def bits_per_weight(self) -> float:
        """Stored bits a weight."""
        return 8 * self.stored_bytes / self.weights if self.weights else 0.0


@dataclass(frozen=True)
class ArtifactFacts:
    """A whole artifact."""

    digest: str
    size_bytes: int
    unpacked_bytes: int
    tensors: list[TensorFacts]
    manifest: Manifest

    @property
    def recipe(self) -> Recipe | None:
        """What it was built from; absent where that is not told."""
        made = self.manifest.content.provenance
        return made.recipe if made else None

    @property
    def recipe_digest(self) -> str | None:
        """Absent for a model that no recipe of ours describes."""
        return self.recipe.digest if self.recipe else None

    @property
    def quality(self) -> Quality | None:
        """How good it is; absent where that was not measured."""
        made = self.manifest.content.provenance
        return made.quality if made else None

    @property
    def weights(self) -> int:
        """Number of weights in the stored tensors."""
        return sum(tensor.weights for tensor in self.tensors)

    @property
    def zeros_percent(self) -> float:
        """Share of those that are zero."""
        return 100 * sum(tensor.zeros for tensor in self.tensors) / self.weights if self.weights else 0.0

    @property
    def weight_bytes(self) -> int:
        """Stored bytes of the tensors alone."""
        return sum(tensor.stored_bytes for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Stored bits a weight, tensors alone."""
        return 8 * self.weight_bytes / self.weights if self.weights else 0.0

    @property
    def entropy_bits_per_weight(self) -> float:
        """Order-0 entropy of the tensors, weighted by their size."""
        total = sum(tensor.entropy_bits_per_weight * tensor.weights for tensor in self.tensors)
        return total / self.weights if self.weights else 0.0


def inspect(artifact: Location, *, progress: Callable[[str], None] = lambda _: None) -> ArtifactFacts:
    """Measure an artifact's tensors; its files are neither rebuilt nor verified, and not read from a bucket either.

    Raises:
        ArtifactError: naming entry or tensor.
    """
    with ArchiveReader(artifact) as archive:
        manifest = read_manifest(archive)
        stored, size_bytes = archive.stored_bytes(), archive.size_bytes
        tensors = []
        archive.expect(list_units(manifest.storage.tensors))
        for tensor in manifest.storage.tensors:
            progress(f"measuring {format_name(tensor.name)} ({tensor.elements:,} weights)")
            tensors.append(_measure(tensor, read_tensor(archive, tensor), stored))
    return _collect(size_bytes, manifest, tensors)


def verify_and_inspect(
    artifact: Location,
    *,
    digest: str | None = None,
    approve: Callable[[Manifest], None] = lambda _: None,
    progress: Callable[[str], None] = lambda _: None,
) -> ArtifactFacts:
    """Verify an artifact as `verify` does, and measure it while its tensors are at hand.

    Raises:
        ArtifactError: as `verify` raises it.
    """
    with ArchiveReader(artifact) as archive:
        stored, size_bytes = archive.stored_bytes(), archive.size_bytes
        described = read_manifest(archive).storage.tensors
    tensors: dict[int, TensorFacts] = {}

    def measure(index: int, weights: Array) -> None:
        if index not in tensors:
            tensors[index] = _measure(described[index], weights, stored)

    manifest = verify(artifact, digest=digest, approve=approve, progress=progress, watch=measure)
    return _collect(size_bytes, manifest, [tensors[index] for index in range(len(described))])


def unpack_and_inspect(
    artifact: Location,
    target: Path,
    *,
    digest: str | None = None,
    exclude: Sequence[str] = (),
    approve: Callable[[Manifest], None] = lambda _: None,
    progress: Callable[[str], None] = lambda _: None,
) -> ArtifactFacts:
    """Unpack an artifact as `unpack` does, and measure it while its tensors are at hand.

    Raises:
        ArtifactError: as `unpack` raises it.
    """
    tensors: list[TensorFacts] = []
    with ArchiveReader(artifact) as archive:
        stored, size_bytes = archive.stored_bytes(), archive.size_bytes

        def measure(tensor: StoredTensor, weights: Array) -> None:
            tensors.append(_measure(tensor, weights, stored))

        manifest = unpack_archive(
            archive, artifact, target, digest=digest, exclude=exclude, approve=approve, progress=progress, watch=measure
        )
    if len(tensors) != len(manifest.storage.tensors):
        return verify_and_inspect(artifact, digest=manifest.digest, progress=progress)  # it was unpacked before
    return _collect(size_bytes, manifest, tensors)


def _collect(size_bytes: int, manifest: Manifest, tensors: list[TensorFacts]) -> ArtifactFacts:
    return ArtifactFacts(
        digest=manifest.digest,
        size_bytes=size_bytes,
        unpacked_bytes=sum(file.size_bytes for file in manifest.content.files),
        tensors=tensors,
        manifest=manifest,
    )


def _measure(tensor: StoredTensor, weights: Array, stored: dict[str, int]) -> TensorFacts:
    codes = weights.reshape(-1)
    return TensorFacts(
        name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        coder=tensor.coder,
        weights=codes.size,
        zeros=int(codes.size - np.count_nonzero(is_nonzero(codes))),
        entropy_bits_per_weight=entropy_bits(codes),
        stored_bytes=sum(stored[stream.entry] for stream in tensor.streams),
    )


def render_summary(facts: ArtifactFacts, path: str) -> ArtifactSummary:
    """The facts as they are handed over to the operator.

    Args:
        facts: of the artifact.
        path: where it is kept, below the root of the store.
    """
    made = facts.manifest.content.provenance
    recipe = facts.recipe
    weights, zeros = _count_trained(facts)
    share = facts.weights / weights if weights else 0.0
    return ArtifactSummary(
        recipe_digest=facts.recipe_digest,
        digest=facts.digest,
        path=path,
        size_bytes=facts.size_bytes,
        float_bytes=ITEM_BYTES["float32"] * weights,
        weights=weights,
        bits_per_weight=round(share * facts.bits_per_weight, 4),
        entropy_bits_per_weight=round(share * facts.entropy_bits_per_weight, 4),
        sparsity_percent=round(100 * zeros / weights, 4) if weights else 0.0,
        alpha=recipe.compression.alpha if recipe else None,
        bits=recipe.compression.bits if recipe else None,
        rule=recipe.compression.rule if recipe else None,
        channel_sparsity=recipe.compression.channel_sparsity if recipe else None,
        first_and_last_layers=recipe.compression.first_and_last_layers if recipe else None,
        trained=made.trained if made else False,
        quality=_summarise_quality(facts.quality) if facts.quality else None,
        dataset=made.dataset.name if made and made.dataset else None,
        model_digest=made.given_model.digest if made and made.given_model else None,
        data_digest=made.dataset.digest if made and made.dataset and made.recipe.training.data else None,
        duration_seconds=made.duration_seconds if made else None,
    )


def _count_trained(facts: ArtifactFacts) -> tuple[int, int]:
    """Weights and zeros of the network that was trained: before channels without weights were taken out."""
    made = facts.manifest.content.provenance
    if made is None or not any(layer.removed_channels for layer in made.layers):
        return facts.weights, sum(tensor.zeros for tensor in facts.tensors)
    return sum(math.prod(layer.shape) for layer in made.layers), sum(layer.zeros for layer in made.layers)


def _summarise_quality(quality: Quality) -> QualitySummary:
    return QualitySummary(
        metric=quality.metric,
        value=quality.deployed,
        float_value=quality.float_model,
        samples=quality.samples,
        measures=None if quality.measures is None else {str(name): value for name, value in quality.measures.items()},
    )
