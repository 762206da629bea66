"""Recipes and small data for the builder's tests."""

import os

import numpy as np
import pytest

from model_artifact.manifest import Dataset
from model_artifact.recipe import Compression, Recipe, Training

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def make_recipe(*, alpha=1.25, bits=8, rule=None, architecture="SmallCNN", dataset="Digits", **training):
    """A recipe with the given fields; `rule` holds the fields of compression beside alpha and bits."""
    return Recipe(
        compression=Compression(alpha=alpha, bits=bits, **(rule or {})),
        training=Training(architecture=architecture, dataset=dataset, **training),
    )


@pytest.fixture
def recipe():
    """Makes recipes."""
    return make_recipe


@pytest.fixture(scope="session")
def make_untrained():
    """Makes recipes that keep the initial weights."""
    return lambda **training: make_recipe(epochs=0, **training)


@pytest.fixture
def tiny_images():
    """64 + 32 images of 8x8 whose class is how bright they are; learnable in seconds."""
    from model_builder.dataset import LabelledImages

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 96).astype(np.int32)
    images = (labels[:, None, None, None] * 25 + rng.integers(0, 20, (96, 8, 8, 1))).astype(np.uint8)
    return LabelledImages(
        images[:64],
        labels[:64],
        images[64:],
        labels[64:],
        tuple("0123456789"),
        Dataset(name="tiny", digest="sha256:0", training_images=64, test_images=32),
    )


def _name_data(name, images, targets, class_names=()):
    from model_builder.dataset import LabelledImages

    facts = Dataset(name=name, digest=f"sha256:{name}", training_images=64, test_images=32)
    return LabelledImages(images[:64], targets[:64], images[64:], targets[64:], tuple(class_names), facts)


@pytest.fixture
def tiny_numbers():
    """64 + 32 images of 8x8 with two numbers each: how bright the left and the right half are, from 0 to 1."""
    rng = np.random.default_rng(0)
    numbers = rng.uniform(0, 1, (96, 2)).astype(np.float32)
    halves = (200 * numbers).repeat(4, axis=1)[:, None, :, None] + rng.integers(0, 20, (96, 8, 8, 1))
    return _name_data("numbers", halves.astype(np.uint8), numbers)


@pytest.fixture
def tiny_pixels():
    """64 + 32 images of 8x8 with three classes of pixels: dark rows, and a lower part that is grey or light."""
    rng = np.random.default_rng(0)
    begins, kinds = rng.integers(2, 7, (96, 1, 1)), rng.integers(1, 3, (96, 1, 1))
    labels = np.where(np.arange(8)[:, None] < begins, 0, kinds).repeat(8, axis=2).astype(np.uint8)
    images = 90 * labels[..., None] + rng.integers(0, 30, (96, 8, 8, 1))
    return _name_data("pixels", images.astype(np.uint8), labels, ("ground", "grey", "light"))
