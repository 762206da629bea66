"""What TensorFlow Serving looks for beside the graph: signatures inside the .tflite, and a request to warm up with."""

import json
from pathlib import Path
from typing import Any

import tensorflow as tf
from flatbuffers import flexbuffers  # type: ignore[import-untyped]
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import prediction_log_pb2

from model_builder.errors import ExportError
from model_builder.flatbuffer import SIGNATURE
from model_builder.network import INPUT, REGRESS_SIGNATURE, Network, infer_shapes, regresses

SIGNATURES_METADATA = "signature_defs_metadata"
"""The metadata entry that `--prefer_tflite_model` reads; the signatures that LiteRT itself knows are ignored there."""
EXAMPLE_SPEC_FILE = "assets.extra/example_spec.json"
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
_PREDICT = "tensorflow/serving/predict"
_GREY = 128.0


def render_signatures(network: Network) -> bytes:
    """A FlexBuffer map from `serving_default` to its serialized SignatureDef: `image` to the network's answer.

    Raises:
        ExportError: when the serialized form has a zero byte, at which TensorFlow Serving would cut it off.
    """
    shapes = infer_shapes(network)
    definition = meta_graph_pb2.SignatureDef(method_name=_PREDICT)
    _describe(definition.inputs[INPUT], INPUT, shapes[INPUT])
    _describe(definition.outputs[network.answer], network.answer, shapes[network.output])
    text = definition.SerializeToString(deterministic=True)
    if b"\0" in text:
        raise ExportError(
            f"the signature of shape {shapes[INPUT]} cannot be written for TensorFlow Serving; report this"
        )
    builder: Any = flexbuffers.Builder()
    with builder.Map():
        builder.Key(SIGNATURE)
        # The reader wants the type STRING, and the public method takes none that is not UTF-8.
        builder._WriteBlob(text, append_zero=True, type_=flexbuffers.Type.STRING)  # noqa: SLF001
    return bytes(builder.Finish())


def _describe(info: Any, name: str, shape: tuple[int, ...]) -> None:
    info.name, info.dtype = name, tf.float32.as_datatype_enum
    for size in (-1, *shape):
        info.tensor_shape.dim.add().size = size


def write_example_spec(folder: Path, network: Network) -> None:
    """Say which feature of a tf.Example the signature `regress` reads, where the network has that signature.

    A server without TensorFlow reads it there; TensorFlow Serving has it in the graph.
    """
    if not regresses(network):
        return
    feature = {"dtype": "DT_FLOAT", "shape": list(network.image_shape)}
    document = {REGRESS_SIGNATURE: {"method": "regress", "features": {INPUT: feature}}}
    target = folder / EXAMPLE_SPEC_FILE
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(document) + "\n")


def write_warmup_requests(folder: Path, image_shape: tuple[int, ...]) -> None:
    """A Predict request with one grey image, for a server to answer before it takes requests from others.

    What a kernel does for the first time depends on shapes, not on pixels, and one number that stands for all of them
    keeps the artifact small.

    Args:
        folder: the version folder.
        image_shape: (height, width, channels).
    """
    target = folder / WARMUP_FILE
    target.parent.mkdir(exist_ok=True)
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = SIGNATURE
    request.inputs[INPUT].CopyFrom(tf.make_tensor_proto(_GREY, dtype=tf.float32, shape=(1, *image_shape)))
    with tf.io.TFRecordWriter(str(target)) as writer:
        writer.write(log.SerializeToString(deterministic=True))
