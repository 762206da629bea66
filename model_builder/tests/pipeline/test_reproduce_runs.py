"""Runs that are recorded, skipped and shared, on a network of seconds."""

import fcntl
import os

import pytest

from model_builder.commands import make_building
from model_builder.interruption import Interruption
from model_builder.machine import digest_sources, read_commit, read_hardware
from model_builder.reproduce.execution import Workplace, execute, prepare
from model_builder.reproduce.records import read_records
from model_builder.reproduce.studies import Run
from model_builder.train import main as train


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
