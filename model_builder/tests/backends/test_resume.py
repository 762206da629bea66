"""A training that was ended and taken up again is the training that was not, bit for bit."""

import numpy as np
import pytest

from model_builder import run
from model_builder.checkpoint import CHECKPOINT_FILE, TRAINED_FILE, Checkpoints, read_arrays, write_arrays
from model_builder.errors import CheckpointError, TrainingInterruptedError
from model_builder.interruption import Interruption
from model_builder.masters import make_histogram
from model_builder.training import build_model, train

SHAPE = (8, 8, 1)


@pytest.fixture(autouse=True)
def _talkative(monkeypatch):
    monkeypatch.setattr("model_builder.progress_lines.SECONDS_BETWEEN_REPORTS", 0.0)


def everything(model):
    """All variables but random states' paths, and all codes."""
    kernels = [part for kernel in model.kernels.values() for part in (kernel.codes, kernel.step)]
    return [*(np.asarray(variable.value) for variable in model.variables), *kernels]


def train_and_end(chosen, data, folder, sentence):
    """Train until a sentence is told, and end there."""
    interruption = Interruption()

    def listen(progress):
        if sentence in progress.message:
            interruption.ask()

    with pytest.raises(TrainingInterruptedError, match=r"saved in .*, it goes on from there"):
        train(
            build_model(chosen, SHAPE, 10),
            chosen,
            data,
            listen,
            checkpoints=Checkpoints(folder),
            interruption=interruption,
        )


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "epoch 1/3 done"),
        ({}, "epoch 2/3  step"),
        ({"rule": {"rule": "OffsetRound"}}, "epoch 1/3  step"),
        ({"rule": {"frequency": "Epoch"}}, "epoch 2/3  step 5/5"),
        ({"rule": {"rule": "Shadow"}, "recipe": "Strong", "keep": "Best"}, "epoch 3/3  step"),
        ({"architecture": "CNN", "rule": {"rule": "Shadow", "granularity": "Channel"}}, "epoch 2/3  step 1"),
        ({"rule": {"rule": "Shadow", "channel_sparsity": 0.5}, "recipe": "Strong"}, "epoch 3/3  step"),
        ({"validation_images": 10}, "epoch 2/3  batch 1 of the test images"),
    ],
)
def test_a_resumed_training_is_the_whole_one(fields, sentence, recipe, tiny_images, tmp_path):
    chosen = recipe(epochs=3, batch_size=15 if "validation_images" not in fields else 12, **fields)
    whole = build_model(chosen, SHAPE, 10)
    curve = train(whole, chosen, tiny_images, lambda _: None)
    train_and_end(chosen, tiny_images, tmp_path, sentence)
    resumed, told = build_model(chosen, SHAPE, 10), []
    again = train(resumed, chosen, tiny_images, told.append, checkpoints=Checkpoints(tmp_path))
    assert "going on after step" in told[0].message
    timeless = {"steps_per_second"}
    assert [entry.model_dump(exclude=timeless) for entry in again] == [
        entry.model_dump(exclude=timeless) for entry in curve
    ]
    for expected, found in zip(everything(whole), everything(resumed), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_calls_of_another_length_go_on_in_the_middle_of_one(recipe, tiny_images, tmp_path, monkeypatch):
    """As on another device, or after a release that runs more steps by one call."""
    chosen = recipe(epochs=2, batch_size=8)
    whole, resumed = build_model(chosen, SHAPE, 10), build_model(chosen, SHAPE, 10)
    curve = train(whole, chosen, tiny_images, lambda _: None)
    train_and_end(chosen, tiny_images, tmp_path, "epoch 1/2  step 2")
    made = run.make_engine

    def make_longer(*arguments):
        engine = made(*arguments)
        engine.steps_a_call = 5
        return engine

    monkeypatch.setattr(run, "make_engine", make_longer)
    again = train(resumed, chosen, tiny_images, lambda _: None, checkpoints=Checkpoints(tmp_path))
    assert [(entry.loss, entry.test_quality) for entry in again] == [
        (pytest.approx(entry.loss), entry.test_quality) for entry in curve
    ]
    for expected, found in zip(everything(whole), everything(resumed), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_finished_training_is_given_back(recipe, tiny_images, tmp_path):
    chosen = recipe(epochs=1, batch_size=16)
    first, second = build_model(chosen, SHAPE, 10), build_model(chosen, SHAPE, 10)
    curve = train(first, chosen, tiny_images, lambda _: None, checkpoints=Checkpoints(tmp_path, 0.0))
    assert [path.name for path in tmp_path.iterdir()] == [TRAINED_FILE]
    told = []
    assert train(second, chosen, tiny_images, told.append, checkpoints=Checkpoints(tmp_path)) == curve
    assert [progress.message for progress in told] == ["epoch 1/1: going on after step 4 of 4"]
    for name, kernel in first.kernels.items():
        found = second.kernels[name]
        np.testing.assert_array_equal(found.codes, kernel.codes)
        assert (float(found.step), int(found.saturated)) == (float(kernel.step), int(kernel.saturated))


def test_another_recipe_is_refused(recipe, tiny_images, tmp_path):
    train_and_end(recipe(epochs=2), tiny_images, tmp_path, "epoch 1/2 done")
    other = recipe(epochs=2, learning_rate=0.01)
    with pytest.raises(CheckpointError, match=r"saved with another recipe .* name another folder"):
        train(build_model(other, SHAPE, 10), other, tiny_images, print, checkpoints=Checkpoints(tmp_path))


def test_a_damaged_checkpoint_is_refused(recipe, tiny_images, tmp_path):
    train_and_end(recipe(epochs=2), tiny_images, tmp_path, "epoch 1/2 done")
    saved = tmp_path / CHECKPOINT_FILE
    saved.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="no saved training, or damaged; remove it to train anew"):
        train(
            build_model(recipe(epochs=2), SHAPE, 10),
            recipe(epochs=2),
            tiny_images,
            print,
            checkpoints=Checkpoints(tmp_path),
        )


def test_it_saves_itself_now_and_then(recipe, tiny_images, tmp_path):
    chosen, seen = recipe(epochs=1, batch_size=16), []

    def look(_progress):
        seen.append((tmp_path / CHECKPOINT_FILE).exists())

    train(build_model(chosen, SHAPE, 10), chosen, tiny_images, look, checkpoints=Checkpoints(tmp_path, 0.0))
    assert seen[-1]


def test_without_a_folder_nothing_is_saved_and_the_sentence_says_so(recipe, tiny_images):
    interruption = Interruption()
    interruption.ask()
    with pytest.raises(TrainingInterruptedError, match="after step 1 of 4; nothing is saved"):
        train(
            build_model(recipe(epochs=1, batch_size=16), SHAPE, 10),
            recipe(epochs=1, batch_size=16),
            tiny_images,
            print,
            interruption=interruption,
        )


@pytest.mark.parametrize("known", [True, False])
def test_a_training_that_is_taken_up_elsewhere_says_both_places_or_none(
    known, recipe, tiny_images, tmp_path, monkeypatch
):
    chosen = recipe(epochs=2, keep="Best")
    train_and_end(chosen, tiny_images, tmp_path, "epoch 1/2 done")
    position, arrays = read_arrays(tmp_path / CHECKPOINT_FILE)
    (here,) = position.trained_on
    if not known:  # as older versions wrote it
        older = position.model_copy(update={"trained_on": None})
        arrays = {name: values for name, values in arrays.items() if name != "best_masters"}
        write_arrays(tmp_path / CHECKPOINT_FILE, older, arrays, compressed=False)
    there = here.model_copy(update={"hardware": "another machine"})
    monkeypatch.setattr("model_builder.run.read_surroundings", lambda *_: there)
    model = build_model(chosen, SHAPE, 10)
    train(model, chosen, tiny_images, lambda _: None, checkpoints=Checkpoints(tmp_path))
    assert model.trained_on == ((here, there) if known else None)


def test_the_histograms_of_the_masters_are_saved_with_what_was_trained(recipe, tiny_images, tmp_path):
    chosen = recipe(epochs=1, batch_size=16)
    first, second = build_model(chosen, SHAPE, 10), build_model(chosen, SHAPE, 10)
    for model in (first, second):
        train(model, chosen, tiny_images, lambda _: None, checkpoints=Checkpoints(tmp_path))
    masters = {variable.path: np.asarray(variable.value) for variable in first.trainable_variables}
    expected = tuple(make_histogram(path, masters[path]) for path in first.kernels)
    assert first.masters == second.masters == expected
