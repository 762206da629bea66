"""Version folders made by hand: a real .tflite needs the builder, but any file with the right schema can be packed."""

import flatbuffers
import numpy as np
import pytest
import tflite


def _vector(builder, start, items):
    start(builder, len(items))
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return builder.EndVector()


def _tensor(builder, name, kind, shape, scales, buffer):
    label = None if name is None else builder.CreateString(name)
    shape = builder.CreateNumpyVector(np.array(shape, np.int32))
    quantization = None
    if scales is not None:
        vector = builder.CreateNumpyVector(np.asarray(scales, np.float32))
        tflite.QuantizationParametersStart(builder)
        tflite.QuantizationParametersAddScale(builder, vector)
        quantization = tflite.QuantizationParametersEnd(builder)
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, getattr(tflite.TensorType, kind.upper()))
    tflite.TensorAddBuffer(builder, buffer)
    if label is not None:
        tflite.TensorAddName(builder, label)
    if quantization is not None:
        tflite.TensorAddQuantization(builder, quantization)
    return tflite.TensorEnd(builder)


def render_model(weights, *, shared_buffer=False, shapes=None):
    """A .tflite that holds the (name, array, scales) triples as constant tensors and has no operators.

    Args:
        weights: a name of None is left out.
        shared_buffer: whether all tensors name the first one's buffer.
        shapes: what tensors state as their shape, by name, where it is not the array's.
    """
    builder = flatbuffers.Builder(1024)
    tensors, buffers = [], []
    tflite.BufferStart(builder)
    buffers.append(tflite.BufferEnd(builder))
    for name, array, scales in weights:
        data = builder.CreateNumpyVector(np.frombuffer(array.tobytes(), np.uint8))
        tflite.BufferStart(builder)
        tflite.BufferAddData(builder, data)
        buffers.append(tflite.BufferEnd(builder))
        shape = (shapes or {}).get(name, array.shape)
        buffer = 1 if shared_buffer else len(buffers) - 1
        tensors.append(_tensor(builder, name, array.dtype.name, shape, scales, buffer))
    vector = _vector(builder, tflite.SubGraphStartTensorsVector, tensors)
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, vector)
    subgraph = tflite.SubGraphEnd(builder)
    subgraphs = _vector(builder, tflite.ModelStartSubgraphsVector, [subgraph])
    buffer_vector = _vector(builder, tflite.ModelStartBuffersVector, buffers)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddSubgraphs(builder, subgraphs)
    tflite.ModelAddBuffers(builder, buffer_vector)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture
def render_tflite():
    """`render_model`, for tests."""
    return render_model


@pytest.fixture
def sparse_codes():
    """Codes as prune-then-quantise leaves them: alpha 1.25, 8 bits, Gaussian weights; int8, shape (200, 300)."""
    weights = np.random.default_rng(7).normal(size=(200, 300))
    step = np.abs(weights).max() / 127
    return (
        np.where(np.abs(weights) >= 1.25 * weights.std(), np.floor(weights / step), 0).clip(-127, 127).astype(np.int8)
    )


@pytest.fixture
def version_folder(tmp_path, sparse_codes):
    """A version folder: codes in model.tflite, code x step transposed in a variables file, and a nested small file."""
    folder = tmp_path / "version"
    (folder / "variables").mkdir(parents=True)
    step = np.float32(0.0123)
    small = np.arange(10, dtype=np.float32)
    model = render_model([("dense/kernel", sparse_codes, np.full(200, step)), ("dense/bias", small, None)])
    (folder / "model.tflite").write_bytes(model)
    values = sparse_codes.astype(np.float32).T * step
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(b"head" + values.tobytes() + b"tail")
    (folder / "empty.txt").write_bytes(b"")
    return folder


@pytest.fixture
def write_folder(tmp_path):
    """Makes a version folder whose model.tflite holds the given (name, array, scales) triples."""

    def write(*weights):
        folder = tmp_path / "given"
        folder.mkdir()
        (folder / "model.tflite").write_bytes(render_model(weights))
        return folder

    return write


@pytest.fixture
def make_codes():
    """Makes int8 codes as prune-then-quantise leaves Gaussian weights, the first axis's scales log-normal."""

    def make(alpha, bits, shape, *, differing=0.0, seed=11):
        random = np.random.default_rng(seed)
        scales = np.exp(random.normal(0, differing, shape[0])).reshape(-1, *[1] * (len(shape) - 1))
        weights = random.normal(size=shape) * scales
        edge = 2 ** (bits - 1) - 1
        step = np.abs(weights).max() / edge
        kept = np.abs(weights) >= alpha * weights.std()
        return np.where(kept, np.floor(weights / step), 0).clip(-edge, edge).astype(np.int8)

    return make
