"""Make the models that the server's tests load, each in a folder beside this script. Needs TensorFlow.

    .venv/bin/python model_server/tests/data/make_models.py

`half_plus_two`      y = 0.5 x + 2 for any shape; a second signature `triple` (3 x) in a subgraph of its own.
`two_by_two`         total = a + b (float32), scaled = 2 n (int32): two inputs, two outputs, two dtypes.
`echo_bytes`         strings in, the same strings out.
`tiny_image`         a convolution over [-1, 8, 8, 3] with golden answers.
`examples`           signatures over tf.Example (classify, regress, regress_two), one over tensors; warm-up records.
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
    write_examples(HERE / "examples")


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


def write_examples(folder: Path) -> None:
    """The SavedModel parses examples; the .tflite has the same signatures over the features themselves."""
    plain, parsing = tf.Module(), tf.Module()
    x = tf.TensorSpec([None, 2], tf.float32, name="x")
    n = tf.TensorSpec([None], tf.int64, name="n")
    strings = tf.TensorSpec([None], tf.string, name="inputs")
    one = {"x": tf.io.FixedLenFeature([2], tf.float32)}
    two = one | {"n": tf.io.FixedLenFeature([], tf.int64)}

    def halve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": 0.5 * x}

    def add(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": tf.reduce_sum(x, axis=1, keepdims=True)}

    def add_two(x: tf.Tensor, n: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": tf.reduce_sum(x, axis=1) + tf.cast(n, tf.float32)}

    def label(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return halve(x) | {"classes": tf.tile(tf.constant([["left", "right"]]), [tf.shape(x)[0], 1])}

    default = tf.function(lambda x: {"y": x + 1.0}, input_signature=[x])
    _write(
        plain,
        {
            "serving_default": default,
            "classify": tf.function(halve, input_signature=[x]),
            "regress": tf.function(add, input_signature=[x]),
            "regress_two": tf.function(add_two, input_signature=[x, n]),
        },
        folder,
    )
    with tempfile.TemporaryDirectory() as saved:
        functions = {
            "serving_default": default,
            "classify": tf.function(
                lambda inputs: label(**tf.io.parse_example(inputs, one)), input_signature=[strings]
            ),
            "regress": tf.function(lambda inputs: add(**tf.io.parse_example(inputs, one)), input_signature=[strings]),
            "regress_two": tf.function(
                lambda inputs: add_two(**tf.io.parse_example(inputs, two)), input_signature=[strings]
            ),
        }
        signatures = {key: function.get_concrete_function() for key, function in functions.items()}
        tf.saved_model.save(parsing, saved, signatures)
        shutil.copyfile(Path(saved) / "saved_model.pb", folder / "saved_model.pb")
    _write_example_spec(folder / "assets.extra")
    _write_warmup(folder / "assets.extra")


def _write_example_spec(folder: Path) -> None:
    x = {"dtype": "DT_FLOAT", "shape": [2]}
    document = {
        "classify": {"method": "classify", "features": {"x": x}},
        "regress": {"method": "regress", "features": {"x": x}},
        "regress_two": {"method": "regress", "features": {"x": x, "n": {"dtype": "DT_INT64", "shape": []}}},
    }
    folder.mkdir(exist_ok=True)
    (folder / "example_spec.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _write_warmup(folder: Path) -> None:
    """One record of each kind, as TensorFlow and its serving library write them."""
    from tensorflow_serving.apis import input_pb2, prediction_log_pb2

    feature = tf.train.Feature(float_list=tf.train.FloatList(value=[1.0, 2.0]))
    example = tf.train.Example(features=tf.train.Features(feature={"x": feature}))
    message = input_pb2.Input(example_list=input_pb2.ExampleList(examples=[example]))
    predict, classify, regress, several = (prediction_log_pb2.PredictionLog() for _ in range(4))
    predict.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([[1.0, 2.0]]))
    classify.classify_log.request.model_spec.signature_name = "classify"
    classify.classify_log.request.input.CopyFrom(message)
    regress.regress_log.request.model_spec.signature_name = "regress"
    regress.regress_log.request.input.CopyFrom(message)
    several.multi_inference_log.request.input.CopyFrom(message)
    for kind in ("classify", "regress"):
        task = several.multi_inference_log.request.tasks.add(method_name=f"tensorflow/serving/{kind}")
        task.model_spec.name = "m"
        task.model_spec.signature_name = kind
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        for log in (predict, classify, regress, several):
            writer.write(log.SerializeToString())


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
