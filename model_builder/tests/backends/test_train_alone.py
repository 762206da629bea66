"""`python -m model_builder.train` where PyYAML is missing, and, where these tests run on JAX, TensorFlow."""

import json
import signal
import sys

import keras
import numpy as np
import pytest

from model_artifact.recipe import parse_recipe
from model_builder.checkpoint import TRAINED_FILE, Checkpoints, read_arrays
from model_builder.dataset import load_dataset
from model_builder.folder_lock import lock_folder
from model_builder.masters import decode_histogram
from model_builder.progress_lines import Reporter
from model_builder.train import main
from model_builder.training import build_model, train

RECIPE = {
    "compression": {"alpha": 1.25, "bits": 8},
    "training": {"architecture": "SmallCNN", "dataset": "Digits", "epochs": 1, "batchSize": 256},
}


@pytest.fixture(autouse=True)
def _without_pyyaml(monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)  # importing it fails, as where it is not installed


def write_recipe(folder, **training):
    path = folder / "recipe.json"
    path.write_text(json.dumps({**RECIPE, "training": {**RECIPE["training"], **training}}))
    return path


def test_a_training_learns_without_pyyaml_and_leaves_all_that_an_export_needs(tmp_path):
    folder = tmp_path / "out"
    assert main([str(write_recipe(tmp_path)), str(folder)]) == 0
    position, arrays = read_arrays(folder / TRAINED_FILE)
    assert [entry.epoch for entry in position.curve] == [1]
    (surroundings,) = position.trained_on
    assert surroundings.backend == position.backend == keras.backend.backend()
    assert {"keras", "numpy", "python", position.backend} <= {
        name.removesuffix("-cpu") for name in surroundings.versions
    }
    histograms = [decode_histogram("", numbers) for numbers in arrays["masters"]]
    assert [sum(histogram.counts) for histogram in histograms] == [codes.size for codes in arrays["codes"]]
    recipe, data = parse_recipe(json.dumps(RECIPE), "here"), load_dataset("Digits", {}, print)
    model = build_model(recipe, (8, 8, 1), 10)
    curve = train(model, recipe, data, lambda _: None, checkpoints=Checkpoints(folder))
    assert tuple(curve) == position.curve
    for kernel, codes in zip(model.kernels.values(), arrays["codes"], strict=True):
        np.testing.assert_array_equal(kernel.codes, codes)
    assert [histogram.name for histogram in model.masters] == list(model.kernels)
    assert model.trained_on == position.trained_on


def test_a_recipe_in_yaml_says_what_is_missing(tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text("{}")
    assert main([str(tmp_path / "recipe.yaml"), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.endswith("there is no PyYAML here to read it; write the recipe as JSON\n")


@pytest.mark.parametrize("options", [[], ["--anew"]])
def test_a_folder_in_which_another_process_trains_is_refused(options, tmp_path, capsys):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / TRAINED_FILE).write_bytes(b"of the other process")
    with lock_folder(folder):
        assert main([str(write_recipe(tmp_path)), str(folder), *options]) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(f"{folder}: another process builds here; wait for it or name another folder")
    )
    assert (folder / TRAINED_FILE).read_bytes() == b"of the other process"


def test_ctrl_c_saves_the_training_and_ends_with_130(tmp_path, capsys, monkeypatch):
    folder, tell = tmp_path / "out", Reporter.tell_step

    def tell_and_end(*arguments):
        tell(*arguments)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("model_builder.progress_lines.SECONDS_BETWEEN_REPORTS", 0.0)
    monkeypatch.setattr(Reporter, "tell_step", tell_and_end)
    before = signal.getsignal(signal.SIGINT)
    assert main([str(write_recipe(tmp_path, epochs=50)), str(folder)]) == 130
    lines = capsys.readouterr().err.splitlines()
    assert "saving the training; Ctrl-C again ends at once" in lines
    assert lines[-1].endswith(f"saved in {folder}, it goes on from there")
    assert [path.name for path in folder.iterdir()] == ["checkpoint.npz"]
    assert signal.getsignal(signal.SIGINT) is before
