"""Runs that are recorded, skipped and shared, on a network of seconds."""

import fcntl
import math
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from model_builder.commands import make_building
from model_builder.errors import DivergedError
from model_builder.interruption import Interruption
from model_builder.machine import digest_sources, read_commit, read_hardware
from model_builder.masters import read_masters
from model_builder.reproduce.execution import Workplace, execute, prepare
from model_builder.reproduce.records import read_records, read_runs
from model_builder.reproduce.studies import Run
from model_builder.run_folder import read_artifact_manifest
from model_builder.train import main as train

ROOT = Path(__file__).parents[3]
JAX = str(ROOT / ".envs" / "jax" / "bin" / "python")


@pytest.fixture
def place(tmp_path):
    """A workplace, and what was said in it."""
    said = []
    building = make_building(Interruption())
    return Workplace(tmp_path / "runs", building, {}, lambda _: None, said.append, "the command"), said


def test_a_run_is_recorded_with_its_provenance_and_not_done_again(recipe, place):
    workplace, said = place
    run = Run("digits", recipe(epochs=2, validation_images=100, keep="Best"))
    assert execute([run], workplace) == 0
    (record,) = read_records(workplace.folder)
    assert (record.name, record.recipe, record.command) == ("digits", run.recipe, "the command")
    assert record.weights == 144 + 4_608 + 32_768 + 640
    assert 60 < record.zeros_percent < 95
    assert record.entropy_bits_per_weight <= record.bits_per_weight
    assert 0 < record.plain_zip_bytes < record.weights
    assert record.quality.samples == 360
    assert [entry.epoch for entry in record.curve] == [1, 2]
    assert record.dataset.name == "scikit-learn digits"
    assert {"keras", "numpy", "python", "platform"} <= set(record.versions)
    assert (record.source_digest, record.commit, record.hardware) == (digest_sources(), read_commit(), read_hardware())
    assert record.seconds == pytest.approx(sum(21 / entry.steps_per_second for entry in record.curve), abs=0.1)
    assert execute([run], workplace) == 0
    assert said[-1] == "run 1/1 digits: recorded already"
    assert len((workplace.folder / "runs.jsonl").read_text().splitlines()) == 1


def test_what_another_machine_trained_is_exported_and_recorded(recipe, place):
    workplace, said = place
    run = Run("digits", recipe(epochs=2))
    prepare([run], workplace.folder)
    folder = workplace.folder / "runs" / "digits"
    assert train([str(folder / "recipe.json"), str(folder / "checkpoint")]) == 0
    trained = (folder / "checkpoint" / "trained.npz").read_bytes()
    assert execute([run], workplace) == 0
    assert len(read_records(workplace.folder)[0].curve) == 2
    assert (folder / "checkpoint" / "trained.npz").read_bytes() == trained
    assert "deployed" in said[-1]


def test_what_jax_trained_without_tensorflow_is_exported_and_says_so(recipe, place):
    workplace, _ = place
    run = Run("digits", recipe(epochs=1, batch_size=256))
    prepare([run], workplace.folder)
    folder = workplace.folder / "runs" / "digits"
    sources = os.pathsep.join(str(ROOT / package / "src") for package in ("model_builder", "model_artifact"))
    command = [JAX, "-m", "model_builder.train", str(folder / "recipe.json"), str(folder / "checkpoint")]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": sources}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    assert execute([run], workplace) == 0
    (record,) = read_records(workplace.folder)
    (surroundings,) = record.trained_on
    assert (surroundings.backend, surroundings.source_digest) == ("jax", digest_sources())
    assert {"jax", "jaxlib", "keras"} <= set(surroundings.versions)
    made = read_artifact_manifest(folder / "artifact.zip").content.provenance
    assert made.trained_on == record.trained_on
    assert made.reproducible.startswith("the same weights on the same machine")
    masters = read_masters(folder)
    assert {name: sum(kernel.counts) for name, kernel in masters.items()} == {
        layer.name: math.prod(layer.shape) for layer in made.layers
    }


def test_a_run_that_diverges_is_recorded_and_the_others_go_on(recipe, place):
    workplace, said = place
    fails, fine = Run("fails", recipe(seed=9)), Run("fine", recipe(epochs=1, batch_size=256))

    def build(chosen, *arguments):
        if chosen == fails.recipe:
            raise DivergedError("the loss is no number any more", epoch=3)
        return workplace.build(chosen, *arguments)

    for _ in range(2):
        assert execute([fails, fine], replace(workplace, build=build)) == 0
    diverged, done = read_runs(workplace.folder)
    assert (diverged.name, diverged.recipe, diverged.diverged_in_epoch) == ("fails", fails.recipe, 3)
    assert (diverged.command, diverged.source_digest) == ("the command", digest_sources())
    assert done.name == "fine"
    assert "  diverged in epoch 3: the loss is no number any more" in said
    assert said[-2:] == ["run 1/2 fails: recorded already", "run 2/2 fine: recorded already"]


def test_a_run_that_another_process_does_is_left_to_it(recipe, place):
    workplace, said = place
    folder = workplace.folder / "runs" / "digits"
    folder.mkdir(parents=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert execute([Run("digits", recipe(epochs=1))], workplace) == 1
    finally:
        os.close(descriptor)
    assert "another process builds here" in said[-1]
    assert read_records(workplace.folder) == []


def test_an_artifact_that_was_made_but_not_recorded_is_recorded(recipe, place):
    workplace, _ = place
    run = Run("digits", recipe(epochs=1))
    execute([run], workplace)
    (first,) = read_records(workplace.folder)
    (workplace.folder / "runs.jsonl").unlink()
    execute([run], workplace)
    (again,) = read_records(workplace.folder)
    assert (again.artifact_digest, again.seconds) == (first.artifact_digest, first.seconds)
