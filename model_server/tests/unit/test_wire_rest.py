import gzip
import json
import time

import numpy as np
import pytest

from model_server._protos.tensorflow.core.framework import types_pb2
from model_server._protos.tensorflow.core.protobuf import meta_graph_pb2
from model_server.errors import InvalidArgumentError, UnimplementedError
from model_server.rest_routes import inflate, state_inflated_bytes
from model_server.signatures import Signature
from model_server.wire_rest import format_error, format_outputs, parse_body, parse_inputs


def signature(**dtypes):
    definition = meta_graph_pb2.SignatureDef()
    for name, dtype in dtypes.items():
        definition.inputs[name].dtype = getattr(types_pb2, f"DT_{dtype}")
    return Signature("s", definition, "s", {name: name for name in dtypes}, {})


ONE = signature(x="FLOAT")
TWO = signature(a="FLOAT", n="INT32")


def parse(text, served=ONE):
    arrays, _ = parse_inputs(parse_body(text.encode()), served)
    return arrays


def refusal(text, served=ONE):
    with pytest.raises(InvalidArgumentError) as error:
        parse(text, served)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ('{"instances": [1, 2.5]}', (2,)),
        ('{"instances": [[1], [2]]}', (2, 1)),
        ('{"instances": [{"x": 1}, {"x": 2}]}', (2,)),
        ('{"inputs": 1}', ()),
        ('{"inputs": [[1, 2, 3]]}', (1, 3)),
        ('{"inputs": {"x": [1], "extra": "ignored"}}', (1,)),
        ('{"instances": [[], []]}', (2, 0)),
        ('  {"instances": [1]} trailing junk', (1,)),
    ],
)
def test_shapes_are_those_of_the_lists(text, shape):
    (array,) = parse(text).values()
    assert array.dtype == np.float32
    assert array.shape == shape


def test_row_format_is_told_from_columns():
    assert parse_inputs(parse_body(b'{"instances": [1]}'), ONE)[1] is True
    assert parse_inputs(parse_body(b'{"inputs": [1]}'), ONE)[1] is False


def test_several_inputs_come_as_objects():
    arrays = parse('{"instances": [{"a": [1, 2], "n": 3}, {"n": 4, "a": [5, 6]}]}', TWO)
    assert arrays["a"].tolist() == [[1, 2], [5, 6]]
    assert arrays["n"].tolist() == [3, 4]
    assert arrays["n"].dtype == np.int32


@pytest.mark.parametrize(
    ("token", "check"),
    [
        ("NaN", np.isnan),
        ("Infinity", np.isposinf),
        ("-Infinity", np.isneginf),
        ("Inf", np.isposinf),
        ("-Inf", np.isneginf),
    ],
)
def test_tokens_that_are_no_json_are_floats(token, check):
    assert check(parse(f'{{"instances": [{token}]}}')["x"][0])


def test_a_string_that_never_ends_is_refused_in_no_time():
    begun = time.perf_counter()
    with pytest.raises(InvalidArgumentError, match="JSON Parse error"):
        parse_body(b'{"Inf' + b'\\"' * 60_000)
    assert time.perf_counter() - begun < 5.0


def test_inf_inside_a_string_stays():
    body = parse_body(b'{"signature_name": "Inf \\" Inf", "instances": [Inf]}')
    assert body.signature_name == 'Inf " Inf'


@pytest.mark.parametrize(
    ("dtype", "text", "value"),
    [
        ("INT64", "9223372036854775807", 2**63 - 1),
        ("UINT64", "18446744073709551615", 2**64 - 1),
        ("UINT8", "300", 44),
        ("INT8", "-129", 127),
        ("BOOL", "true", True),
        ("DOUBLE", "1e300", 1e300),
        ("FLOAT", "16777215", 2**24 - 1),
    ],
)
def test_values_that_fit_are_taken(dtype, text, value):
    assert parse(f'{{"instances": [{text}]}}', signature(x=dtype))["x"].tolist() == [value]


def test_strings_are_text_or_base64():
    arrays = parse('{"instances": ["ä", {"b64": "/wA="}]}', signature(x="STRING"))
    assert arrays["x"].tolist() == ["ä".encode(), b"\xff\x00"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "JSON Parse error: The document is empty"),
        ("  ", "JSON Parse error: The document is empty"),
        ('{"instances": [1', "JSON Parse error: "),
        ("[" * 100_000, "JSON Parse error: "),
        ("[1]", "JSON Value: [1] Is not object"),
        ("{}", "Missing 'inputs' or 'instances' key"),
        ('{"instances": []}', "No values in 'instances' array"),
        ('{"instances": 1}', "Excepting 'instances' to be an list/array"),
        ('{"instances": [1], "inputs": 1}', "expecting only one of 'inputs' or 'instances' keys to exist"),
        ('{"instances": [1], "signature_name": 1}', "'signature_name' key must be a string value."),
        (
            '{"instances": [[1], [2, 3]]}',
            "element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 1 but got: 2",
        ),
        ('{"instances": [[[1, 2]], [[1], [2]]]}', "Error: INVALID_ARGUMENT: Expecting shape [1,2] but got: [2,1]"),
        ('{"instances": [1, {"x": 1}]}', "Expecting value/list but got object at item 1 of input list"),
        ('{"instances": [{"x": 1}, 1]}', "Expecting object but got list at item 1 of input list"),
        ('{"instances": [{"y": 1}]}', 'JSON object: {"y": 1} keys must be equal to: x'),
        ('{"instances": ["1"]}', 'JSON Value: "1" Type: String is not of expected type: float'),
        ('{"instances": [true, 2.0]}', "JSON Value: true Type: True is not of expected type: float"),
        ('{"instances": [null]}', "JSON Value: null Type: Null is not of expected type: float"),
        ('{"instances": [16777217]}', "Cannot convert JSON value: 16777217 to float without loss of precision."),
        ('{"instances": [1e39]}', "Cannot convert JSON value: 1e+39 to float without loss of precision."),
        ('{"inputs": [[1], 2]}', "found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ('{"inputs": [1, [2]]}', "Encountered list at unexpected level: 1 expected < 1"),
        ('{"inputs": [[1], [2, 3]]}', "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
        ('{"inputs": {"y": 1}}', "Missing named input: x in 'inputs' object."),
    ],
)
def test_refusals_have_tensorflow_servings_texts(text, message):
    assert message in refusal(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"instances": [1]}', "instances is a plain list, but expecting list of objects"),
        ('{"inputs": [1]}', "inputs is a plain value/list, but expecting an object"),
        ('{"instances": [{"a": 1, "n": 1.5}]}', "JSON Value: 1.5 Type: Number is not of expected type: int32"),
        (
            '{"instances": [{"a": 1, "n": 3000000000}]}',
            "JSON Value: 3000000000 Type: Number is not of expected type: int32",
        ),
        (
            '{"instances": [{"a": 1, "n": 1}, {"a": 1}]}',
            "Failed to process element: 1 of 'instances' list. JSON object: {\"a\": 1} keys",
        ),
    ],
)
def test_refusals_of_several_inputs(text, message):
    assert message in refusal(text, TWO)


@pytest.mark.parametrize("leaf", ["1", "1.5", '"a"', "{}", '{"b64": "YQ=="}', ""])
@pytest.mark.parametrize("kind", ["FLOAT", "STRING", "INT32"])
@pytest.mark.parametrize("format_", ["instances", "inputs"])
def test_lists_that_are_nested_too_deeply_are_refused(leaf, kind, format_):
    for depth in (34, 65, 200, 900):
        text = f'{{"{format_}": {"[" * depth}{leaf}{"]" * depth}}}'
        with pytest.raises(InvalidArgumentError, match="lists are nested more than 32 deep"):
            parse(text, signature(x=kind))


def test_rows_count_as_a_dimension():
    row = "[" * 31 + '"a"' + "]" * 31
    assert parse(f'{{"instances": [{row}, {row}]}}', signature(x="STRING"))["x"].shape == (2, *[1] * 31)
    with pytest.raises(InvalidArgumentError, match="lists are nested more than 32 deep"):
        parse(f'{{"instances": [[{row}], [{row}]]}}', signature(x="STRING"))


def test_objects_that_are_nested_deeply_are_refused_in_their_place():
    for depth in (100, 900, 980):
        text = '{"inputs": [' + '{"a": ' * depth + "1" + "}" * depth + "]}"
        with pytest.raises(InvalidArgumentError):
            parse(text, signature(x="STRING"))


def test_bad_base64_is_refused():
    assert "Unable to base64 decode" in refusal('{"instances": [{"b64": "?"}]}', signature(x="STRING"))
    assert "is not of expected type: string" in refusal('{"instances": [1]}', signature(x="STRING"))


def test_text_that_is_not_utf_8_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"JSON Parse error: .* at offset: 1"):
        parse_body(b"{\xff}")


def test_long_values_are_cut_in_messages():
    assert len(refusal('{"instances": ["' + "a" * 10_000 + '"]}')) < 500


def test_rows_of_one_output_are_values():
    text = format_outputs({"y": np.array([[2.5], [3.0]], np.float32)}, row_format=True)
    assert text == '{\n    "predictions": [[2.5], [3.0]]\n}'


def test_rows_of_several_outputs_are_objects():
    outputs = {"a": np.array([1, 2], np.int32), "b_bytes": np.array([b"x", b"y"], dtype=object)}
    predictions = json.loads(format_outputs(outputs, row_format=True))["predictions"]
    assert predictions == [{"a": 1, "b_bytes": {"b64": "eA=="}}, {"a": 2, "b_bytes": {"b64": "eQ=="}}]


def test_columns_are_a_value_or_an_object():
    one = np.array(2.0, np.float32)
    assert json.loads(format_outputs({"y": one}, row_format=False)) == {"outputs": 2.0}
    two = format_outputs({"y": one, "z": np.array([True])}, row_format=False)
    assert json.loads(two) == {"outputs": {"y": 2.0, "z": [True]}}


def test_rows_need_a_common_first_dimension():
    with pytest.raises(InvalidArgumentError, match="Tensor name: y has no shape information"):
        format_outputs({"y": np.array(1.0, np.float32)}, row_format=True)
    with pytest.raises(InvalidArgumentError, match="Tensor name: z has inconsistent batch size: 2 expecting: 1"):
        format_outputs({"y": np.zeros(1, np.float32), "z": np.zeros(2, np.float32)}, row_format=True)


def test_complex_numbers_have_no_json():
    with pytest.raises(UnimplementedError, match=r"^Conversion of JSON Value: 1 to type: complex64$"):
        parse('{"inputs": 1}', signature(c="COMPLEX64"))
    with pytest.raises(InvalidArgumentError, match=r"^Failed to write JSON value for tensor type: complex64$"):
        format_outputs({"c": np.ones(1, np.complex64)}, row_format=False)


def test_error_body_is_json():
    assert json.loads(format_error('a "quoted" text')) == {"error": 'a "quoted" text'}


def test_what_is_no_gzip_is_refused():
    with pytest.raises(InvalidArgumentError, match="Failed to uncompress request body"):
        inflate(b"plain")


def test_gzip_that_holds_more_than_it_says_is_refused_where_it_is_large():
    honest = gzip.compress(b"1" * 3_000_000)
    assert inflate(honest) == b"1" * 3_000_000
    assert state_inflated_bytes(honest) == 3_000_000
    liar = honest + b"\0\0\0\0"
    assert state_inflated_bytes(liar) == 0
    with pytest.raises(InvalidArgumentError, match="Failed to uncompress request body"):
        inflate(liar)
    assert inflate(gzip.compress(b"1") + b"\0\0\0\0") == b"1"
    assert state_inflated_bytes(b"\xff" * 100) == 103_200
