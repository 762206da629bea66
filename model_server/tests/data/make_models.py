"""Make the models that the server's tests load, each in a folder beside this script. Needs TensorFlow.

    .venv/bin/python model_server/tests/data/make_models.py

`half_plus_two`      y = 0.5 x + 2 for any shape; a second signature `triple` (3 x) in a subgraph of its own.
`two_by_two`         total = a + b (float32), scaled = 2 n (int32): two inputs, two outputs, two dtypes.
`echo_bytes`         strings in, the same strings out.
`tiny_image`         a convolution over [-1, 8, 8, 3] with golden answers.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent


def main() -> None:
    """Write the models anew."""
    tf.random.set_seed(0)
    write_half_plus_two(HERE / "half_plus_two")
    write_two_by_two(HERE / "two_by_two")
    write_echo_bytes(HERE / "echo_bytes")
    write_tiny_image(HERE / "tiny_image")


def write_half_plus_two(folder: Path) -> None:
    """Two signatures over one input."""
    module = tf.Module()
    spec = tf.TensorSpec([None, 1], tf.float32, name="x")
    halve = tf.function(lambda x: {"y": 0.5 * x + 2.0}, input_signature=[spec])
    triple = tf.function(lambda x: {"y": 3.0 * x}, input_signature=[spec])
    _write(module, {"serving_default": halve, "triple": triple}, folder)


def write_two_by_two(folder: Path) -> None:
    """Two inputs and two outputs of different dtypes."""
    module = tf.Module()
    function = tf.function(
        lambda a, b, n: {"total": a + b, "scaled": 2 * n},
        input_signature=[
            tf.TensorSpec([None, 2], tf.float32, name="a"),
            tf.TensorSpec([None, 2], tf.float32, name="b"),
            tf.TensorSpec([None], tf.int32, name="n"),
        ],
    )
    _write(module, {"serving_default": function}, folder)


def write_echo_bytes(folder: Path) -> None:
    """Strings of any bytes, reshaped to a column."""
    function = tf.function(
        lambda payload: {"echo_bytes": tf.reshape(payload, [-1, 1])},
        input_signature=[tf.TensorSpec([None], tf.string, name="payload")],
    )
    _write(tf.Module(), {"serving_default": function}, folder)


def write_tiny_image(folder: Path) -> None:
    """A classifier of 8 x 8 colour images, and eight of its own answers as golden ones."""
    random = np.random.default_rng(0)
    module = tf.Module()
    module.kernel = tf.Variable(random.normal(size=(3, 3, 3, 4)).astype(np.float32), name="kernel")
    module.dense = tf.Variable(random.normal(size=(64, 5)).astype(np.float32), name="dense")

    def classify(image: tf.Tensor) -> dict[str, tf.Tensor]:
        hidden = tf.nn.relu(tf.nn.conv2d(image, module.kernel, strides=2, padding="SAME"))
        return {"scores": tf.nn.softmax(tf.reshape(hidden, [-1, 64]) @ module.dense)}

    function = tf.function(classify, input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, name="image")])
    _write(module, {"serving_default": function}, folder)
    _write_golden(folder, random.integers(0, 256, size=(8, 8, 8, 3), dtype=np.uint8))


def _write(module: tf.Module, signatures: dict[str, tf.types.experimental.GenericFunction], folder: Path) -> None:
    with tempfile.TemporaryDirectory() as saved:
        tf.saved_model.save(
            module, saved, {key: function.get_concrete_function() for key, function in signatures.items()}
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=list(signatures))
        folder.mkdir(exist_ok=True)
        (folder / "model.tflite").write_bytes(converter.convert())
        shutil.copyfile(Path(saved) / "saved_model.pb", folder / "saved_model.pb")


def _write_golden(folder: Path, images: np.ndarray) -> None:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(folder / "model.tflite")).get_signature_runner("serving_default")
    golden = folder / "assets.extra/golden"
    golden.mkdir(parents=True, exist_ok=True)
    np.save(golden / "inputs.npy", images)
    np.save(golden / "outputs.npy", runner(image=images.astype(np.float32))["scores"])
    document = {
        "formatVersion": 1,
        "signature": "serving_default",
        "input": "image",
        "output": "scores",
        "tolerance": 0.001,
    }
    (golden / "golden.json").write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
