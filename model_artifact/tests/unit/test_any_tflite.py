import subprocess
import sys

import numpy as np
import pytest

from model_artifact.__main__ import main
from model_artifact.errors import UnpackableError
from model_artifact.inspection import inspect
from model_artifact.model_file import pack_model_file
from model_artifact.tflite_weights import _without_overlaps, read_weights
from model_artifact.unpacking import unpack
from model_artifact.weights import CodedTensor, plan_holes

CONVERT = """
import sys
import numpy as np
import tensorflow as tf

rng = np.random.default_rng(0)
kernel = rng.normal(size=(3, 3, 8, 32)).astype(np.float32) * np.linspace(0.1, 4, 32, dtype=np.float32)
dense = rng.normal(size=(32, 40)).astype(np.float32)

class Net(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 8], tf.float32)])
    def __call__(self, images):
        mixed = tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "SAME") + np.zeros(32, np.float32))
        return tf.nn.softmax(tf.reduce_mean(mixed, [1, 2]) @ dense)

net = Net()
for kind in ("float32", "float16", "int8", "int16x8"):
    converter = tf.lite.TFLiteConverter.from_concrete_functions([net.__call__.get_concrete_function()], net)
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind in ("int8", "int16x8"):
        images = [[rng.normal(size=(1, 8, 8, 8)).astype(np.float32)] for _ in range(4)]
        converter.representative_dataset = lambda: images
    if kind == "int16x8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    with open(f"{sys.argv[1]}/{kind}.tflite", "wb") as out:
        out.write(converter.convert())
"""


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Models by TensorFlow's own converter: a convolution and a matrix, in four number formats."""
    folder = tmp_path_factory.mktemp("converted")
    done = subprocess.run([sys.executable, "-c", CONVERT, folder], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "dtypes"),
    [("float32", ["float32"] * 2), ("float16", ["int16"] * 2), ("int8", ["int8"] * 2), ("int16x8", ["int8"] * 2)],
)
def test_a_model_of_another_converter_comes_back_to_the_bit(kind, dtypes, converted, tmp_path):
    model = converted / f"{kind}.tflite"
    assert main(["pack", str(model), str(tmp_path / "a.zip")]) == 0
    assert main(["unpack", str(tmp_path / "a.zip"), str(tmp_path / "1")]) == 0
    assert [path.name for path in (tmp_path / "1").rglob("*")] == ["model.tflite"]
    assert (tmp_path / "1" / "model.tflite").read_bytes() == model.read_bytes()
    facts = inspect(tmp_path / "a.zip")
    assert [tensor.dtype for tensor in facts.tensors] == dtypes
    assert sorted(tensor.weights for tensor in facts.tensors) == [1280, 2304]
    assert facts.manifest.content.provenance is None


NUMBERS = np.random.default_rng(5)
HALVES = NUMBERS.normal(size=(20, 30)).astype(np.float16)


@pytest.mark.parametrize(
    ("array", "stored_as"),
    [
        (NUMBERS.integers(-127, 128, (20, 30), np.int8), "int8"),
        (NUMBERS.integers(0, 256, (20, 30), np.uint8), "int8"),
        (NUMBERS.integers(-3000, 3000, (20, 30), np.int16), "int16"),
        (np.where(np.abs(HALVES) < 1, np.float16(-0.0), HALVES), "int16"),
        (NUMBERS.normal(size=(20, 30)).astype(np.float32), "float32"),
    ],
    ids=["int8", "uint8", "int16", "float16", "float32"],
)
def test_every_number_format_is_stored_exactly(array, stored_as, tmp_path, render_tflite):
    model = tmp_path / "any.tflite"
    model.write_bytes(render_tflite([("per channel", array, np.linspace(0.1, 1, 20))]))
    pack_model_file(model, tmp_path / "a.zip")
    unpack(tmp_path / "a.zip", tmp_path / "1")
    assert (tmp_path / "1" / "model.tflite").read_bytes() == model.read_bytes()
    (facts,) = inspect(tmp_path / "a.zip").tensors
    assert (facts.name, facts.shape, facts.dtype) == ("per channel", (20, 30), stored_as)


def test_numbers_that_are_no_weights_stay_in_the_file(tmp_path, render_tflite):
    model = tmp_path / "any.tflite"
    model.write_bytes(render_tflite([("table", np.arange(900, dtype=np.int64), None)]))
    pack_model_file(model, tmp_path / "a.zip")
    unpack(tmp_path / "a.zip", tmp_path / "1")
    assert (tmp_path / "1" / "model.tflite").read_bytes() == model.read_bytes()
    assert inspect(tmp_path / "a.zip").tensors == []


def test_a_buffer_of_two_tensors_is_stored_once(tmp_path, render_tflite):
    codes = NUMBERS.integers(-9, 9, (20, 30), np.int8)
    data = render_tflite([("first", codes, None), ("second", codes, None)], shared_buffer=True)
    assert [tensor.name for tensor in read_weights(data)] == ["first"]
    (tmp_path / "any.tflite").write_bytes(data)
    pack_model_file(tmp_path / "any.tflite", tmp_path / "a.zip")
    unpack(tmp_path / "a.zip", tmp_path / "1")
    assert (tmp_path / "1" / "model.tflite").read_bytes() == data


def test_zeros_are_found_where_they_belong(tmp_path, render_tflite):
    small, large = np.zeros((16, 16), np.float32), np.zeros((64, 64), np.float32)
    data = render_tflite([("small", small, None), ("large", large, None), ("tail", small, None)])
    (tmp_path / "any.tflite").write_bytes(data)
    manifest = pack_model_file(tmp_path / "any.tflite", tmp_path / "a.zip")
    offsets = {hole.tensor: hole.offset for hole in manifest.storage.holes}
    assert offsets == {index: tensor.offset for index, tensor in enumerate(read_weights(data))}
    unpack(tmp_path / "a.zip", tmp_path / "1")
    assert (tmp_path / "1" / "model.tflite").read_bytes() == data


def test_a_tensor_without_a_name_or_of_another_shape_is_no_trouble(tmp_path, render_tflite):
    codes = NUMBERS.integers(-9, 9, (20, 30), np.int8)
    data = render_tflite([(None, codes, None), ("lying", codes, None)], shapes={"lying": (7, 7)})
    assert [(tensor.name, tensor.codes.shape) for tensor in read_weights(data)] == [("buffer 1", (20, 30))]
    (tmp_path / "any.tflite").write_bytes(data)
    pack_model_file(tmp_path / "any.tflite", tmp_path / "a.zip")
    unpack(tmp_path / "a.zip", tmp_path / "1")
    assert (tmp_path / "1" / "model.tflite").read_bytes() == data


def test_tensors_that_share_bytes_are_stored_once():
    codes = np.zeros((20, 30), np.int8)
    tensors = [CodedTensor(name, codes, None, offset) for name, offset in (("c", 1300), ("a", 100), ("b", 699))]
    assert [tensor.name for tensor in _without_overlaps(tensors)] == ["c", "a"]
    assert [hole.tensor for hole in plan_holes("model.tflite", bytes(2000), tensors[:2])] == [1, 0]


def test_no_cut_or_altered_model_raises_anything_else(sparse_codes, render_tflite):
    data = render_tflite([("w", sparse_codes[:20, :30], [0.1])])
    refused = 0
    for position in range(0, len(data), 3):
        for broken in (data[:position], data[:position] + b"\xff" + data[position + 1 :]):
            try:
                read_weights(broken)
            except UnpackableError:
                refused += 1
    assert refused > 10


def test_a_file_that_is_no_model_is_named(tmp_path, capsys):
    (tmp_path / "notes.tflite").write_text("notes")
    assert main(["pack", str(tmp_path / "notes.tflite"), str(tmp_path / "a.zip")]) == 2
    assert f"{tmp_path}/notes.tflite: model.tflite: the file identifier TFL3 is missing" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.tflite"]
