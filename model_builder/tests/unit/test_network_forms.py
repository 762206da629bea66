"""One network with everything in it, in every form: numpy, TensorFlow, and three kinds of .tflite."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from plain_litert import plain_answers

from model_artifact.recipe import Compression
from model_builder.errors import ExportError, ModelError
from model_builder.evaluation import Predictor
from model_builder.flatbuffer import render_model
from model_builder.forward import run_forward
from model_builder.forward_check import FLOAT_TOLERANCE, ROUNDED_TOLERANCE, check_model, relative_difference
from model_builder.network import Weighted
from model_builder.network_passes import fold_normalisation, fuse_activations, narrow_codes
from model_builder.network_reading import code_kernel, read_network
from model_builder.quantisation import measure_grids, plan_grid
from model_builder.rules import compress
from model_builder.saved_model import FloatNetwork

SHAPE = (9, 8, 3)


def make_images():
    """Twelve images that differ in brightness, colour and a coarse pattern, as photographs do."""
    rng = np.random.default_rng(1)
    coarse = rng.uniform(-1, 1, (12, 3, 2, 3)).repeat(3, axis=1).repeat(4, axis=2)
    shifted = coarse * rng.uniform(20, 80, (12, 1, 1, 1)) + rng.uniform(60, 200, (12, 1, 1, 3))
    return np.clip(shifted + rng.normal(0, 6, (12, *SHAPE)), 0, 255).astype(np.uint8)


IMAGES = make_images()


def make_model():
    """Normalisation before, after and apart from activations; a branch; every pooling; odd sizes and strides."""
    image = keras.Input(SHAPE, name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(16, (3, 2), padding="same", activation="relu")(x)
    x = layers.ReLU(max_value=6)(layers.Add()([x, layers.BatchNormalization()(y)]))
    x = layers.MaxPooling2D(2, strides=1, padding="same")(x)
    x = layers.Conv2D(24, 3, strides=2, padding="same")(x)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    y = layers.GlobalAveragePooling2D()(x)
    x = layers.Flatten()(layers.AveragePooling2D(2, padding="same")(layers.SpatialDropout2D(0.1)(x)))
    x = layers.Add()([layers.Dense(24)(x), y])
    x = layers.Dropout(0.3)(layers.BatchNormalization()(layers.Activation("relu")(x)))
    x = layers.Dense(20, activation="tanh")(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x))


@pytest.fixture(scope="module")
def model():
    """That model with normalisation statistics of a trained one, a negative and a zero factor among them."""
    keras.utils.set_random_seed(3)
    made = make_model()
    rng = np.random.default_rng(0)
    for layer in made.layers:
        if isinstance(layer, layers.BatchNormalization):
            gamma, beta, mean = (rng.normal(0.6, 0.5, layer.gamma.shape) for _ in range(3))
            gamma[:2] = -0.4, 0.0
            layer.set_weights([gamma, beta, mean, rng.uniform(0.2, 2, gamma.shape)])
        if isinstance(layer, layers.Dense | layers.Conv2D) and layer.use_bias:
            layer.bias.assign(rng.normal(0, 0.1, layer.bias.shape))
    return made


def read(model, *, bits=8, rule="Floor", alpha=0.5, **further):
    compression = Compression(alpha=alpha, bits=bits, rule=rule, **further)
    kernels = {
        variable.path: code_kernel(compress(variable.value, compression), bits)
        for variable in model.trainable_variables
        if variable.path.endswith("/kernel")
    }
    return read_network(model, kernels)


def prepared(model, **compression):
    return fuse_activations(fold_normalisation(read(model, **compression)))


def test_numpy_answers_as_keras_does(model):
    network = read(model, bits=32, alpha=0)
    expected = model.predict(IMAGES.astype(np.float32), verbose=0)
    assert np.abs(run_forward(network, IMAGES) - expected).max() < 1e-5


@pytest.mark.parametrize("bits", [4, 8, 12, 32])
def test_folding_and_fusing_change_no_answer(model, bits):
    before = read(model, bits=bits)
    after = prepared(model, bits=bits)
    assert relative_difference(run_forward(after, IMAGES), run_forward(before, IMAGES), probabilities=True) < 1e-4
    assert len(after.layers) < len(before.layers) - 4


def test_folding_keeps_the_codes_but_for_their_sign(model):
    before = {layer.kernel: layer for layer in read(model).weighted}
    folded = [layer for layer in prepared(model).weighted if layer.multiplier is not None]
    assert len(folded) == 2
    for layer in folded:
        codes = before[layer.kernel].codes
        assert layer.step == before[layer.kernel].step
        assert np.array_equal(layer.codes[..., 0], -codes[..., 0])  # a negative factor
        assert not layer.codes[..., 1].any()  # a factor of zero
        assert np.array_equal(np.abs(layer.codes[..., 2:]), np.abs(codes[..., 2:]))
        assert (layer.multiplier > 0).all()


FORMS = [(8, "Float"), (8, "Dynamic"), (8, "Integer"), (3, "Integer"), (12, "Dynamic"), (32, "Dynamic")]


@pytest.mark.parametrize(("bits", "activations"), FORMS)
def test_every_form_answers_as_numpy_with_either_kernels(model, bits, activations):
    network = prepared(model, bits=bits)
    grids = measure_grids(network, IMAGES) if activations == "Integer" else None
    data = render_model(network, grids, floats=activations == "Float", metadata={})
    found = check_model(data, network, IMAGES, grids, floats=activations == "Float")
    exact = activations == "Float" or bits > 8
    assert found < (FLOAT_TOLERANCE if exact else ROUNDED_TOLERANCE) / 2
    floats = run_forward(network, IMAGES)
    assert relative_difference(plain_answers(data, IMAGES), floats, probabilities=True) < (1e-4 if exact else 0.3)
    assert np.mean(plain_answers(data, IMAGES).argmax(1) == floats.argmax(1)) >= 11 / 12


@pytest.mark.parametrize("granularity", ["Tensor", "Channel"])
def test_the_scales_are_what_a_code_of_each_channel_is_worth(model, granularity):
    network = prepared(model, rule="Shadow", granularity=granularity)
    interpreter = Interpreter(model_content=render_model(network, None, metadata={}))
    found = {detail["name"]: detail for detail in interpreter.get_tensor_details()}
    for layer in network.weighted:
        detail = found[layer.kernel]
        order = (3, 0, 1, 2) if layer.codes.ndim == 4 else (1, 0)
        assert np.array_equal(interpreter.get_tensor(detail["index"]), layer.codes.transpose(order))
        assert np.array_equal(detail["quantization_parameters"]["scales"], layer.steps)
        assert len(set(layer.steps.tolist())) > 1 or (granularity == "Tensor" and layer.multiplier is None)


def test_tensorflow_answers_as_numpy(model):
    network = prepared(model, bits=5, rule="Shadow", granularity="Channel")
    answers = FloatNetwork(network).predict(IMAGES)
    assert np.abs(answers - run_forward(network, IMAGES)).max() < 1e-5


def test_a_sum_of_three_answers_as_keras_does_in_every_form():
    image = keras.Input(SHAPE, name="image")
    x = layers.ReLU()(layers.Add()([layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(image)) for _ in range(3)]))
    x = layers.Dense(5, activation="softmax", name="probabilities")(layers.GlobalAveragePooling2D()(x))
    made = keras.Model(image, x)
    network = prepared(made, bits=32, alpha=0)
    expected = made.predict(IMAGES.astype(np.float32), verbose=0)
    assert np.abs(run_forward(network, IMAGES) - expected).max() < 1e-5
    assert np.abs(FloatNetwork(network).predict(IMAGES) - expected).max() < 1e-5
    data = render_model(network, None, floats=True, metadata={})
    assert check_model(data, network, IMAGES, None, floats=True) < FLOAT_TOLERANCE / 2


def test_codes_that_pass_int8_are_stored_wider_and_run_as_float(model):
    network = prepared(model, rule="OffsetRound", alpha=1.0)
    wide = [layer for layer in network.weighted if layer.codes.dtype == np.int16]
    assert any(np.abs(layer.codes).max() > 127 for layer in wide)
    data = render_model(network, None, metadata={})
    assert check_model(data, network, IMAGES, None, floats=False) < ROUNDED_TOLERANCE
    with pytest.raises(ExportError, match="pass 8 bits, which integer activations cannot use"):
        render_model(network, measure_grids(network, IMAGES), metadata={})


@pytest.mark.parametrize(
    ("codes", "dtype"), [([-128, 127], np.int8), ([-129, 0], np.int16), ([0, 128], np.int16), ([40_000, 1], np.float32)]
)
def test_codes_take_the_narrowest_type_and_are_never_clipped(codes, dtype):
    narrow = narrow_codes(np.array(codes, np.int32))
    assert narrow.dtype == dtype
    assert narrow.tolist() == codes


def damage(layer, kind):
    match kind:
        case "another order of channels":
            return replace(layer, codes=layer.codes[..., ::-1].copy())
        case "no bias":
            return replace(layer, bias=np.zeros_like(layer.bias) + 1)
        case "codes in another order":
            return replace(
                layer, codes=np.random.default_rng(0).permutation(layer.codes.ravel()).reshape(layer.codes.shape)
            )
    raise ValueError(kind)


@pytest.mark.parametrize("floats", [True, False])
@pytest.mark.parametrize("kind", ["another order of channels", "no bias", "codes in another order"])
def test_a_file_that_answers_differently_is_refused(model, kind, floats):
    network = prepared(model)
    first = next(layer for layer in network.layers if isinstance(layer, Weighted))
    data = render_model(network.replaced({first.name: damage(first, kind)}), None, floats=floats, metadata={})
    with pytest.raises(ExportError, match=r"answers differently from its own weights \(by "):
        check_model(data, network, IMAGES, None, floats=floats)


def test_a_step_that_is_no_number_is_refused(model):
    network = prepared(model)
    last = network.weighted[-1]
    data = replace(last, step=np.float32("nan"))
    with pytest.raises(ExportError, match="a step is not above zero; training diverged"):
        render_model(network.replaced({last.name: data}), None, metadata={})


def test_any_batch_size_is_answered(model):
    data = render_model(prepared(model), None, metadata={})
    answers = Predictor(data).predict(np.repeat(IMAGES, 20, axis=0))
    assert answers.shape == (240, 10)
    assert np.abs(answers[::20] - Predictor(data).predict(IMAGES)).max() < 1e-6


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 6.0), (0.5, 2.0), (-4.0, -1.0), (0.0, 0.0)])
def test_a_grid_has_zero_and_spans_its_range(low, high):
    grid = plan_grid(low, high)
    assert grid.rounded(np.zeros(1, np.float32))[0] == 0
    ends = np.array([min(low, 0), max(high, 0)], np.float32)
    assert np.abs(grid.rounded(ends) - ends).max() <= grid.scale


def layer_model(*chain, shape=(8, 8, 3)):
    made = image = keras.Input(shape)
    for layer in chain:
        made = layer(made)
    return keras.Model(image, made)


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        ([layers.DepthwiseConv2D(3, name="deep")], "deep: DepthwiseConv2D cannot be deployed; use Activation, Add,"),
        ([layers.Lambda(lambda x: x * 2, name="code")], "code: Lambda cannot be deployed"),
        ([layers.Conv2D(4, 3, dilation_rate=2, name="wide")], "wide: dilation_rate must be 1"),
        ([layers.Conv2D(4, 3, activation="gelu", name="curved")], "curved: the activation gelu cannot be deployed"),
        ([layers.Dense(4, name="dense")], r"dense: only inputs of shape \(n, features\) can be deployed; add Flatten"),
        ([layers.BatchNormalization(axis=1, name="norm")], "norm: axis must be the last one"),
        ([layers.ReLU(negative_slope=0.1, name="leaky")], "leaky: only plain ReLU and max_value 6 can be deployed"),
    ],
)
def test_what_cannot_be_deployed_is_named(chain, words):
    with pytest.raises(ModelError, match=words):
        read_network(layer_model(*chain), {})
