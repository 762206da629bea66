import contextlib

import flatbuffers
import numpy as np
import pytest
from flatbuffers import flexbuffers

from model_server._protos.tensorflow.core.protobuf import meta_graph_pb2
from model_server.errors import LoadError
from model_server.signature_metadata import METADATA_NAME, read_metadata_definitions


def render_definition():
    definition = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    definition.inputs["image"].tensor_shape.dim.add().size = -1
    return definition


def render_map(**definitions):
    builder = flexbuffers.Builder()
    with builder.Map():
        for key, text in definitions.items():
            builder.Key(key)
            builder._WriteBlob(text, append_zero=True, type_=flexbuffers.Type.STRING)
    return bytes(builder.Finish())


def render_vector(builder, offsets):
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def render_model(content, name=METADATA_NAME):
    """A .tflite with nothing but two buffers and a metadata entry that means the second one."""
    builder = flatbuffers.Builder(1024)
    data = builder.CreateByteVector(content)
    buffers = []
    for vector in (None, data):
        builder.StartObject(1)
        if vector is not None:
            builder.PrependUOffsetTRelativeSlot(0, vector, 0)
        buffers.append(builder.EndObject())
    text = builder.CreateString(name.decode())
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(0, text, 0)
    builder.PrependUint32Slot(1, 1, 0)
    entry = builder.EndObject()
    buffer_vector = render_vector(builder, buffers)
    metadata_vector = render_vector(builder, [entry])
    builder.StartObject(8)
    builder.PrependUOffsetTRelativeSlot(4, buffer_vector, 0)
    builder.PrependUOffsetTRelativeSlot(6, metadata_vector, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.fixture
def write(tmp_path):
    def write_model(content):
        path = tmp_path / "model.tflite"
        path.write_bytes(content)
        return path

    return write_model


def test_definitions_are_read(write):
    definition = render_definition()
    text = definition.SerializeToString()
    path = write(render_model(render_map(other=text, serving_default=text)))
    assert read_metadata_definitions(path) == {"other": definition, "serving_default": definition}


def test_file_without_the_entry_has_none(write, models):
    assert read_metadata_definitions(models / "half_plus_two/model.tflite") == {}
    assert read_metadata_definitions(write(render_model(b"x", b"min_runtime_version"))) == {}


@pytest.mark.parametrize("content", [render_map(a=b"\xff\xff"), b"", b"\x01"])
def test_entry_that_is_no_map_of_signatures_is_refused(write, content):
    with pytest.raises(LoadError, match="has signatures in its metadata that cannot be read"):
        read_metadata_definitions(write(render_model(content)))


def test_damaged_entries_are_refused_and_nothing_else_happens(write):
    text = render_definition().SerializeToString()
    sound = render_model(render_map(a=text, b=text))
    random = np.random.default_rng(0)
    for _ in range(500):
        damaged = bytearray(sound)
        for place in random.integers(0, len(sound), 3).tolist():
            damaged[place] = int(random.integers(256))
        with contextlib.suppress(LoadError):
            read_metadata_definitions(write(bytes(damaged)))
