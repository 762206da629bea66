"""Does the runs of a study that are not recorded yet, one after the other, and records each as it ends."""

import math
import platform
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_artifact.archive_reader import ArchiveReader
from model_artifact.inspection import inspect
from model_artifact.manifest import Manifest, Provenance
from model_artifact.recipe import Training
from model_artifact.streams import Array
from model_artifact.unpacking import read_tensor
from model_builder.errors import BuildError, DivergedError
from model_builder.folder_lock import FolderBusyError
from model_builder.machine import EXPORTING, digest_sources, read_commit, read_hardware, read_versions
from model_builder.progress import Progress
from model_builder.reproduce.records import AnyRun, DivergedRun, RunRecord, append_record, read_runs
from model_builder.reproduce.studies import Run
from model_builder.run_folder import ARTIFACT_FILE, Building, build_in_folder, write_recipe

RUNS_FOLDER = "runs"


@dataclass(frozen=True)
class Workplace:
    """Where and how runs are done.

    Attributes:
        folder: holds runs.jsonl and a folder for each run.
        build: makes the artifact of a recipe.
        environment: where the data is.
        tell: told what a build does.
        say: told which run begins, which one is skipped and what came out, in a line.
        command: that started this, for the records.
    """

    folder: Path
    build: Building
    environment: Mapping[str, str]
    tell: Progress
    say: Callable[[str], None]
    command: str


def execute(runs: Sequence[Run], place: Workplace) -> int:
    """Do the runs that are not recorded yet; returns how many another process has at work.

    A run whose loss is no number any more is recorded as such, and the others go on.

    Raises:
        BuildError: as a build raises it otherwise; the runs before are recorded.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    busy = 0
    for number, run in enumerate(runs, start=1):
        if run.recipe.digest in {record.recipe_digest for record in read_runs(place.folder)}:
            place.say(f"run {number}/{len(runs)} {run.name}: recorded already")
            continue
        place.say(f"run {number}/{len(runs)} {run.name}")
        try:
            record = _execute_one(run, place)
        except FolderBusyError as error:
            busy += 1
            place.say(str(error))
            continue
        append_record(place.folder, record)
        place.say(f"  {_describe(record)}")
    return busy


def prepare(runs: Sequence[Run], folder: Path) -> None:
    """Write the recipe of each run into its folder.

    Another machine may then train it (`python -m model_builder.train`); what it trained, put into the folder's
    checkpoint/, is exported and recorded here.
    """
    for run in runs:
        write_recipe(run.recipe, folder / RUNS_FOLDER / run.name)


def _execute_one(run: Run, place: Workplace) -> AnyRun:
    folder = place.folder / RUNS_FOLDER / run.name
    try:
        manifest = build_in_folder(run.recipe, folder, place.build, place.environment, place.tell, resume=True)
    except DivergedError as error:
        return _render_diverged(run, error, place.command)
    return _render_record(run, folder / ARTIFACT_FILE, manifest, place.command)


def _render_diverged(run: Run, error: DivergedError, command: str) -> DivergedRun:
    return DivergedRun(
        name=run.name,
        recipe=run.recipe,
        recipe_digest=run.recipe.digest,
        diverged_in_epoch=error.epoch,
        sentence=str(error),
        command=command,
        commit=read_commit(),
        source_digest=digest_sources(),
        versions={**read_versions(EXPORTING), "platform": platform.platform(terse=True)},
        hardware=read_hardware(),
        finished=_format_now(),
    )


def _format_now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _describe(record: AnyRun) -> str:
    if isinstance(record, DivergedRun):
        return f"diverged in epoch {record.diverged_in_epoch}: {record.sentence}"
    quality = f"{record.quality.deployed:.2f} % deployed" if record.quality else "not measured"
    return f"{quality}, {record.zeros_percent:.2f} % zeros, {record.size_bytes:,} bytes, {record.seconds:,.0f} s"


def _render_record(run: Run, artifact: Path, manifest: Manifest, command: str) -> RunRecord:
    made = _read_provenance(artifact, manifest)
    facts = inspect(artifact)
    if made.dataset is None:
        raise BuildError(f"{artifact}: was made without data; remove its folder, so that it is built again")
    bits = run.recipe.compression.bits
    weights = sum(math.prod(layer.shape) for layer in made.layers)
    return RunRecord(
        name=run.name,
        recipe=run.recipe,
        recipe_digest=run.recipe.digest,
        artifact_digest=facts.digest,
        size_bytes=facts.size_bytes,
        plain_zip_bytes=_count_plain_zip_bytes(artifact, manifest),
        weights=weights,
        deployed_weights=facts.weights,
        zeros_percent=100 * sum(layer.zeros for layer in made.layers) / weights,
        bits_per_weight=8 * facts.weight_bytes / weights,
        entropy_bits_per_weight=facts.entropy_bits_per_weight * facts.weights / weights,
        code_bits=max([bits, *(layer.bits for layer in made.layers if layer.bits is not None)]),
        saturated=sum(layer.saturated for layer in made.layers),
        quality=made.quality,
        curve=made.curve,
        dataset=made.dataset,
        command=command,
        commit=read_commit(),
        source_digest=digest_sources(),
        versions={**made.versions, "platform": platform.platform(terse=True)},
        hardware=read_hardware(),
        finished=_format_now(),
        trained_on=made.trained_on,
        seconds=_count_seconds(run.recipe.training, made),
    )


def _count_seconds(training: Training, made: Provenance) -> float:
    """Seconds of the training steps over all resumptions, from the curve."""
    images = made.dataset.training_images - training.validation_images if made.dataset else 0
    steps = -(-images // training.batch_size)
    return round(sum(steps / epoch.steps_per_second for epoch in made.curve), 1)


def _read_provenance(artifact: Path, manifest: Manifest) -> Provenance:
    if manifest.content.provenance is None:
        raise BuildError(f"{artifact}: does not say how it was made; remove its folder, so that it is built again")
    return manifest.content.provenance


def _count_plain_zip_bytes(artifact: Path, manifest: Manifest) -> int:
    """Bytes of the weight tensors as arrays under Deflate, as a .zip has them (paper 000, table III)."""
    with ArchiveReader(str(artifact)) as archive:
        return sum(_deflated_bytes(read_tensor(archive, tensor)) for tensor in manifest.storage.tensors)


def _deflated_bytes(weights: Array) -> int:
    return len(zlib.compress(np.ascontiguousarray(weights).tobytes()))
