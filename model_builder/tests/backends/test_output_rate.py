from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from model_artifact.recipe import Training
from model_builder.architectures import build_network
from model_builder.engine import Steps, make_engine
from model_builder.output_rate import plan_rate_shares
from model_builder.schedule import Pruning
from model_builder.step import plan_step

STRONG = Training(architecture="SmallCNN", dataset="Digits", recipe="Strong")
PUBLISHED = Training(architecture="SmallCNN", dataset="Digits")


def shares_of(architecture, training):
    network = keras.Model(*build_network(architecture, (32, 32, 3), 10, recipe=training.recipe, logits=True))
    return network.trainable_variables, plan_rate_shares(network, training)


def test_the_layer_that_answers_learns_slower_where_many_inputs_reach_it():
    variables, shares = shares_of("VGG16", STRONG)
    slower = {variable.path: share for variable, share in zip(variables, shares, strict=True) if share != 1}
    assert slower == {"probabilities/kernel": 128 / 4096}


@pytest.mark.parametrize("architecture", ["SmallCNN", "CNN"])
def test_few_inputs_leave_one_rate_for_all(architecture):
    assert shares_of(architecture, STRONG)[1] == ()


def test_published_has_one_rate_for_all():
    assert shares_of("VGG16", PUBLISHED)[1] == ()


def wide_network():
    """512 inputs reach its last layer."""
    image = keras.Input((8, 8, 1), name="image")
    features = layers.Flatten()(layers.Conv2D(8, 3, padding="same", activation="relu")(image))
    return keras.Model(image, layers.Dense(10)(features))


def test_no_weights_at_the_end_leave_one_rate_for_all():
    network = wide_network()
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(10, 1)(layers.Reshape((8, 8, 8))(network.layers[-2].output)))
    assert plan_rate_shares(keras.Model(network.inputs[0], pooled), STRONG) == ()


def test_its_steps_are_shorter_by_that_share(recipe, tiny_images):
    network = wide_network()
    plan = plan_step(network, recipe(alpha=0, bits=32, rule={"rule": "Shadow"}, recipe="Strong"))
    assert [share for share in plan.rate_shares if share != 1] == [128 / 512]

    def move(step):
        """How far one step moves each variable."""
        engine = make_engine(step, tiny_images.training_images, tiny_images.training_labels)
        before = [np.array(value) for value in engine.read_state()["weights"]]
        order = np.arange(16, dtype=np.int32)[None]
        engine.run(Steps(order, None, np.full(1, 1e-3, np.float32), Pruning(*np.zeros((2, 1), np.float32))))
        return [np.array(value) - old for value, old in zip(engine.read_state()["weights"], before, strict=True)]

    for share, slow, whole in zip(plan.rate_shares, move(plan), move(replace(plan, rate_shares=())), strict=True):
        assert np.any(whole)
        np.testing.assert_allclose(slow, share * whole, rtol=2e-3, atol=1e-7)
