"""What a report says of one artifact, read from the artifact and the folder of its build."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_artifact.archive_reader import ArchiveReader
from model_artifact.inspection import ArtifactFacts, inspect
from model_artifact.manifest import Layer, Provenance, StoredTensor
from model_artifact.unpacking import read_tensor
from model_builder.errors import BuildError
from model_builder.masters import Histogram, read_masters
from model_builder.run_folder import ARTIFACT_FILE

SHOWN_LAYERS = 4


@dataclass(frozen=True)
class Levels:
    """The weights of a deployed kernel as the few values that they have.

    Attributes:
        name: of the kernel.
        values: code x step, ascending.
        counts: how many weights have each.
        removed: weights that were taken out with their channels, all of them zero or without effect.
        in_steps: whether the values are weights; false: codes, since each channel has a step of its own.
    """

    name: str
    values: NDArray[Any]
    counts: NDArray[Any]
    removed: int
    in_steps: bool = True

    @property
    def total(self) -> int:
        """Weights of the trained kernel."""
        return int(self.counts.sum()) + self.removed

    @property
    def zeros(self) -> int:
        """Weights that are zero, or were taken out."""
        return int(self.counts[self.values == 0].sum()) + self.removed


@dataclass(frozen=True)
class Subject:
    """One artifact.

    Attributes:
        name: unique in the report, fit for a file's name.
        facts: measured from its bytes.
        made: how it came to be.
        masters: histograms of the float weights by kernel; None where none were kept.
        levels: of the kernels that are shown.
    """

    name: str
    facts: ArtifactFacts
    made: Provenance
    masters: dict[str, Histogram] | None
    levels: tuple[Levels, ...]

    @property
    def setting(self) -> str:
        """Alpha, bits and rule, the share of channels that is pruned as a whole, and whether the ends are dense."""
        rule = self.made.recipe.compression
        if not rule.compresses:
            return "uncompressed"
        channels = (
            "" if rule.channel_sparsity is None else f", channels \N{MINUS SIGN}{100 * rule.channel_sparsity:g} %"
        )
        ends = ", ends dense" if rule.chosen_first_and_last_layers == "Dense" else ""
        return f"alpha {rule.alpha:g}, b {rule.bits}, {rule.rule}{channels}{ends}"

    @property
    def comparable(self) -> bool:
        """Whether its accuracy is one on CIFAR-10's images, be they re-encoded."""
        data, quality = self.made.dataset, self.made.quality
        measured = quality is not None and quality.metric == "Accuracy"
        return measured and data is not None and data.name.startswith("CIFAR-10")


def read_subjects(sources: Sequence[Path]) -> list[Subject]:
    """The artifacts of folders of builds, or artifacts themselves.

    Raises:
        CorruptArtifactError: when one is none of ours.
        BuildError: when one does not say how it was made.
    """
    names: set[str] = set()
    subjects = []
    for source in sources:
        name = _choose_name(source, names)
        names.add(name)
        subjects.append(_read_subject(source, name))
    return subjects


def _choose_name(source: Path, taken: set[str]) -> str:
    absolute = source.absolute()
    name = (
        absolute.parent.name if absolute.name == ARTIFACT_FILE else absolute.stem if source.is_file() else absolute.name
    )
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
    if plain not in taken:
        return plain
    return next(f"{plain}-{number}" for number in range(2, len(taken) + 3) if f"{plain}-{number}" not in taken)


def _read_subject(source: Path, name: str) -> Subject:
    artifact = source / ARTIFACT_FILE if source.is_dir() else source
    facts = inspect(artifact)
    made = facts.manifest.content.provenance
    if made is None:
        raise BuildError(f"{artifact}: does not say how it was made, so that there is nothing to report")
    folder = source if source.is_dir() else source.parent
    return Subject(name, facts, made, read_masters(folder), _read_levels(artifact, facts, made))


def _read_levels(artifact: Path, facts: ArtifactFacts, made: Provenance) -> tuple[Levels, ...]:
    """Of the first, the largest and the last kernel, and of one between."""
    tensors = {tensor.name: tensor for tensor in facts.manifest.storage.tensors}
    layers = [layer for layer in made.layers if layer.name in tensors]
    sizes = [int(np.prod(layer.shape)) for layer in layers]
    shown = sorted({0, len(layers) // 2, int(np.argmax(sizes)), len(layers) - 1}) if layers else []
    with ArchiveReader(str(artifact)) as archive:
        return tuple(
            count_levels(layers[index], tensors[layers[index].name], read_tensor(archive, tensors[layers[index].name]))
            for index in shown[:SHOWN_LAYERS]
        )


def count_levels(layer: Layer, tensor: StoredTensor, codes: NDArray[Any]) -> Levels:
    """The values of a stored kernel and how often each is there.

    Args:
        layer: as the rule left it, before channels were taken out.
        tensor: as it is stored; its step multiplies the codes, where all channels have the same.
        codes: its numbers.
    """
    values, counts = np.unique(codes, return_counts=True)
    step = np.float32(1 if tensor.step is None else tensor.step)
    removed = math.prod(layer.shape) - int(counts.sum())
    return Levels(layer.name, values.astype(np.float32) * step, counts, removed, in_steps=layer.steps is None)
