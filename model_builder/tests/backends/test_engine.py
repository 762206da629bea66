from dataclasses import replace

import keras
import numpy as np
import pytest

from model_builder.engine import Steps, make_engine
from model_builder.schedule import Pruning
from model_builder.step import plan_step
from model_builder.training import build_model, build_step_network

WHOLE = Pruning(1.25, 0.5)


@pytest.fixture
def make(recipe, tiny_images):
    """Makes engines for a recipe's fields."""

    def make_for(**fields):
        chosen = recipe(**fields)
        network = build_step_network(build_model(chosen, (8, 8, 1), 10), chosen)
        return make_engine(plan_step(network, chosen), tiny_images.training_images, tiny_images.training_labels)

    return make_for


def steps_of(places):
    """Steps on batches of 16 images, at the given places of an order."""
    order = np.random.default_rng(0).permutation(64).astype(np.int32).reshape(4, 16)
    count = len(places)
    return Steps(
        order[places],
        None,
        np.full(count, 0.05, np.float32),
        Pruning(*np.full((2, count), [[1.25], [0.5]], np.float32)),
    )


@pytest.mark.parametrize(
    "rule", [{"rule": "Shadow"}, {"rule": "Shadow", "channel_sparsity": 0.5}, {"rule": "OffsetRound"}]
)
def test_steps_in_one_call_are_the_steps_one_by_one(rule, make):
    together, apart = make(rule=rule), make(rule=rule)
    together.run(steps_of([0, 1, 2, 3]))
    for place in range(4):
        apart.run(steps_of([place]))
    assert np.hstack(together.read_sums()) == pytest.approx(np.hstack(apart.read_sums()), rel=1e-4)
    for one, other in zip(together.deploy(WHOLE), apart.deploy(WHOLE), strict=True):
        assert np.mean(np.asarray(one.codes) != np.asarray(other.codes)) < 0.01


def test_a_state_that_was_read_is_gone_on_from(make):
    first, second = make(), make()
    first.run(steps_of([0, 1]))
    saved = first.read_state()
    first.run(steps_of([2]))
    second.load_state(saved)
    second.run(steps_of([2]))
    for name, values in first.read_state().items():
        for value, again in zip(values, second.read_state()[name], strict=True):
            np.testing.assert_array_equal(value, again)


def test_the_network_lends_its_order_and_keeps_its_weights(make):
    engine = make()
    before = [np.asarray(variable.value) for variable in engine.step.network.trainable_variables]
    engine.run(steps_of([0]))
    for value, variable in zip(before, engine.step.network.trainable_variables, strict=True):
        np.testing.assert_array_equal(value, np.asarray(variable.value))


@pytest.fixture
def mixed(tiny_images):
    """Makes engines for a network whose first layers compute in bfloat16, and the last in float32."""

    def make_for(recipe, **fields):
        keras.utils.set_random_seed(0)
        image = keras.Input((8, 8, 1))
        values = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
        for units in (1025, 65):
            values = keras.layers.Dense(units, activation="relu", dtype="mixed_bfloat16")(values)
        network = keras.Model(image, keras.layers.Dense(10)(values))
        step = replace(plan_step(network, recipe), **fields)
        return make_engine(step, tiny_images.training_images, tiny_images.training_labels)

    return make_for


@pytest.mark.parametrize("rule", [{}, {"channel_sparsity": 0.5}])
def test_what_runs_forward_is_as_narrow_as_its_layer_computes(rule, mixed, recipe):
    engine = mixed(recipe(rule={"rule": "Shadow", **rule}))
    forward = engine.step.forward(engine.state, WHOLE)
    made = [keras.backend.standardize_dtype(forward[index].dtype) for index in engine.step.kernels]
    assert made == ["bfloat16", "bfloat16", "float32"]
    for index, kernel in zip(engine.step.kernels, engine.deploy(WHOLE), strict=True):
        expected = keras.ops.cast(kernel.weights, forward[index].dtype)
        np.testing.assert_array_equal(*(np.asarray(keras.ops.cast(w, "float32")) for w in (forward[index], expected)))


def test_a_layer_learns_the_same_from_what_it_would_have_made_narrow_itself(mixed, recipe):
    narrow, wide = mixed(recipe(rule={"rule": "Shadow"})), mixed(recipe(rule={"rule": "Shadow"}), narrow=())
    for engine in (narrow, wide):
        engine.run(steps_of([0, 1, 2, 3]))
    assert np.hstack(narrow.read_sums()) == pytest.approx(np.hstack(wide.read_sums()), rel=1e-3)
    for one, other in zip(narrow.read_state()["weights"], wide.read_state()["weights"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
