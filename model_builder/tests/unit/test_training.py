import re

import numpy as np
import pytest

from model_builder.errors import BuildError
from model_builder.training import build_model, plan_schedule, train, zeros_percent

SHAPE = (8, 8, 1)


def kernels(model):
    return {
        variable.path: variable.value.numpy() for variable in model.trainable_variables if "kernel" in variable.path
    }


def test_the_gradient_at_the_compressed_weights_goes_to_the_masters(recipe, tiny_images):
    """One step, checked against a gradient taken by hand at C."""
    import keras
    import tensorflow as tf

    one_step = recipe(epochs=1, batch_size=64, learning_rate=0.1, momentum=0.0)
    model = build_model(one_step, SHAPE, 10)
    before = [tf.identity(variable.value) for variable in model.trainable_variables]
    masters = kernels(model)
    compressed = {path: kernel.weights for path, kernel in model.compressed_kernels().items()}
    for variable in model.trainable_variables:
        if variable.path in compressed:
            variable.assign(compressed[variable.path])
    with tf.GradientTape() as tape:
        answers = model(tf.cast(tiny_images.training_images, tf.float32), training=True)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(tiny_images.training_labels, answers))
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    expected = {
        variable.path: masters[variable.path] - 0.1 * gradient.numpy()
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
        if variable.path in masters
    }
    for variable, value in zip(model.trainable_variables, before, strict=True):
        variable.assign(value)
    train(model, one_step, tiny_images, lambda _: None)
    for path, value in kernels(model).items():
        np.testing.assert_allclose(value, expected[path], atol=2e-6, err_msg=path)
        assert not np.allclose(value, masters[path])


def test_masters_stay_float_while_what_runs_is_pruned(recipe, tiny_images):
    model = build_model(recipe(), SHAPE, 10)
    curve = train(model, recipe(epochs=2, batch_size=16, learning_rate=0.01), tiny_images, lambda _: None)
    assert all(np.mean(kernel == 0) < 0.01 for kernel in kernels(model).values())
    assert curve[-1].zeros_percent == pytest.approx(zeros_percent(model))
    assert 60 < zeros_percent(model) < 95


def test_a_seed_gives_the_same_weights_and_another_seed_others(recipe, tiny_images):
    def trained(seed):
        chosen = recipe(epochs=1, batch_size=16, seed=seed)
        model = build_model(chosen, SHAPE, 10)
        train(model, chosen, tiny_images, lambda _: None)
        return next(iter(kernels(model).values()))

    first, again, other = trained(0), trained(0), trained(1)
    np.testing.assert_allclose(first, again, atol=1e-5)
    assert not np.allclose(first, other, atol=1e-3)


def test_training_learns(recipe, tiny_images):
    chosen = recipe(epochs=30, batch_size=16, learning_rate=0.02, learning_rate_schedule="Cosine")
    curve = train(build_model(chosen, SHAPE, 10), chosen, tiny_images, lambda _: None)
    assert len(curve) == 30
    assert curve[-1].loss < 0.5 * curve[0].loss
    assert curve[-1].accuracy_percent > 60


def test_progress_says_epoch_accuracy_and_zeros(recipe, tiny_images):
    lines = []
    chosen = recipe(epochs=1)
    train(build_model(chosen, SHAPE, 10), chosen, tiny_images, lines.append)
    assert lines[-1].message.startswith("epoch 1/1 done: loss ")
    assert (lines[-1].phase, lines[-1].epoch, lines[-1].epochs) == ("Training", 1, 1)
    assert 0 <= lines[-1].accuracy_percent <= 100
    assert lines[-1].zeros_percent > 60


def test_progress_between_epochs_is_numbers_and_a_sentence(recipe, tiny_images, monkeypatch):
    monkeypatch.setattr("model_builder.training._SECONDS_BETWEEN_REPORTS", 0.0)
    told = []
    chosen = recipe(epochs=2, batch_size=16)
    train(build_model(chosen, SHAPE, 10), chosen, tiny_images, told.append)
    steps = [progress for progress in told if progress.steps_per_second is not None]
    assert [(step.epoch, step.epochs) for step in steps] == [(1, 2)] * 3 + [(2, 2)] * 4
    assert all(step.eta_seconds >= 0 and step.steps_per_second > 0 for step in steps)
    assert steps[-1].eta_seconds == 0
    pattern = r"epoch 1/2  step 2/4  accuracy \d+\.\d %  zeros \d+\.\d %  \d+\.\d steps/s  ETA \d+:\d\d"
    assert re.fullmatch(pattern, steps[0].message)
    assert "epoch 1/2  batch 1 of the test images" in [progress.message for progress in told]


@pytest.mark.parametrize(
    ("epochs", "images", "maximum", "steps", "full_epochs", "in_full"),
    [
        (2, 64, None, 8, 2, True),
        (2, 64, 8, 8, 2, True),
        (2, 64, 9, 8, 2, True),
        (2, 64, 7, 7, 1, False),
        (2, 64, 4, 4, 1, False),
        (2, 65, 5, 5, 1, False),
        (2, 64, 1, 1, 0, False),
    ],
)
def test_a_maximum_of_steps_counts_over_all_epochs(epochs, images, maximum, steps, full_epochs, in_full, recipe):
    training = recipe(epochs=epochs, batch_size=16, maximum_steps=maximum).training
    schedule = plan_schedule(training, images)
    assert (schedule.steps, schedule.full_epochs, schedule.in_full) == (steps, full_epochs, in_full)


@pytest.mark.parametrize(("maximum", "entries"), [(3, 0), (4, 1), (6, 1)])
def test_training_stops_after_the_maximum_of_steps(maximum, entries, recipe, tiny_images):
    told = []
    chosen = recipe(epochs=3, batch_size=16, maximum_steps=maximum)
    model = build_model(chosen, SHAPE, 10)
    curve = train(model, chosen, tiny_images, told.append)
    assert int(model.optimizer.iterations) == maximum
    assert [entry.epoch for entry in curve] == list(range(1, entries + 1))
    cut = [progress.message for progress in told if "ended after" in progress.message]
    assert len(cut) == (maximum % 4 > 0)
    assert all(f" ended after {maximum} of 12 steps: loss " in message for message in cut)


def test_the_first_steps_are_those_of_the_whole_training(recipe, tiny_images):
    def first_kernel(**training):
        chosen = recipe(batch_size=16, learning_rate_schedule="Cosine", **training)
        model = build_model(chosen, SHAPE, 10)
        train(model, chosen, tiny_images, lambda _: None)
        return next(iter(kernels(model).values()))

    limited = first_kernel(epochs=2, maximum_steps=4)
    np.testing.assert_allclose(limited, first_kernel(epochs=2, maximum_steps=4), atol=1e-5)
    assert not np.allclose(limited, first_kernel(epochs=1), atol=1e-5)  # whose learning rate falls to zero


@pytest.mark.parametrize(
    ("architecture", "shape", "parameters"),
    [("CNN", (32, 32, 3), 2_118_114), ("VGG16", (32, 32, 3), 33_638_218), ("SmallCNN", (8, 8, 1), 38_282)],
)
def test_architectures_have_the_sizes_that_are_stated(architecture, shape, parameters, recipe):
    model = build_model(recipe(architecture=architecture), shape, 10)
    assert model.count_params() == parameters


def test_vgg16_has_the_layers_of_table_1(recipe):
    model = build_model(recipe(architecture="VGG16"), (32, 32, 3), 10)
    names = [
        type(layer).__name__ for layer in model.layers if type(layer).__name__ in {"Conv2D", "MaxPooling2D", "Dense"}
    ]
    blocks = [["Conv2D"] * count + ["MaxPooling2D"] for count in (2, 2, 3, 3, 3)]
    assert names == sum(blocks, []) + ["Dense"] * 3  # noqa: RUF017


def test_the_cnn_has_the_layers_of_paper_004(recipe):
    model = build_model(recipe(architecture="CNN"), (32, 32, 3), 10)
    names = [type(layer).__name__ for layer in model.layers]
    counts = {name: names.count(name) for name in ("Conv2D", "BatchNormalization", "MaxPooling2D", "Dense")}
    assert counts == {"Conv2D": 5, "BatchNormalization": 5, "MaxPooling2D": 2, "Dense": 4}
    assert "Dropout" in names


def test_images_too_small_for_the_network_are_refused(recipe):
    with pytest.raises(BuildError, match="VGG16 pools images down from at least 32x32 pixels, but these are 8x8"):
        build_model(recipe(architecture="VGG16"), SHAPE, 10)
