import numpy as np
import pytest

from model_server._protos.tensorflow.core.framework import types_pb2
from model_server._protos.tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from model_server.engine import GraphSignature, Tensor
from model_server.errors import LoadError
from model_server.signatures import plan_signatures, read_definitions

SERVE = frozenset({"serve"})


def tensor(name, dtype="float32", shape=(-1, 1)):
    return Tensor(name, np.dtype(dtype), shape)


def definition(inputs, outputs):
    made = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    for infos, names in ((made.inputs, inputs), (made.outputs, outputs)):
        for alias, name in names.items():
            infos[alias].name = name
            infos[alias].dtype = types_pb2.DT_FLOAT
    return made


def test_definitions_are_read_without_tensorflow(models):
    found = read_definitions(models / "two_by_two/saved_model.pb", SERVE)
    served = found["serving_default"]
    assert {alias: info.dtype for alias, info in served.inputs.items()} == {
        "a": types_pb2.DT_FLOAT,
        "b": types_pb2.DT_FLOAT,
        "n": types_pb2.DT_INT32,
    }
    assert [dim.size for dim in served.inputs["a"].tensor_shape.dim] == [-1, 2]


def test_no_saved_model_means_no_definitions(tmp_path):
    assert read_definitions(tmp_path / "saved_model.pb", SERVE) == {}


def test_other_tags_are_refused(models):
    with pytest.raises(LoadError, match=r"no meta graph with the tags \{gpu,serve\}"):
        read_definitions(models / "two_by_two/saved_model.pb", frozenset({"serve", "gpu"}))


def test_what_is_no_saved_model_is_refused(tmp_path):
    file = tmp_path / "saved_model.pb"
    file.write_bytes(b"\xff\xff")
    with pytest.raises(LoadError, match="is not a SavedModel"):
        read_definitions(file, SERVE)
    file.write_bytes(saved_model_pb2.SavedModel().SerializeToString())
    with pytest.raises(LoadError, match="no meta graph"):
        read_definitions(file, SERVE)


def test_same_key_and_names_bind():
    graph = {"a": GraphSignature({"x": tensor("a_x:0")}, {"y": tensor("Call:0")}), "b": GraphSignature({}, {})}
    bound = plan_signatures({"a": definition({"x": "anything"}, {"y": "anything"})}, graph)
    assert (bound["a"].graph_key, bound["a"].inputs, bound["a"].outputs) == ("a", {"x": "x"}, {"y": "y"})


def test_tensor_names_bind_under_the_only_key():
    graph = {
        "other": GraphSignature(
            {"serving_default_p": tensor("serving_default_p:0"), "serving_default_q": tensor("serving_default_q")},
            {"out": tensor("Call:0")},
        )
    }
    served = definition({"q": "serving_default_q:0", "p": "serving_default_p:0"}, {"y": "whatever"})
    bound = plan_signatures({"serving_default": served}, graph)["serving_default"]
    assert bound.graph_key == "other"
    assert bound.inputs == {"q": "serving_default_q", "p": "serving_default_p"}
    assert bound.outputs == {"y": "out"}


def test_the_files_dtype_is_the_served_one():
    graph = {"s": GraphSignature({"x": tensor("x", "int8")}, {"y": tensor("y")})}
    bound = plan_signatures({"s": definition({"x": "x:0"}, {"y": "y:0"})}, graph)["s"]
    assert bound.definition.inputs["x"].dtype == types_pb2.DT_INT8
    assert bound.input_dtype("x").numpy == np.int8


def test_definitions_that_match_nothing_are_refused():
    graph = {"s": GraphSignature({"x": tensor("x"), "z": tensor("z")}, {"y": tensor("y")})}
    with pytest.raises(LoadError, match=r"\{t\} of saved_model.pb match none of model.tflite's \{s\}"):
        plan_signatures({"t": definition({"p": "p", "q": "q"}, {"y": "y"})}, graph)


def test_one_definition_that_matches_nothing_is_left_out():
    graph = {"s": GraphSignature({"x": tensor("x")}, {"y": tensor("y")})}
    definitions = {"s": definition({"x": "x"}, {"y": "y"}), "init": definition({}, {"done": "NoOp"})}
    assert list(plan_signatures(definitions, graph)) == ["s"]


def test_another_output_of_the_same_saved_model_is_not_taken_for_the_only_one():
    graph = {"serving_default": GraphSignature({"x": tensor("x")}, {"y": tensor("y")})}
    definitions = {
        "serving_default": definition({"x": "x:0"}, {"y": "y:0"}),
        "same": definition({"inputs": "x:0"}, {"outputs": "y:0"}),
        "other_output": definition({"inputs": "x:0"}, {"outputs": "y2:0"}),
        "other_input": definition({"inputs": "x2:0"}, {"outputs": "y:0"}),
    }
    bound = plan_signatures(definitions, graph)
    assert sorted(bound) == ["same", "serving_default"]
    assert (bound["same"].inputs, bound["same"].outputs) == ({"inputs": "x"}, {"outputs": "y"})


def test_strings_are_not_bound_to_numbers():
    graph = {"s": GraphSignature({"x": tensor("x")}, {"y": tensor("y")})}
    served = definition({"x": "x:0"}, {"y": "y:0"})
    served.inputs["x"].dtype = types_pb2.DT_STRING
    with pytest.raises(LoadError, match="match none"):
        plan_signatures({"s": served}, graph)


def test_without_definitions_the_file_speaks():
    graph = {"serving_default": GraphSignature({"x": tensor("x:0", shape=(-1, 2))}, {"y": tensor("y", "int32")})}
    served = plan_signatures({}, graph)["serving_default"].definition
    assert served.method_name == "tensorflow/serving/predict"
    assert served.inputs["x"].name == "x:0"
    assert [dim.size for dim in served.inputs["x"].tensor_shape.dim] == [-1, 2]
    assert served.outputs["y"].dtype == types_pb2.DT_INT32


def test_dtype_that_cannot_cross_the_wire_is_refused():
    with pytest.raises(LoadError, match="tensor x has dtype complex128"):
        plan_signatures({}, {"s": GraphSignature({"x": tensor("x", "complex128")}, {})})
