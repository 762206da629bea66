"""Training for numbers and for classes of pixels, on either backend: loss, metric, what is kept, and resuming."""

import re
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from model_artifact.recipe import Compression, Evaluation, FileReference, Recipe, Training
from model_builder.checkpoint import Checkpoints
from model_builder.confusion import count_confusion, measure_confusion
from model_builder.errors import DivergedError, TrainingError, TrainingInterruptedError
from model_builder.interruption import Interruption
from model_builder.objective import plan_objective
from model_builder.quality import measure
from model_builder.training import build_model, train

SHAPE = (8, 8, 1)
FILE = FileReference(path="own", digest="sha256:" + "0" * 64)
OUTPUTS = {"Regression": 2, "Segmentation": 3}
EACH = [("Regression", "Floor"), ("Regression", "OffsetRound"), ("Regression", "Shadow"), ("Segmentation", "Shadow")]


def make_recipe(task, *, rule=None, metric=None, **training):
    """A recipe for a network and data of one's own."""
    evaluation = {} if metric is None else {"evaluation": Evaluation(metric=metric)}
    return Recipe(
        compression=Compression(**{"alpha": 0.3, "bits": 8, "rule": "Shadow", **(rule or {})}),
        training=Training(**{"task": task, "model": FILE, "data": FILE, "batch_size": 16, "epochs": 3, **training}),
        **evaluation,
    )


def make_network(task):
    """A network for the tiny data of the task."""
    keras.utils.set_random_seed(1)
    image = keras.Input(SHAPE, name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    if task == "Segmentation":
        return keras.Model(image, layers.Conv2D(3, 1, activation="softmax")(x))
    return keras.Model(image, layers.Dense(2)(layers.Flatten()(layers.AveragePooling2D(2)(x))))


def learn(chosen, data, tell=lambda _: None, **options):
    """The trained model and its curve."""
    task = chosen.training.task
    model = build_model(chosen, SHAPE, OUTPUTS[task], given=make_network(task))
    return model, train(model, chosen, data, tell, **options)


def test_a_metric_that_is_no_number_ends_with_a_remedy(tiny_numbers):
    """Training images are dark, which the network answers by its biases; the test images find what is behind."""
    chosen = make_recipe("Regression", rule={"alpha": 0, "bits": 32}, metric="MSE", epochs=1, learning_rate=1e-6)
    network = make_network("Regression")
    convolution, dense = (layer for layer in network.layers if layer.weights)
    convolution.kernel.assign(np.ones(convolution.kernel.shape, np.float32))
    dense.kernel.assign(np.full(dense.kernel.shape, 1e17, np.float32))
    data = replace(tiny_numbers, training_images=np.zeros_like(tiny_numbers.training_images))
    data.test_images[:] = 255
    model = build_model(chosen, SHAPE, 2, given=network)
    with pytest.raises(DivergedError, match=r"the MSE of the test images is no number any more by step 4: .* lower it"):
        train(model, chosen, data, lambda _: None)


@pytest.fixture
def data_of(tiny_numbers, tiny_pixels):
    """The tiny data of a task."""
    return {"Regression": tiny_numbers, "Segmentation": tiny_pixels}


def predict(model, data):
    """Answers of the deployed weights to the test images."""
    for variable in model.trainable_variables:
        if variable.path in model.kernels:
            variable.assign(model.kernels[variable.path].weights)
    return np.asarray(model(data.test_images.astype(np.float32), training=False))


@pytest.mark.parametrize(("task", "rule"), EACH)
def test_training_learns_and_the_curve_is_the_metric_of_the_deployed_weights(task, rule, data_of):
    metric, rate = ("MAE", 0.05) if task == "Regression" else ("MeanIoU", 0.2)
    chosen = make_recipe(task, rule={"rule": rule}, metric=metric, epochs=15, learning_rate=rate)
    model, curve = learn(chosen, data_of[task])
    last = curve[-1]
    # One half for every image is wrong by a quarter; all ground shares two thirds of the ground's pixels at most.
    assert last.test_quality < 0.12 if task == "Regression" else last.test_quality > 70
    assert last.accuracy_percent is None
    assert 10 < last.zeros_percent < 90
    found = measure(metric, predict(model, data_of[task]), data_of[task].test_labels)
    assert last.test_metric_value == pytest.approx(found, rel=2e-3)


def test_one_step_follows_the_mean_squared_error(tiny_numbers):
    """Against the gradient of the last layer's bias by hand: 2 (answer - target) / (n k), summed over the images."""
    chosen = make_recipe(
        "Regression",
        rule={"alpha": 0, "bits": 32},
        epochs=1,
        batch_size=64,
        learning_rate=0.1,
        momentum=0.0,
    )
    network = make_network("Regression")
    answers = np.asarray(network(tiny_numbers.training_images.astype(np.float32), training=False))
    errors = answers - tiny_numbers.training_labels
    model, curve = learn(chosen, tiny_numbers)
    expected = np.asarray(network.trainable_variables[-1].value) - 0.1 * 2 * errors.sum(axis=0) / errors.size
    np.testing.assert_allclose(np.asarray(model.trainable_variables[-1].value), expected, atol=1e-5)
    assert curve[0].loss == pytest.approx(np.mean(errors**2), rel=1e-4)
    assert curve[0].metric_value == pytest.approx(np.mean(np.abs(errors)), rel=1e-4)


@pytest.mark.parametrize(
    ("task", "metric"),
    [("Regression", "MAE"), ("Regression", "MSE"), *(("Segmentation", name) for name in ("Accuracy", "F1", "MeanIoU"))],
)
def test_the_metric_of_a_tally_is_the_metric_of_the_answers(task, metric, data_of):
    data, rng = data_of[task], np.random.default_rng(0)
    objective = plan_objective(make_recipe(task, metric=metric), OUTPUTS[task])
    answers = rng.normal(size=(*data.test_labels.shape[: 1 if task == "Regression" else 3], OUTPUTS[task]))
    answers = answers.astype(np.float32)
    parts = (slice(0, 10), slice(10, 32))
    tally = sum(np.asarray(objective.count(answers[part], data.test_labels[part]), np.float64) for part in parts)
    assert tally.shape == objective.tally_shape
    assert objective.measure(tally, 32) == pytest.approx(measure(metric, answers, data.test_labels), rel=1e-5)
    assert objective.larger_is_better == (task == "Segmentation")


def test_the_loss_of_pixels_is_the_mean_cross_entropy(tiny_pixels):
    logits = np.random.default_rng(0).normal(size=(32, 8, 8, 3)).astype(np.float32)
    logarithms = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    right = np.take_along_axis(logarithms, tiny_pixels.test_labels[..., None].astype(int), axis=-1)
    objective = plan_objective(make_recipe("Segmentation"), 3)
    assert float(objective.loss(logits, tiny_pixels.test_labels)) == pytest.approx(-right.mean(), rel=1e-5)


def test_confusion_counts_pixels():
    found, wanted = np.array([[0, 1], [2, 2]]), np.array([[0, 1], [1, 2]], np.uint8)
    assert count_confusion(found, wanted, 3).tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert measure_confusion("Accuracy", count_confusion(found, wanted, 3)) == 75


@pytest.mark.parametrize("task", OUTPUTS)
def test_patience_and_best_follow_the_metric(task, data_of):
    settings = {"validation_images": 16, "epochs": 10, "learning_rate": 0.3 if task == "Segmentation" else 0.1}
    model, curve = learn(make_recipe(task, patience=2, keep="Best", **settings), data_of[task])
    values = [entry.validation_metric_value for entry in curve]
    risen = [index for index in range(len(values)) if index + 1 >= 0.5 * settings["epochs"]]
    choose = min if task == "Regression" else max
    best = choose(risen, key=lambda index: values[index])
    assert len(curve) == min(best + 1 + 2, 10)
    found = measure(
        "MAE" if task == "Regression" else "Accuracy", predict(model, data_of[task]), data_of[task].test_labels
    )
    assert curve[best].test_metric_value == pytest.approx(found, rel=2e-3)


@pytest.mark.parametrize(("task", "sentence"), [("Regression", "epoch 2/3  step"), ("Segmentation", "epoch 1/3 done")])
def test_a_resumed_training_is_the_whole_one(task, sentence, data_of, tmp_path, monkeypatch):
    monkeypatch.setattr("model_builder.progress_lines.SECONDS_BETWEEN_REPORTS", 0.0)
    chosen, interruption = make_recipe(task, keep="Best"), Interruption()
    whole, curve = learn(chosen, data_of[task])
    saved = Checkpoints(tmp_path)

    def listen(progress):
        if sentence in progress.message:
            interruption.ask()

    with pytest.raises(TrainingInterruptedError, match="it goes on from there"):
        learn(chosen, data_of[task], listen, checkpoints=saved, interruption=interruption)
    resumed, again = learn(chosen, data_of[task], checkpoints=saved)
    timeless = {"steps_per_second"}
    assert [e.model_dump(exclude=timeless) for e in again] == [e.model_dump(exclude=timeless) for e in curve]
    for expected, found in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(found.value), np.asarray(expected.value))


@pytest.mark.parametrize(
    ("task", "words"),
    [("Regression", r"MAE \d[\d.e-]*"), ("Segmentation", r"Accuracy \d+\.\d %")],
)
def test_progress_says_the_metric(task, words, data_of, monkeypatch):
    monkeypatch.setattr("model_builder.progress_lines.SECONDS_BETWEEN_REPORTS", 0.0)
    told = []
    learn(make_recipe(task, epochs=2, maximum_steps=6), data_of[task], told.append)
    steps = [progress for progress in told if "steps/s" in progress.message]
    pattern = rf"epoch 1/2  step 2/4  {words}  zeros \d+\.\d %  \d+\.\d steps/s  ETA \d+:\d\d"
    assert re.fullmatch(pattern, steps[0].message)
    cut = next(progress for progress in told if "ended after" in progress.message)
    assert re.search(r"ended after 6 of 8 steps: loss \d+\.\d{4}, (MAE|Accuracy) ", cut.message)
    for progress in (*steps, cut):
        assert progress.metric == ("MAE" if task == "Regression" else "Accuracy")
        assert progress.metric_value >= 0
        assert (progress.accuracy_percent, progress.test_accuracy_percent) == (None, None)


def test_targets_that_are_too_large_end_with_a_remedy(tiny_numbers):
    tiny_numbers.training_labels[:] *= 1e20
    with pytest.raises(TrainingError, match=r"the loss is no number any more .*; lower it, or scale the targets down"):
        learn(make_recipe("Regression", rule={"alpha": 0, "bits": 32}), tiny_numbers)
