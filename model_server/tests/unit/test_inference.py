import numpy as np
import pytest

from model_server._protos.tensorflow.core.example import example_pb2
from model_server._protos.tensorflow.core.protobuf import meta_graph_pb2
from model_server._protos.tensorflow_serving.apis import classification_pb2, input_pb2, predict_pb2, regression_pb2
from model_server.errors import InternalError, InvalidArgumentError
from model_server.inference import Inference
from model_server.servable import Servable
from model_server.signatures import Signature

INPUT = input_pb2.Input(example_list=input_pb2.ExampleList(examples=[example_pb2.Example(), example_pb2.Example()]))
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def make_servable(outputs, method="tensorflow/serving/predict", inputs=("inputs",)):
    definition = meta_graph_pb2.SignatureDef(method_name=method)
    for alias in inputs:
        definition.inputs[alias].name = f"{alias}:0"
    for alias in outputs:
        definition.outputs[alias].name = f"{alias}:0"
    signature = Signature("serving_default", definition, "", {alias: alias for alias in inputs}, {})
    return Servable("m", 3, {"serving_default": signature}, None)


def answer(outputs):
    return lambda _signature, _inputs, _filter: outputs


def classify(servable, outputs=None, **settings):
    request = classification_pb2.ClassificationRequest(input=INPUT)
    return Inference(**settings).classify(servable, request, answer(outputs))


def regress(servable, outputs=None, **settings):
    return Inference(**settings).regress(servable, regression_pb2.RegressionRequest(input=INPUT), answer(outputs))


def labels(*rows):
    array = np.empty((len(rows), len(rows[0])), dtype=object)
    array[:] = rows
    return array


def test_labels_and_scores_stand_side_by_side():
    outputs = {"classes": labels([b"a", b"b"], [b"c", b"d"]), "scores": np.array([[1, 2], [3, 4]], np.float32)}
    response = classify(make_servable(outputs), outputs)
    assert [[(one.label, one.score) for one in item.classes] for item in response.result.classifications] == [
        [("a", 1.0), ("b", 2.0)],
        [("c", 3.0), ("d", 4.0)],
    ]
    assert (response.model_spec.version.value, response.model_spec.signature_name) == (3, "serving_default")


def test_labels_alone_are_enough():
    outputs = {"classes": labels([b"a"], [b"b"])}
    (first, _) = classify(make_servable(outputs), outputs).result.classifications
    assert [(one.label, one.score) for one in first.classes] == [("a", 0.0)]


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_regressions_are_a_row_or_a_column(shape):
    outputs = {"outputs": np.array([1.5, 2.5], np.float32).reshape(shape)}
    assert [one.value for one in regress(make_servable(outputs), outputs).result.regressions] == [1.5, 2.5]


F = np.float32


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"scores": np.zeros(2, F)}, "Expected Tensor shape: [batch_size num_classes] but got [2]"),
        ({"scores": np.zeros((2, 1), np.int32)}, "Expected scores Tensor of DT_FLOAT. Got: DT_INT32"),
        ({"scores": np.zeros((3, 1), F)}, "Expected scores output batch size of 2. Got: 3"),
        ({"classes": np.zeros((2, 1), F)}, "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
        (
            {"classes": labels([b"a"], [b"b"]), "scores": np.zeros((2, 2), F)},
            "Tensors class and score should match in dim_size(1). Got 1 vs. 2",
        ),
    ],
)
def test_outputs_that_classify_nothing_are_refused(outputs, message):
    with pytest.raises(InvalidArgumentError) as error:
        classify(make_servable(outputs), outputs)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros((2, 2), F),
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]",
        ),
        (np.zeros(3, F), "Input batch size did not match output batch size: 2 vs. 3"),
        (np.zeros(2, np.int64), "Expected output Tensor of DT_FLOAT.  Got: DT_INT64"),
    ],
)
def test_outputs_that_are_no_numbers_for_each_example_are_refused(array, message):
    with pytest.raises(InvalidArgumentError) as error:
        regress(make_servable(["outputs"]), {"outputs": array})
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("call", "servable", "message"),
    [
        (classify, make_servable(["scores"], inputs=("a", "b")), "Expected one input Tensor."),
        (classify, make_servable(["a", "b", "c"]), "Expected one or two output Tensors, found 3"),
        (regress, make_servable(["outputs"], inputs=("a", "b")), "Expected one input Tensor."),
        (regress, make_servable(["a", "b"]), "Expected one output Tensor."),
        (regress, make_servable(["outputs"], inputs=("x",)), "No regression inputs found in SignatureDef: inputs {"),
    ],
)
def test_signatures_of_another_form_are_refused(call, servable, message):
    with pytest.raises(InvalidArgumentError) as error:
        call(servable)
    assert str(error.value).startswith(message)


def test_method_names_count_only_when_they_are_checked():
    outputs = {"scores": np.zeros((2, 1), F)}
    assert classify(make_servable(outputs, CLASSIFY), outputs, check_methods=True).result.classifications
    with pytest.raises(InvalidArgumentError) as error:
        classify(make_servable(outputs), outputs, check_methods=True)
    assert str(error.value) == (
        "Expected classification signature method_name to be tensorflow/serving/classify. Was:"
        " tensorflow/serving/predict"
    )
    with pytest.raises(InvalidArgumentError, match=r"^Expected regression signature method_name to be "):
        regress(make_servable(["outputs"], CLASSIFY), check_methods=True)
    request = predict_pb2.PredictRequest()
    assert not Inference().predict(make_servable([], "x"), request, answer({})).outputs
    with pytest.raises(InternalError, match=r"^Expected prediction signature method_name to be one of {.*}. Was: x$"):
        Inference(check_methods=True).predict(make_servable([], "x"), request, answer({}))
