import json
import shutil

import numpy as np
import pytest

from model_server import dtypes
from model_server._protos.tensorflow.core.example import example_pb2
from model_server._protos.tensorflow.core.framework import types_pb2
from model_server._protos.tensorflow.core.protobuf import meta_graph_pb2
from model_server.engine import GraphSignature, Tensor
from model_server.errors import LoadError
from model_server.example_spec import ExampleSpec, Feature
from model_server.servable import EngineSettings, load_servable
from model_server.signatures import plan_signatures

SETTINGS = EngineSettings(interpreters=1, threads=1)


@pytest.fixture
def folder(models, tmp_path):
    return shutil.copytree(models / "examples", tmp_path / "1")


@pytest.fixture
def load(folder):
    loaded = []

    def load_folder(document=None):
        if document is not None:
            (folder / "assets.extra/example_spec.json").write_text(json.dumps(document))
        loaded.append(load_servable("m", 1, folder, SETTINGS))
        return loaded[-1]

    yield load_folder
    for servable in loaded:
        servable.engine.close()


def spec(method, **features):
    return {
        "method": method,
        "features": {name: {"dtype": dtype, "shape": shape} for name, (dtype, shape) in features.items()},
    }


X = ("DT_FLOAT", [2])


def test_clients_see_the_strings_of_the_saved_model(load):
    signatures = load().signatures
    for name in ("classify", "regress", "regress_two"):
        info = signatures[name].definition.inputs["inputs"]
        assert (info.dtype, [dim.size for dim in info.tensor_shape.dim]) == (types_pb2.DT_STRING, [-1])
    assert signatures["regress_two"].feature_tensors == {"x": "x", "n": "n"}
    assert signatures["serving_default"].features == {}


def test_labels_that_the_graph_cannot_make_are_not_promised(load):
    assert set(load().signatures["classify"].definition.outputs) == {"scores"}


def test_a_file_alone_gets_its_signatures_from_the_spec(folder, load):
    (folder / "saved_model.pb").unlink()
    document = {"classify": spec("classify", x=X), "regress": spec("regress", x=X)}
    signatures = load(document).signatures
    classify, regress = signatures["classify"].definition, signatures["regress"].definition
    assert (classify.method_name, set(classify.outputs)) == ("tensorflow/serving/classify", {"scores"})
    assert (regress.method_name, set(regress.outputs)) == ("tensorflow/serving/regress", {"outputs"})
    assert classify.inputs["inputs"].dtype == types_pb2.DT_STRING


def test_one_output_of_any_name_is_called_as_its_method_wants(models, load, folder):
    shutil.copyfile(models / "half_plus_two/model.tflite", folder / "model.tflite")
    (folder / "saved_model.pb").unlink()
    servable = load({"serving_default": spec("regress", number=("DT_FLOAT", [1]))})
    signature = servable.signatures["serving_default"]
    assert (signature.outputs, signature.feature_tensors) == ({"outputs": "y"}, {"number": "x"})
    strings = np.empty(1, dtype=object)
    strings[0] = render(number=[4.0])
    np.testing.assert_array_equal(servable.run(signature, {"inputs": strings})["outputs"], [[4.0]])


def render(**floats):
    example = example_pb2.Example()
    for name, values in floats.items():
        example.features.feature[name].float_list.value.extend(values)
    return example.SerializeToString()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"y": X, "n": ("DT_INT64", [])}, "The feature y of the signature regress_two feeds no input of model.tflite"),
        (
            {"x": ("DT_INT64", [2]), "n": ("DT_INT64", [])},
            "The feature x of .* is DT_INT64, but model.tflite takes float",
        ),
        ({"x": X}, r"The features \{x\} of the signature regress_two do not feed every input of model.tflite: it has"),
    ],
)
def test_features_that_do_not_fit_the_graph_are_refused(load, features, message):
    with pytest.raises(LoadError, match=message):
        load({"regress_two": spec("regress", **features)})


FLOATS = np.dtype(np.float32)
SPEC = ExampleSpec("tensorflow/serving/regress", {"x": Feature(dtypes.BY_NUMBER[types_pb2.DT_FLOAT], (1,))})


def example_definition(output):
    definition = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/regress")
    definition.inputs["inputs"].name = "tf_example:0"
    definition.inputs["inputs"].dtype = types_pb2.DT_STRING
    definition.outputs["outputs"].name = output
    definition.outputs["outputs"].dtype = types_pb2.DT_FLOAT
    return definition


def one_graph(output):
    x = Tensor("serving_default_x:0", FLOATS, (-1, 1))
    return {"serving_default": GraphSignature({"x": x}, {"y": Tensor(output, FLOATS, (-1, 1))})}


@pytest.mark.parametrize(
    ("output", "tensor_name"),
    [("y:0", "y"), ("StatefulPartitionedCall_3:0", "StatefulPartitionedCall:0"), ("StatefulPartitionedCall_3:0", "y")],
)
def test_signatures_of_examples_share_the_one_graph(output, tensor_name):
    definitions = {"regress_x_to_y": example_definition(output), "regress_x_to_y2": example_definition("y2:0")}
    bound = plan_signatures(definitions, one_graph(tensor_name), {"regress_x_to_y": SPEC})
    assert bound.keys() == {"regress_x_to_y"}
    assert bound["regress_x_to_y"].outputs == {"outputs": "y"}
    assert bound["regress_x_to_y"].feature_tensors == {"x": "x"}


def test_another_named_output_is_not_answered_with_the_only_one():
    definitions = {"regress_x_to_y": example_definition("y:0"), "regress_x_to_y2": example_definition("y2:0")}
    specs = {"regress_x_to_y": SPEC, "regress_x_to_y2": SPEC}
    assert plan_signatures(definitions, one_graph("y"), specs).keys() == {"regress_x_to_y"}


def test_features_choose_among_several_graphs():
    graph = {
        "a": GraphSignature({"z": Tensor("z", FLOATS, (-1, 1))}, {"y": Tensor("y", FLOATS, (-1, 1))}),
        "b": one_graph("y:0")["serving_default"],
    }
    bound = plan_signatures(
        {"r": example_definition("y:0"), "s": example_definition("q")}, graph, {"r": SPEC, "s": SPEC}
    )
    assert {name: signature.graph_key for name, signature in bound.items()} == {"r": "b"}
