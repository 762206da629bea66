"""One JSON line for each finished run, with all that a reader needs to believe or repeat it."""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError

from model_artifact.manifest import Dataset, Epoch, Quality, Surroundings
from model_artifact.recipe import Contract, Recipe, is_absent
from model_builder.errors import BuildError

RUNS_FILE = "runs.jsonl"


class RunRecord(Contract):
    """What one run gave, and how it was made."""

    name: str
    """Of the run in its study; the folder of its artifact has it too."""
    recipe: Recipe
    recipe_digest: str
    artifact_digest: str
    """The content digest."""
    size_bytes: Annotated[int, Field(ge=0)]
    """Of the artifact."""
    plain_zip_bytes: Annotated[int, Field(ge=0)]
    """The same weights as arrays, float32 or whole numbers of 8 or 16 bits, under plain Deflate: how papers count."""
    weights: int
    """Of the trained kernels; what is said of a weight below is said of these."""
    deployed_weights: int
    """After channels without weights were taken out."""
    zeros_percent: float
    bits_per_weight: float
    """Stored, weight tensors alone."""
    entropy_bits_per_weight: float
    """Order-0 entropy of what is stored."""
    code_bits: int
    """Bits that the codes take, counted: more than the recipe's where OffsetRound exceeds them."""
    saturated: int
    quality: Quality | None
    """Of the deployed form, unpacked; absent where training was not done in full."""
    curve: tuple[Epoch, ...]
    dataset: Dataset
    command: str
    commit: str | None
    """Of the checkout; `+`: with changes. Absent outside of one."""
    source_digest: str
    """Of the builder's and the artifact's modules."""
    versions: dict[str, str]
    hardware: str
    """As commit, sources and versions, of the process that exported and recorded it; the training's own are below."""
    trained_on: Annotated[tuple[Surroundings, ...] | None, Field(exclude_if=is_absent)] = None
    """What the training ran on; absent in records that do not say it."""
    finished: str
    """UTC, ISO 8601."""
    seconds: float
    """Of the training steps, over all resumptions."""


class DivergedRun(Contract):
    """A run that ended because its loss was no number any more; it would again."""

    name: str
    recipe: Recipe
    recipe_digest: str
    diverged_in_epoch: Annotated[int, Field(ge=1)]
    sentence: str
    """That the training ended with."""
    command: str
    commit: str | None
    source_digest: str
    versions: dict[str, str]
    hardware: str
    finished: str
    """UTC, ISO 8601."""


AnyRun = RunRecord | DivergedRun


def read_records(folder: Path) -> list[RunRecord]:
    """The runs of a folder that came to their end; see `read_runs`."""
    return [run for run in read_runs(folder) if isinstance(run, RunRecord)]


def read_runs(folder: Path) -> list[AnyRun]:
    """The runs that a folder's file tells of, the latest of each recipe; none where there is no file.

    A last line that a killed process left half written is dropped: its run is done again.

    Raises:
        BuildError: naming the line that is no record.
    """
    path = folder / RUNS_FILE
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    found: dict[str, AnyRun] = {}
    for number, line in enumerate(lines, start=1):
        if not line or (number == len(lines)):
            continue
        record = _parse(line, f"{path}, line {number}")
        found[record.recipe_digest] = record
    return list(found.values())


def _parse(line: str, where: str) -> AnyRun:
    kind: type[AnyRun] = DivergedRun if '"divergedInEpoch"' in line else RunRecord
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = ".".join(map(str, problem["loc"]))
        raise BuildError(f"{where}: not a run's record ({field}: {problem['msg']}); remove the line") from error


def append_record(folder: Path, record: AnyRun) -> None:
    """Add one line, durably; what a killed process left of a line is cut off before."""
    path = folder / RUNS_FILE
    line = record.model_dump_json(by_alias=True, exclude_none=False) + "\n"
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # other processes may append, too
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


AnyKind = TypeVar("AnyKind", RunRecord, DivergedRun)


def select_records(records: Sequence[AnyKind], recipes: Sequence[Recipe]) -> list[AnyKind]:
    """The records of these recipes, in their order; recipes that were not run have none."""
    by_digest = {record.recipe_digest: record for record in records}
    return [by_digest[recipe.digest] for recipe in recipes if recipe.digest in by_digest]
