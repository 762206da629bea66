"""REST's JSON bodies <-> ndarrays. Pure; the texts of refusals are TensorFlow Serving's, since clients match them."""

import base64
import binascii
import itertools
import json
import re
from array import array as array_of_numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_server.dtypes import BY_NUMPY, Dtype
from model_server.errors import InvalidArgumentError, UnimplementedError
from model_server.json_numbers import cut_blocks, format_rows, format_tensor
from model_server.signatures import Signature
from model_server.wire_grpc import LARGEST_RANK

Array = NDArray[np.generic]

_DECODER = json.JSONDecoder()
# A string that does not end goes to the end of the text: looked for from each of its quotes, it would take minutes.
_STRING_OR_INF = re.compile(r'"(?:[^"\\]|\\.)*+"?|\bInf\b', re.DOTALL)
LONGEST_QUOTED_VALUE = 256
# The largest integers that the float types still tell from their neighbours.
_LARGEST_WHOLE = {"float16": 2**11 - 1, "float32": 2**24 - 1, "float64": 2**53 - 1}
_INTEGER_RANGE = {"int64": (-(2**63), 2**63 - 1), "uint32": (0, 2**32 - 1), "uint64": (0, 2**64 - 1)}
# The smaller integers share a 32-bit field on the wire, so that is what they are checked against.
_INT32_RANGE = (-(2**31), 2**31 - 1)
_JSON_TYPES: dict[type, str] = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}


@dataclass(frozen=True)
class RequestBody:
    """A parsed request."""

    document: dict[str, Any]
    signature_name: str


def parse_body(body: bytes) -> RequestBody:
    """The body's first JSON value, which must be an object; what follows it is ignored.

    Raises:
        InvalidArgumentError: It is no JSON object, or its signature_name is no string.
    """
    if not body:
        raise InvalidArgumentError("JSON Parse error: The document is empty")
    try:
        text = body.decode("utf-8").lstrip()
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"JSON Parse error: {error.reason} at offset: {error.start}") from error
    if not text:
        raise InvalidArgumentError("JSON Parse error: The document is empty")
    document = _decode(text)
    if not isinstance(document, dict):
        raise InvalidArgumentError(f"JSON Value: {quote_value(document)} Is not object")
    signature_name = document.get("signature_name", "")
    if not isinstance(signature_name, str):
        raise InvalidArgumentError(
            f"JSON Value: {quote_value(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return RequestBody(document, signature_name)


def _decode(text: str) -> Any:
    try:
        return _DECODER.raw_decode(text)[0]
    except (ValueError, RecursionError) as error:
        # The decoder knows NaN, Infinity and -Infinity; TensorFlow Serving also takes Inf.
        if isinstance(error, json.JSONDecodeError) and "Inf" in text:
            spelled_out = _STRING_OR_INF.sub(lambda m: "Infinity" if m[0] == "Inf" else m[0], text)
            if spelled_out != text:
                return _decode(spelled_out)
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "The value is nested too deeply or too long."
        position = error.pos if isinstance(error, json.JSONDecodeError) else 0
        raise InvalidArgumentError(f"JSON Parse error: {reason} at offset: {position}") from error


def parse_inputs(body: RequestBody, signature: Signature) -> tuple[dict[str, Array], bool]:
    """The arrays by input name, and whether the request was in row format.

    Raises:
        InvalidArgumentError: The body has neither or both formats, or a value of the wrong type or shape.
    """
    dtypes = {alias: signature.input_dtype(alias) for alias in signature.inputs}
    document = body.document
    if "instances" in document and "inputs" in document:
        raise InvalidArgumentError(
            f"JSON Value: {quote_value(document)} Not formatted correctly expecting only one of 'inputs' or 'instances'"
            " keys to exist "
        )
    if "instances" in document:
        return _parse_rows(document["instances"], dtypes, document), True
    if "inputs" in document:
        return _parse_columns(document["inputs"], dtypes), False
    raise InvalidArgumentError("Missing 'inputs' or 'instances' key")


def _parse_rows(rows: Any, dtypes: dict[str, Dtype], document: Any) -> dict[str, Array]:
    if not isinstance(rows, list):
        raise InvalidArgumentError(f"JSON Value: {quote_value(document)} Excepting 'instances' to be an list/array")
    if not rows:
        raise InvalidArgumentError(f"JSON Value: {quote_value(document)} No values in 'instances' array")
    if not _is_named(rows[0]):
        if len(dtypes) > 1:
            raise InvalidArgumentError(
                "instances is a plain list, but expecting list of objects as multiple input tensors required as per"
                " tensorinfo_map"
            )
        for item, row in enumerate(rows):
            if _is_named(row):
                raise InvalidArgumentError(f"Expecting value/list but got object at item {item} of input list")
        ((name, dtype),) = dtypes.items()
        return {name: _parse_row_column(rows, dtype, "")}
    for item, row in enumerate(rows):
        if not _is_named(row):
            raise InvalidArgumentError(f"Expecting object but got list at item {item} of input list")
        if row.keys() != dtypes.keys():
            raise InvalidArgumentError(
                f"Failed to process element: {item} of 'instances' list. JSON object: {quote_value(row)} keys must be"
                f" equal to: {','.join(sorted(dtypes))}"
            )
    return {
        name: _parse_row_column([row[name] for row in rows], dtype, f" key: {name}") for name, dtype in dtypes.items()
    }


def _parse_row_column(values: list[Any], dtype: Dtype, key: str) -> Array:
    """One input of all rows: (rows, ...). Only when that fails are the rows looked at one by one, for the text."""
    array = _convert_at_once(values, dtype)
    if array is not None:
        return array
    parsed: list[Array] = []
    for item, value in enumerate(values):
        try:
            array = parse_value(value, dtype)
            _check_same_shape(parsed[0] if parsed else array, array)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(
                f"Failed to process element: {item}{key} of 'instances' list. Error: INVALID_ARGUMENT: {error}"
            ) from error
        parsed.append(array)
    _check_rank(parsed[0].ndim + 1)
    return np.stack(parsed)


def _check_same_shape(first: Array, array: Array) -> None:
    if first.size != array.size:
        raise InvalidArgumentError(f"Expecting tensor size: {first.size} but got: {array.size}")
    if first.shape != array.shape:
        shapes = [str(list(shape)).replace(" ", "") for shape in (first.shape, array.shape)]
        raise InvalidArgumentError(f"Expecting shape {shapes[0]} but got: {shapes[1]}")


def _parse_columns(value: Any, dtypes: dict[str, Dtype]) -> dict[str, Array]:
    if not _is_named(value):
        if len(dtypes) > 1:
            raise InvalidArgumentError(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per"
                " tensorinfo_map"
            )
        return {name: parse_value(value, dtype) for name, dtype in dtypes.items()}
    for name in sorted(dtypes):
        if name not in value:
            raise InvalidArgumentError(f"Missing named input: {name} in 'inputs' object.")
    return {name: parse_value(value[name], dtype) for name, dtype in dtypes.items()}


def parse_value(value: Any, dtype: Dtype) -> Array:
    """A JSON value or nested list as an array of the dtype.

    Raises:
        InvalidArgumentError: A value is of another type, or the lists are ragged.
    """
    array = _convert_at_once(value, dtype)
    return _convert_one_by_one(value, dtype) if array is None else array


def _convert_at_once(value: Any, dtype: Dtype) -> Array | None:
    """The array where nothing can be wrong with any value; None where each must be looked at."""
    if dtype.numpy.kind not in "fiu":
        return None
    flattened = _flatten(value)
    if flattened is None:
        return None
    values, shape = flattened
    # Exactly these types: to numpy, true would be a number as well.
    types = set(map(type, values))
    try:
        if dtype.numpy.kind == "f" and types <= {int, float}:
            array = _to_float(np.frombuffer(array_of_numbers("d", values)), dtype, has_integers=int in types)
        elif dtype.numpy.kind in "iu" and types <= {int}:
            array = _to_integer(np.frombuffer(array_of_numbers("q", values), dtype=np.int64), dtype)
        else:
            return None
    except OverflowError:
        return None
    return None if array is None else array.reshape(shape)


def _flatten(value: Any) -> tuple[list[Any], tuple[int, ...]] | None:
    """All values in order and the lists' shape; None for ragged lists. Level by level, which is faster than numpy."""
    values, shape = [value], []
    while values and type(values[0]) is list:
        if set(map(type, values)) != {list} or len(set(map(len, values))) > 1:
            return None
        shape.append(len(values[0]))
        _check_rank(len(shape))
        values = list(itertools.chain.from_iterable(values))
    return values, tuple(shape)


def _to_float(values: NDArray[np.float64], dtype: Dtype, *, has_integers: bool) -> Array | None:
    if has_integers and np.abs(values).max(initial=0.0) > _LARGEST_WHOLE[dtype.numpy.name]:
        return None
    with np.errstate(over="ignore"):
        converted = values.astype(dtype.numpy)
    return converted if np.array_equal(np.isinf(converted), np.isinf(values)) else None


def _to_integer(values: NDArray[np.int64], dtype: Dtype) -> Array | None:
    smallest, largest = _INTEGER_RANGE.get(dtype.numpy.name, _INT32_RANGE)
    if values.size and (int(values.min()) < smallest or int(values.max()) > largest):
        return None
    return values.astype(dtype.numpy)


def _convert_one_by_one(value: Any, dtype: Dtype) -> Array:
    shape = _first_shape(value)
    values: list[Any] = []
    _collect(value, dtype, shape, 0, values)
    array: Array = np.empty(len(values), dtype=dtype.numpy)
    for position, item in enumerate(values):
        # What the small integer types do not hold wraps, as in TensorFlow Serving.
        array[position] = np.array(item).astype(dtype.numpy) if dtype.numpy.kind in "iu" else item
    return array.reshape(shape)


def _first_shape(value: Any) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        _check_rank(len(shape))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _check_rank(rank: int) -> None:
    if rank > LARGEST_RANK:
        raise InvalidArgumentError(f"JSON Value: lists are nested more than {LARGEST_RANK} deep.")


def _collect(value: Any, dtype: Dtype, shape: tuple[int, ...], level: int, values: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise InvalidArgumentError(
                f"JSON Value: {quote_value(value)} found at incorrect level: {level + 1} in the JSON DOM."
                f" Expected at level: {len(shape)}"
            )
        values.append(_convert_scalar(value, dtype))
        return
    if level >= len(shape):
        raise InvalidArgumentError(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise InvalidArgumentError(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _collect(item, dtype, shape, level + 1, values)


def _convert_scalar(value: Any, dtype: Dtype) -> Any:
    kind = dtype.numpy.kind
    if kind == "c":
        raise UnimplementedError(f"Conversion of JSON Value: {quote_value(value)} to type: {dtype.short_name}")
    if kind == "O" and isinstance(value, dict):
        return decode_base64(value)
    if kind == "O" and isinstance(value, str):
        return value.encode("utf-8", errors="surrogatepass")
    if kind == "b" and isinstance(value, bool):
        return value
    if kind == "f" and isinstance(value, int | float) and not isinstance(value, bool):
        return _check_float(value, dtype)
    if kind in "iu" and isinstance(value, int) and not isinstance(value, bool):
        smallest, largest = _INTEGER_RANGE.get(dtype.numpy.name, _INT32_RANGE)
        if smallest <= value <= largest:
            return value
    raise InvalidArgumentError(
        f"JSON Value: {quote_value(value)} Type: {format_json_type(value)} is not of expected type: {dtype.short_name}"
    )


def _check_float(value: float, dtype: Dtype) -> float:
    too_long = isinstance(value, int) and abs(value) > _LARGEST_WHOLE[dtype.numpy.name]
    limits = np.finfo(np.dtype(dtype.numpy.name).type)
    too_large = not too_long and np.isfinite(value) and abs(value) > float(limits.max)
    if too_long or too_large:
        raise InvalidArgumentError(
            f"Cannot convert JSON value: {quote_value(value)} to {dtype.short_name} without loss of precision."
        )
    return float(value)


def decode_base64(value: dict[str, Any]) -> bytes:
    """The bytes of a {"b64": "..."} object.

    Raises:
        InvalidArgumentError: It is another object, or no base64.
    """
    if not is_base64(value):
        raise InvalidArgumentError(f"JSON Value: {quote_value(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgumentError("Unable to base64 decode") from error


def is_base64(value: Any) -> bool:
    """Whether the value is an object with the one key b64, which holds a string."""
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def format_json_type(value: Any) -> str:
    """The value's JSON type in error texts."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    return _JSON_TYPES[type(value)]


def quote_value(value: Any) -> str:
    """The value as JSON in error texts, cut where it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        # What was just deep enough to be read, from fewer calls than these.
        return "..."
    return text if len(text) <= LONGEST_QUOTED_VALUE else text[:LONGEST_QUOTED_VALUE] + "..."


def format_outputs(outputs: dict[str, Array], *, row_format: bool) -> str:
    """The answer's body: {"predictions": [...]} for rows, {"outputs": ...} for columns.

    Raises:
        InvalidArgumentError: Rows are asked for, and the outputs have no common first dimension; or there are complex
            numbers, which JSON does not have.
    """
    for array in outputs.values():
        if array.dtype.kind == "c":
            raise InvalidArgumentError(
                f"Failed to write JSON value for tensor type: {BY_NUMPY[array.dtype].short_name}"
            )
    if not row_format:
        columns = {name: format_tensor(array, as_bytes=_is_bytes(name)) for name, array in outputs.items()}
        return f'{{\n    "outputs": {_format_object_or_value(columns)}\n}}'
    _check_rows(outputs)
    blocks = cut_blocks(list(outputs.values()))
    texts = [", ".join(_format_rows(dict(zip(outputs, block, strict=True)))) for block in blocks]
    return f'{{\n    "predictions": [{", ".join(texts)}]\n}}'


def _format_rows(outputs: dict[str, Array]) -> list[str]:
    columns = [format_rows(array, as_bytes=_is_bytes(name)) for name, array in outputs.items()]
    return [_format_object_or_value(dict(zip(outputs, row, strict=True))) for row in zip(*columns, strict=True)]


def _is_bytes(name: str) -> bool:
    return name.endswith("_bytes")


def _format_object_or_value(values: dict[str, str]) -> str:
    if len(values) == 1:
        return next(iter(values.values()))
    members = ",\n".join(f"        {json.dumps(name)}: {value}" for name, value in values.items())
    return f"{{\n{members}\n    }}"


def _check_rows(outputs: dict[str, Array]) -> None:
    rows = -1
    for name, array in outputs.items():
        if array.ndim == 0:
            raise InvalidArgumentError(f"Tensor name: {name} has no shape information ")
        if rows >= 0 and array.shape[0] != rows:
            raise InvalidArgumentError(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} expecting: {rows}"
            )
        rows = int(array.shape[0])


def format_error(message: str) -> str:
    """An error's body."""
    return f'{{\n    "error": {json.dumps(message)}\n}}'
