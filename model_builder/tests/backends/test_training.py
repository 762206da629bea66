import re

import numpy as np
import pytest

from model_builder.errors import BuildError, DivergedError, OutOfMemoryError
from model_builder.rules import compress
from model_builder.training import build_model, is_kernel, plan_schedule, train, zeros_percent

SHAPE = (8, 8, 1)


def kernels(model):
    return {
        variable.path: np.asarray(variable.value) for variable in model.trainable_variables if "kernel" in variable.path
    }


def values(model):
    return [np.asarray(variable.value) for variable in model.trainable_variables]


def test_the_gradient_at_the_compressed_weights_goes_to_the_masters(recipe, tiny_images):
    """One step moves the masters as it moves an uncompressed network that starts at C."""
    settings = {"epochs": 1, "batch_size": 64, "learning_rate": 0.1, "momentum": 0.0}
    one_step = recipe(**settings)
    model = build_model(one_step, SHAPE, 10)
    masters = values(model)
    compressed = {path: np.asarray(kernel.weights) for path, kernel in model.compressed_kernels().items()}
    uncompressed = recipe(alpha=0, bits=32, **settings)
    plain = build_model(uncompressed, SHAPE, 10)
    starts = [compressed.get(variable.path, np.asarray(variable.value)) for variable in model.trainable_variables]
    for variable, start in zip(plain.trainable_variables, starts, strict=True):
        variable.assign(start)
    train(plain, uncompressed, tiny_images, lambda _: None)
    train(model, one_step, tiny_images, lambda _: None)
    for master, start, moved, found in zip(masters, starts, values(plain), values(model), strict=True):
        assert not np.allclose(moved, start)
        np.testing.assert_allclose(found, master + (moved - start), atol=2e-6)


@pytest.mark.parametrize("rule", [{"rule": "Floor", "update": "InPlace"}, {"rule": "OffsetRound"}])
def test_in_place_the_update_goes_onto_c_and_the_rule_overwrites_it(rule, recipe, tiny_images):
    settings = {"epochs": 1, "batch_size": 64, "learning_rate": 0.1, "momentum": 0.0}
    chosen = recipe(rule=rule, **settings)
    model = build_model(chosen, SHAPE, 10)
    uncompressed = recipe(alpha=0, bits=32, **settings)
    plain = build_model(uncompressed, SHAPE, 10)
    started = model.compressed_kernels()
    for variable, source in zip(plain.trainable_variables, model.trainable_variables, strict=True):
        variable.assign(started[source.path].weights if source.path in started else source.value)
    train(plain, uncompressed, tiny_images, lambda _: None)
    train(model, chosen, tiny_images, lambda _: None)
    for name, moved in zip(kernels(model), kernels(plain).values(), strict=True):
        expected = compress(moved, chosen.compression)
        assert np.mean(model.kernels[name].codes != np.asarray(expected.codes)) < 0.002
        assert float(model.kernels[name].step) == pytest.approx(float(expected.step), rel=1e-5)
        np.testing.assert_array_equal(kernels(model)[name], model.kernels[name].weights)


def test_once_an_epoch_weights_are_float_between_and_codes_at_the_end(recipe, tiny_images):
    chosen = recipe(rule={"frequency": "Epoch"}, epochs=2, batch_size=16, learning_rate=0.01)
    model = build_model(chosen, SHAPE, 10)
    curve = train(model, chosen, tiny_images, lambda _: None)
    assert curve[-1].zeros_percent > 60
    for name, weights in kernels(model).items():
        assert np.mean(weights == 0) < 0.2  # what W <- C zeroed has moved again since
        codes = np.asarray(compress(weights, chosen.compression).codes)
        # compiled and not, the largest weight may lie on either side of its boundary
        assert np.mean(model.kernels[name].codes != codes) < 0.01


def test_a_frozen_mask_keeps_its_zeros_and_the_end_has_the_whole_alpha(recipe, tiny_images):
    rule = {"rule": "Shadow", "ramp": 0.5, "freeze": 0.25}
    chosen = recipe(rule=rule, epochs=4, batch_size=16, learning_rate=0.05)
    model = build_model(chosen, SHAPE, 10)
    curve = train(model, chosen, tiny_images, lambda _: None)
    zeros = [entry.zeros_percent for entry in curve]
    assert zeros[0] < zeros[1]
    assert 60 < zeros[2] < 95
    kept_at_freeze, kept_at_end = curve[2].kept_percent, curve[3].kept_percent
    assert kept_at_end == pytest.approx(kept_at_freeze, abs=1e-6)
    thawed = recipe(rule={**rule, "freeze": 0}, epochs=4, batch_size=16, learning_rate=0.05)
    other = train(build_model(thawed, SHAPE, 10), thawed, tiny_images, lambda _: None)
    assert other[2].kept_percent == kept_at_freeze
    assert other[3].kept_percent != kept_at_freeze


@pytest.mark.parametrize("more", [{}, {"granularity": "Channel"}, {"channel_sparsity": 0.5}])
def test_dense_ends_keep_their_weights_and_eight_bits_to_the_last_step(more, recipe, tiny_images):
    rule = {"rule": "Shadow", "first_and_last_layers": "Dense", **more}
    chosen = recipe(alpha=1.5, bits=3, rule=rule, epochs=4, batch_size=16, learning_rate=0.05)
    model = build_model(chosen, SHAPE, 10)
    fresh = [np.asarray(kernel.codes) for kernel in model.compressed_kernels().values()]
    train(model, chosen, tiny_images, lambda _: None)
    trained = [np.asarray(kernel.codes) for kernel in model.compressed_kernels().values()]
    for first, *middle, last in (fresh, trained):
        assert all(np.max(np.abs(codes)) <= 3 for codes in middle)
        assert all(np.mean(codes == 0) > 0.7 for codes in middle)
        if "channel_sparsity" in more:
            assert all(
                np.sum(np.any(codes.reshape(-1, codes.shape[-1]), axis=0)) <= codes.shape[-1] / 2 for codes in middle
            )
        for codes in (first, last):
            assert np.max(np.abs(codes)) == 127
            assert np.mean(codes == 0) < 0.1


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
    np.testing.assert_array_equal(first, again)
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
    monkeypatch.setattr("model_builder.progress_lines.SECONDS_BETWEEN_REPORTS", 0.0)
    told = []
    chosen = recipe(epochs=2, batch_size=16)
    train(build_model(chosen, SHAPE, 10), chosen, tiny_images, told.append)
    steps = [progress for progress in told if progress.steps_per_second is not None]
    assert [(step.epoch, step.epochs) for step in steps] == [(1, 2)] * 4 + [(2, 2)] * 5  # the last of each is its end
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
def test_training_stops_after_the_maximum_of_steps(maximum, entries, recipe, tiny_images, monkeypatch):
    monkeypatch.setattr("model_builder.progress_lines.SECONDS_BETWEEN_REPORTS", 0.0)
    told = []
    chosen = recipe(epochs=3, batch_size=16, maximum_steps=maximum)
    curve = train(build_model(chosen, SHAPE, 10), chosen, tiny_images, told.append)
    assert sum("steps/s" in progress.message for progress in told) == maximum - 1  # nothing is said of the first
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


def test_a_loss_that_is_no_number_ends_with_a_remedy(recipe, tiny_images):
    chosen = recipe(alpha=0, bits=32, epochs=1, batch_size=16, learning_rate=10.0)
    model = build_model(chosen, SHAPE, 10)
    output = model.trainable_variables[-2]
    output.assign(np.full(output.shape, 1e38, np.float32))
    sentence = r"the loss is no number any more by step \d+: learningRate 10 is too high .* lower"
    with pytest.raises(DivergedError, match=sentence) as raised:
        train(model, chosen, tiny_images, lambda _: None)
    assert raised.value.epoch == 1


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")])
def test_too_little_memory_ends_with_a_remedy(error, recipe, tiny_images):
    chosen = recipe(epochs=1, batch_size=16)

    def run_out(_progress):
        raise error

    with pytest.raises(OutOfMemoryError, match="too little memory to train with batchSize 16; lower it"):
        train(build_model(chosen, SHAPE, 10), chosen, tiny_images, run_out)


def test_patience_ends_training_and_best_keeps_the_best_epoch(recipe, tiny_images):
    settings = {"epochs": 12, "batch_size": 16, "learning_rate": 0.05, "validation_images": 16, "patience": 2}
    chosen = recipe(keep="Best", **settings)
    model = build_model(chosen, SHAPE, 10)
    curve = train(model, chosen, tiny_images, lambda _: None)
    accuracies = [entry.validation_accuracy_percent for entry in curve]
    best = int(np.argmax(accuracies))
    assert len(curve) == min(best + 1 + 2, 12)
    shorter = recipe(**{**settings, "epochs": best + 1})
    until_best = build_model(shorter, SHAPE, 10)
    train(until_best, shorter, tiny_images, lambda _: None)
    for name, kernel in model.kernels.items():
        np.testing.assert_array_equal(kernel.codes, until_best.kernels[name].codes)


def test_more_images_set_aside_than_there_are_is_refused(recipe, tiny_images):
    chosen = recipe(epochs=1, validation_images=64)
    with pytest.raises(BuildError, match="validationImages is 64, but there are 64 training images; lower it"):
        train(build_model(chosen, SHAPE, 10), chosen, tiny_images, lambda _: None)


@pytest.mark.parametrize("precision", ["Float32", "BFloat16"])
def test_strong_trains_and_normalises(precision, recipe, tiny_images):
    chosen = recipe(rule={"rule": "Shadow"}, epochs=8, batch_size=16, recipe="Strong", precision=precision)
    model = build_model(chosen, SHAPE, 10)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("BatchNormalization") == 3
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    curve = train(model, chosen, tiny_images, lambda _: None)
    assert curve[-1].loss < curve[0].loss
    assert 60 < curve[-1].zeros_percent < 95


@pytest.mark.parametrize("architecture", ["CNN", "VGG16"])
def test_strong_draws_its_first_weights_from_a_normal_distribution(architecture, recipe):
    """Nothing of an even one lies beyond sqrt(3) standard deviations, of a normal one 8.3 %."""
    beyond, spreads = {}, {}
    for kind in ("Published", "Strong"):
        model = build_model(recipe(architecture=architecture, recipe=kind), (32, 32, 3), 10)
        weights = max(kernels(model).values(), key=lambda kernel: kernel.size)
        beyond[kind] = np.mean(np.abs(weights) > np.sqrt(3) * weights.std())
        spreads[kind] = weights.std()
    assert beyond["Published"] < 0.001
    assert 0.07 < beyond["Strong"] < 0.10
    assert spreads["Strong"] == pytest.approx(spreads["Published"], rel=0.02)


def test_images_too_small_for_the_network_are_refused(recipe):
    with pytest.raises(BuildError, match="VGG16 pools images down from at least 32x32 pixels, but these are 8x8"):
        build_model(recipe(architecture="VGG16"), SHAPE, 10)


CHANNELS = {"rule": "Shadow", "channel_sparsity": 0.5}


@pytest.mark.parametrize("architecture", ["SmallCNN", "CNN"])
@pytest.mark.parametrize("keep", ["Last", "Best"])
def test_half_of_the_channels_end_without_anything_and_give_nothing(architecture, keep, recipe, tiny_images):
    chosen = recipe(architecture=architecture, rule=CHANNELS, recipe="Strong", epochs=4, batch_size=16, keep=keep)
    model = build_model(chosen, SHAPE, 10)
    train(model, chosen, tiny_images, lambda _: None)
    variables = {variable.path: np.asarray(variable.value) for variable in model.trainable_variables}
    *hidden, last = model.kernels
    for path in hidden:
        codes = np.asarray(model.kernels[path].codes)
        silent = ~np.any(codes.reshape(-1, codes.shape[-1]), axis=0)
        assert silent.sum() >= codes.shape[-1] // 2
        assert silent.sum() <= codes.shape[-1] // 2 + 0.2 * codes.shape[-1]  # alpha may empty some more
        bias = variables[path.replace("kernel", "bias")]
        assert (bias == 0)[silent].sum() >= codes.shape[-1] // 2
    last_codes = np.asarray(model.kernels[last].codes)
    assert np.any(last_codes, axis=0).all()  # of classes none goes


def test_the_curve_of_channels_that_go_is_that_of_the_deployed_network(recipe, tiny_images):
    chosen = recipe(rule=CHANNELS, recipe="Strong", epochs=3, batch_size=16)
    model = build_model(chosen, SHAPE, 10)
    curve = train(model, chosen, tiny_images, lambda _: None)
    for variable in model.trainable_variables:
        if variable.path in model.kernels:
            variable.assign(model.kernels[variable.path].weights)
    answers = np.asarray(model(tiny_images.test_images.astype(np.float32)))
    found = 100 * np.mean(answers.argmax(axis=1) == tiny_images.test_labels)
    assert curve[-1].test_quality == pytest.approx(found)


def test_untrained_networks_lose_their_quietest_channels_too(recipe):
    model = build_model(recipe(rule=CHANNELS, epochs=0), SHAPE, 10)
    *hidden, last = model.compressed_kernels().values()
    for kernel in hidden:
        codes = np.asarray(kernel.codes)
        assert np.any(codes.reshape(-1, codes.shape[-1]), axis=0).sum() == codes.shape[-1] // 2
    assert np.any(np.asarray(last.codes), axis=0).all()


def test_what_goes_with_the_channels_of_an_untrained_network_is_zero(recipe):
    model = build_model(recipe(rule=CHANNELS, recipe="Strong", epochs=0), SHAPE, 10)
    others = [variable for variable in model.trainable_variables if not is_kernel(variable)]
    for variable in others:
        variable.assign(np.ones(variable.shape, np.float32))
    model.silence_channels()
    biases = {variable.path.split("/")[0]: np.asarray(variable.value) for variable in others}
    for path, kernel in model.compressed_kernels().items():
        codes = np.asarray(kernel.codes)
        kept = np.any(codes.reshape(-1, codes.shape[-1]), axis=0)
        np.testing.assert_array_equal(biases[path.split("/")[0]], kept.astype(np.float32))
    for variable in others:
        if "normalization" in variable.path:
            assert np.asarray(variable.value).sum() == variable.shape[0] // 2
