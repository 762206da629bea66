# ruff: noqa: INP001 a program, not a package
"""Writes a small network and data of its own for each task that is not a class for each image, and a recipe for them.

    python examples/own_data.py regression build/bars       the angle of a bar
    python examples/own_data.py segmentation build/discs    which pixels are a light or a dark disc

The folder then holds a .keras file, an .npz file and recipe.yaml, which is the one of examples/recipes with the digests
of these two files:

    MODELPRESS_DATA=build/bars model-builder build build/bars/recipe.yaml -o build/bars/out
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

RECIPES = Path(__file__).parent / "recipes"
SIDE = 16
LARGEST_ANGLE = 1.0
"""Radians from upright, to either side; an answer of zero is wrong by half of it on average."""
TRAINING, TEST = 512, 128
CLASSES = ("background", "light", "dark")

Arrays = dict[str, np.ndarray]


def draw_bars(images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey images of a light bar on a dark, noisy ground, and its angle in radians, float32 of shape (n,)."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-LARGEST_ANGLE, LARGEST_ANGLE, images)
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    shift = rng.uniform(-2, 2, (images, 1, 1))
    cosine, sine = (function(angles)[:, None, None] for function in (np.cos, np.sin))
    away = np.abs((columns - shift) * cosine + rows * sine)
    grey = 60 + 140 * np.clip(2 - away, 0, 1) + rng.normal(0, 12, away.shape)
    return np.clip(grey, 0, 255).astype(np.uint8)[..., None], angles.astype(np.float32)


def draw_discs(images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Colour images of a light or a dark disc on a noisy ground, and the class of each pixel, uint8 (n, 16, 16)."""
    rng = np.random.default_rng(seed)
    centres, radii = rng.uniform(4, SIDE - 4, (images, 2, 1, 1)), rng.uniform(3, 5, (images, 1, 1))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside = (rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2 < radii**2
    light = rng.integers(0, 2, (images, 1, 1)) == 1
    grey = 128 + np.where(inside, np.where(light, 60, -60), 0)
    colour = grey[..., None] + rng.normal(0, 25, (images, SIDE, SIDE, 3))
    labels = np.where(inside, np.where(light, 1, 2), 0)
    return np.clip(colour, 0, 255).astype(np.uint8), labels.astype(np.uint8)


def build_bar_network() -> Any:
    """Two convolutions and one number, without an activation."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(1),
        ]
    )


def build_disc_network() -> Any:
    """A U-Net of two scales: what is found on the coarse one stands beside the pixels of the fine one."""
    import keras
    from keras import layers

    image = keras.Input((SIDE, SIDE, 3))
    fine = layers.Rescaling(1 / 127.5, offset=-1)(image)
    fine = layers.Conv2D(8, 3, padding="same", activation="relu")(fine)
    coarse = layers.MaxPooling2D(2)(fine)
    coarse = layers.Conv2D(16, 3, padding="same", activation="relu")(coarse)
    coarse = layers.Conv2D(16, 3, padding="same", activation="relu")(coarse)
    both = layers.Concatenate()([layers.UpSampling2D(2)(coarse), fine])
    both = layers.Conv2D(8, 3, padding="same", activation="relu")(both)
    return keras.Model(image, layers.Conv2D(len(CLASSES), 1, activation="softmax")(both))


def pack_arrays(draw: Callable[[int, int], tuple[np.ndarray, np.ndarray]]) -> Arrays:
    """The arrays of an .npz file: other images to test than to train."""
    (x_train, y_train), (x_test, y_test) = draw(TRAINING, 0), draw(TEST, 1)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def write_example(task: str, folder: Path) -> Path:
    """Write model, data and recipe into the folder; the path of the recipe."""
    import keras

    keras.utils.set_random_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    if task == "regression":
        name, network, arrays = "bars", build_bar_network(), pack_arrays(draw_bars)
    else:
        name, network = "discs", build_disc_network()
        arrays = {**pack_arrays(draw_discs), "class_names": np.array(CLASSES)}
    network.save(folder / f"{name}.keras")
    np.savez_compressed(folder / f"{name}.npz", allow_pickle=False, **arrays)
    text = (RECIPES / f"{name}-{task}-a50-b8.yaml").read_text()
    for place, file in enumerate((f"{name}.keras", f"{name}.npz")):
        text = text.replace(f"{place}" * 64, hashlib.sha256((folder / file).read_bytes()).hexdigest())
    recipe = folder / "recipe.yaml"
    recipe.write_text(text)
    return recipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Write one example, and print the path of its recipe."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description="Write a network, its data and a recipe for them.")
    parser.add_argument("task", choices=("regression", "segmentation"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    print(write_example(options.task, options.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
