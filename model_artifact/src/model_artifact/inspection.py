"""What an artifact holds, layer by layer, measured from its own bytes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_artifact.container import ArchiveReader
from model_artifact.manifest import Manifest, StoredTensor
from model_artifact.streams import entropy_bits, is_nonzero
from model_artifact.unpacking import read_manifest, read_tensor


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


def inspect(artifact: Path) -> ArtifactFacts:
    """Measure an artifact.

    Raises:
        CorruptArtifactError: naming entry or tensor.
    """
    with ArchiveReader(str(artifact)) as archive:
        manifest = read_manifest(archive)
        stored = archive.stored_bytes()
        tensors = [_measure(archive, tensor, stored) for tensor in manifest.storage.tensors]
    return ArtifactFacts(
        digest=manifest.digest,
        size_bytes=artifact.stat().st_size,
        unpacked_bytes=sum(file.size_bytes for file in manifest.content.files),
        tensors=tensors,
        manifest=manifest,
    )


def _measure(archive: ArchiveReader, tensor: StoredTensor, stored: dict[str, int]) -> TensorFacts:
    codes = read_tensor(archive, tensor).reshape(-1)
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
