import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import prediction_log_pb2

from model_artifact.recipe import Export
from model_builder.export import ExampleImages, write_version
from model_builder.network import INPUT, Activation, Dense, Flatten, Network
from model_builder.serving_files import WARMUP_FILE, render_signatures, write_warmup_requests

BIAS = np.zeros(10, np.float32)
NETWORK = Network(
    (4, 4, 3),
    (
        Flatten("flat", (INPUT,)),
        Dense("dense", ("flat",), "dense/kernel", np.eye(48, 10, dtype=np.int8), np.float32(0.01), None, BIAS),
        Activation("softmax", ("dense",), "softmax"),
    ),
)
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), np.uint8)


def parse_signature(text):
    """As TensorFlow Serving reads it: a map whose values are strings that end at a zero byte."""
    value = flexbuffers.GetRoot(text).AsMap["serving_default"]
    assert value.IsString
    return meta_graph_pb2.SignatureDef.FromString(bytes(value.AsStringBytes).split(b"\0")[0])


def test_the_embedded_signature_names_tensors_with_any_batch():
    definition = parse_signature(render_signatures(NETWORK))
    assert definition.method_name == "tensorflow/serving/predict"
    image, answer = definition.inputs["image"], definition.outputs["probabilities"]
    assert [dim.size for dim in image.tensor_shape.dim] == [-1, 4, 4, 3]
    assert [dim.size for dim in answer.tensor_shape.dim] == [-1, 10]
    assert (image.name, image.dtype) == ("image", tf.float32.as_datatype_enum)
    assert (answer.name, answer.dtype) == ("probabilities", tf.float32.as_datatype_enum)


def test_the_warm_up_request_is_a_short_predict_log_of_one_image(tmp_path):
    write_warmup_requests(tmp_path, (32, 32, 3))
    assert (tmp_path / WARMUP_FILE).stat().st_size < 200
    (record,) = tf.data.TFRecordDataset(str(tmp_path / WARMUP_FILE)).as_numpy_iterator()
    request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
    assert request.model_spec.signature_name == "serving_default"
    assert np.array_equal(tf.make_ndarray(request.inputs["image"]), np.full((1, 32, 32, 3), 128, np.float32))


def test_a_version_folder_has_the_same_signature_three_times(tmp_path):
    folder = tmp_path / "1"
    write_version(folder, NETWORK, Export(), ExampleImages(IMAGES[8:], IMAGES[:8]), tuple("abcdefghij"))
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "fingerprint.pb",
        "model.tflite",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
        "assets.extra/golden/golden.json",
        "assets.extra/golden/inputs.npy",
        "assets.extra/golden/outputs.npy",
        "assets.extra/labels.txt",
        "assets.extra/tf_serving_warmup_requests",
    }
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    assert list(signature.structured_input_signature[1]) == ["image"]
    assert list(signature.structured_outputs) == ["probabilities"]
    model = schema.ModelT.InitFromPackedBuf((folder / "model.tflite").read_bytes())
    (own,) = model.signatureDefs
    assert own.signatureKey == b"serving_default"
    assert [entry.name for entry in (*own.inputs, *own.outputs)] == [b"image", b"probabilities"]
    tensors = model.subgraphs[0].tensors
    assert tensors[own.inputs[0].tensorIndex].name == b"image"
    assert tensors[own.outputs[0].tensorIndex].name == b"probabilities"
    (entry,) = model.metadata
    assert entry.name == b"signature_defs_metadata"
    embedded = parse_signature(bytes(model.buffers[entry.buffer].data))
    assert embedded == parse_signature(render_signatures(NETWORK))
