import logging
from dataclasses import replace

import keras
import numpy as np
import pytest

from model_builder.engine import make_engine
from model_builder.schedule import Pruning
from model_builder.step import SMALLEST_FUSED, plan_step

WIDTHS = (1024, 65, 1009, 66, 1008, 67, 1007, 10)


@pytest.fixture
def warned():
    """The messages that TensorFlow's Python logs while the test runs."""
    messages = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("tensorflow")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


def test_kernels_of_many_shapes_are_compiled_without_a_warning_that_they_are_many(recipe, tiny_images, warned):
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), *map(keras.layers.Dense, WIDTHS)])
    engine = make_engine(plan_step(network, recipe()), tiny_images.training_images, tiny_images.training_labels)
    made = engine.deploy(Pruning(1.25, 0.0))
    sizes = [int(np.asarray(kernel.codes).size) for kernel in made]
    assert sum(size >= SMALLEST_FUSED for size in sizes) == 7
    assert all(0.15 < int(np.asarray(kernel.kept)) / size < 0.3 for kernel, size in zip(made[:7], sizes, strict=False))
    assert warned == []


@pytest.mark.parametrize("frozen", [False, True])
def test_what_was_compiled_once_is_found_again(frozen, recipe, tiny_images):
    """Else each look at the deployed network compiles all of it anew, and keeps it."""
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), *map(keras.layers.Dense, WIDTHS)])
    engine = make_engine(plan_step(network, recipe()), tiny_images.training_images, tiny_images.training_labels)
    fuse, asked = engine.step.fuse, set()
    engine.step = replace(engine.step, fuse=lambda function: asked.add(function) or fuse(function))
    if frozen:
        engine.freeze(Pruning(1.25, 0.0))
    engine.deploy(Pruning(1.25, 0.0))
    first = set(asked)
    engine.deploy(Pruning(1.25, 0.0))
    assert asked == first
