"""Weights that no kernel takes are refused; weights of int8 are served by both engines."""

import importlib.util

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from model_server.engines import load_engine
from model_server.engines.litert import LiteRtEngine
from model_server.errors import LoadError

CONVOLUTION, FULLY_CONNECTED = schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED
TYPES = {
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "float16": schema.TensorType.FLOAT16,
    "float64": schema.TensorType.FLOAT64,
}


@pytest.fixture
def with_weights(models, tmp_path):
    """Write tiny_image with the weights of one kind of layer in another dtype, one scale for each output."""

    def write(kind, dtype):
        model = schema.ModelT.InitFromPackedBuf((models / "tiny_image/model.tflite").read_bytes(), 0)
        codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
        (graph,) = model.subgraphs
        (layer,) = (operator for operator in graph.operators if codes[operator.opcodeIndex] == kind)
        tensor = graph.tensors[layer.inputs[1]]
        weights = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32).reshape(tensor.shape)
        scales = np.abs(weights).reshape(len(weights), -1).max(axis=1) / 127
        stored = np.round(weights / scales.reshape(-1, *[1] * (weights.ndim - 1))).astype(dtype)
        tensor.type = TYPES[dtype]
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = scales.astype(np.float32)
        tensor.quantization.zeroPoint = np.zeros(len(weights), np.int64)
        model.buffers[tensor.buffer].data = np.frombuffer(stored.tobytes(), np.uint8)
        builder = flatbuffers.Builder(0)
        builder.Finish(model.Pack(builder), b"TFL3")
        file = tmp_path / "model.tflite"
        file.write_bytes(builder.Output())
        return file

    return write


@pytest.mark.parametrize("dtype", ["int16", "int32", "float16", "float64"])
@pytest.mark.parametrize(("kind", "name"), [(CONVOLUTION, "CONV_2D"), (FULLY_CONNECTED, "FULLY_CONNECTED")])
def test_weights_that_no_kernel_takes_are_refused_at_load(with_weights, kind, name, dtype):
    told = dtype if dtype != "float64" else "type 10"
    with pytest.raises(LoadError, match=f"no {name} kernel takes {told} weights with float32 activations") as refusal:
        LiteRtEngine(with_weights(kind, dtype), workers=1, threads=1)
    assert str(refusal.value).endswith(": export int8 or float32 weights.")


@pytest.mark.parametrize("kind", [CONVOLUTION, FULLY_CONNECTED])
def test_int8_weights_with_float_activations_are_served(models, with_weights, kind):
    images = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype(np.float32)
    exact = LiteRtEngine(models / "tiny_image/model.tflite", workers=1, threads=1)
    rounded = LiteRtEngine(with_weights(kind, "int8"), workers=1, threads=1)
    expected = exact.run("serving_default", {"image": images})["scores"]
    np.testing.assert_allclose(rounded.run("serving_default", {"image": images})["scores"], expected, atol=0.03)


@pytest.mark.parametrize("identifier", [b"TFL2", b"\xff\xff\xff\xff"])
def test_what_is_no_tflite_is_refused(models, tmp_path, identifier):
    content = (models / "tiny_image/model.tflite").read_bytes()
    file = tmp_path / "model.tflite"
    file.write_bytes(content[:4] + identifier + content[8:])
    with pytest.raises(LoadError, match=r"cut short or no \.tflite"):
        LiteRtEngine(file, workers=1, threads=1)


if importlib.util.find_spec("openvino") is not None:

    def test_openvino_computes_in_int8_where_examples_give_the_ranges(with_weights):
        images = np.random.default_rng(0).normal(size=(16, 8, 8, 3)).astype(np.float32)
        file = with_weights(CONVOLUTION, "int8")
        answers = [
            load_engine("openvino", file, workers=1, threads=1, examples=examples).run(
                "serving_default", {"image": images}
            )["scores"]
            for examples in (None, images)
        ]
        # The second rounds what enters the convolution, so that it differs, but by little.
        assert 0 < np.abs(answers[0] - answers[1]).max() < 0.1
