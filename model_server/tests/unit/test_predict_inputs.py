import numpy as np
import pytest

from model_server._protos.tensorflow.core.framework import types_pb2
from model_server._protos.tensorflow.core.protobuf import meta_graph_pb2
from model_server.errors import InvalidArgumentError
from model_server.predict import check_inputs, fill_defaults
from model_server.signatures import Signature

ARRAY = np.zeros(1, np.float32)


def make_signature(*inputs, **defaults):
    definition = meta_graph_pb2.SignatureDef()
    for alias in inputs:
        definition.inputs[alias].name = f"feed_{alias}:0"
    for alias, value in defaults.items():
        definition.defaults[alias].dtype = types_pb2.DT_FLOAT
        definition.defaults[alias].float_val.append(value)
    return Signature("s", definition, "s", {alias: alias for alias in inputs}, {})


def arrays(*aliases):
    return dict.fromkeys(aliases, ARRAY)


def test_defaults_stand_for_what_was_not_sent():
    signature = make_signature("a", "b", b=2.5)
    check_inputs(signature, arrays("a"))
    filled = fill_defaults(signature, arrays("a"))
    assert set(filled) == {"a", "b"}
    assert (filled["b"].shape, float(filled["b"])) == ((), 2.5)
    assert fill_defaults(signature, arrays("a", "b"))["b"] is ARRAY


@pytest.mark.parametrize(
    ("signature", "sent", "message"),
    [
        (
            make_signature("a", "b"),
            ("a",),
            (
                "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}."
                " Missing but required: {b}."
            ),
        ),
        (
            make_signature("a"),
            ("a", "z"),
            (
                "input size does not match signature: 2!=1 len({a,z}) != len({a}). Sent extra: {z}. Missing but"
                " required: {}."
            ),
        ),
        (
            make_signature("a", "b", b=1.0),
            ("b",),
            (
                "Signature input alias: a(feed name: feed_a:0) not found in request and no default value provided."
                " Inputs expected to be in the request {b}, or default input alias set: b"
            ),
        ),
        (
            make_signature("a", "b", b=1.0),
            ("a", "z"),
            "Inputs contains invalid name. Used request inputs: a, request input: a,z",
        ),
    ],
)
def test_refusals_have_tensorflow_servings_texts(signature, sent, message):
    with pytest.raises(InvalidArgumentError) as error:
        check_inputs(signature, arrays(*sent))
    assert str(error.value) == message
