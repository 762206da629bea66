"""`train_to`, which a machine without TensorFlow runs: files of one's own in, checkpoint and curve out."""

import hashlib
import json

import keras
import numpy as np
import pytest
from keras import layers

from model_artifact.recipe import Compression, Evaluation, FileReference, Recipe, Training
from model_builder.train import train_to


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own saving
def test_files_are_trained_where_nothing_is_exported(tiny_pixels, tmp_path):
    image = keras.Input((8, 8, 1))
    scaled = layers.Rescaling(1 / 127.5, offset=-1)(image)
    keras.Model(image, layers.Conv2D(3, 3, padding="same")(scaled)).save(tmp_path / "own.keras")
    arrays = {
        "x_train": tiny_pixels.training_images,
        "y_train": tiny_pixels.training_labels,
        "x_test": tiny_pixels.test_images,
        "y_test": tiny_pixels.test_labels,
    }
    np.savez_compressed(tmp_path / "own.npz", **arrays)
    model, given = (
        FileReference(path=name, digest=f"sha256:{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}")
        for name in ("own.keras", "own.npz")
    )
    chosen = Recipe(
        compression=Compression(alpha=0.3, bits=8),
        training=Training(task="Segmentation", model=model, data=given, epochs=2, batch_size=16),
        evaluation=Evaluation(metric="F1"),
    )
    environment = {"MODELPRESS_DATA": str(tmp_path)}
    trained = train_to(tmp_path / "run", chosen, environment=environment, progress=lambda _: None)
    assert trained.data.class_names == ("0", "1", "2")
    assert trained.curve[1].loss < trained.curve[0].loss
    (_, last) = json.loads((tmp_path / "run" / "curve.json").read_text())
    assert last["testMetricValue"] == trained.curve[1].test_quality
    assert "testAccuracyPercent" not in last
