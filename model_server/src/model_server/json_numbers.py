"""Arrays as JSON text, number by number as TensorFlow Serving prints them. Pure."""

import base64
import json
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

# So many numbers have texts of their own at once: each takes six times what it adds to the answer.
BLOCK_VALUES = 16_384

# Digits that always survive a decimal round trip, and digits that always restore the binary value.
_FORMATS = {
    np.dtype(np.float16): ("%.3g", "%.5g"),
    np.dtype(np.float32): ("%.6g", "%.9g"),
    np.dtype(np.float64): ("%.15g", "%.17g"),
}


def format_tensor(array: Array, *, as_bytes: bool = False) -> str:
    """The array as nested JSON lists; `as_bytes` writes strings as base64 objects."""
    if array.size <= BLOCK_VALUES:
        values = _format_values(array.reshape(-1), as_bytes=as_bytes)
        return _nest(values, array.shape, 0)[0]
    blocks = (", ".join(format_rows(block, as_bytes=as_bytes)) for (block,) in cut_blocks([array]))
    return "[" + ", ".join(blocks) + "]"


def cut_blocks(arrays: Sequence[Array]) -> Iterator[tuple[Array, ...]]:
    """Arrays of as many items in the same parts along their first dimension: `BLOCK_VALUES` values each, or an item."""
    largest_item = max((array[:1].size for array in arrays), default=0)
    step = max(BLOCK_VALUES // max(largest_item, 1), 1)
    for start in range(0, len(arrays[0]) if arrays else 0, step):
        yield tuple(array[start : start + step] for array in arrays)


def format_rows(array: Array, *, as_bytes: bool = False) -> list[str]:
    """The items of the first dimension, each as nested JSON lists."""
    if array[:1].size > BLOCK_VALUES:
        return [format_tensor(item, as_bytes=as_bytes) for item in array]
    values = _format_values(array.reshape(-1), as_bytes=as_bytes)
    rows, start = [], 0
    for _ in range(array.shape[0]):
        row, start = _nest(values, array.shape[1:], start)
        rows.append(row)
    return rows


def _nest(values: list[str], shape: tuple[int, ...], start: int) -> tuple[str, int]:
    if not shape:
        return values[start], start + 1
    if len(shape) == 1:
        return "[" + ", ".join(values[start : start + shape[0]]) + "]", start + shape[0]
    parts = []
    for _ in range(shape[0]):
        part, start = _nest(values, shape[1:], start)
        parts.append(part)
    return "[" + ", ".join(parts) + "]", start


def _format_values(flat: Array, *, as_bytes: bool) -> list[str]:
    if flat.dtype.kind == "f":
        return format_floats(flat)
    if flat.dtype.kind == "b":
        return ["true" if value else "false" for value in flat.tolist()]
    if flat.dtype.hasobject:
        return [_format_string(value, as_bytes=as_bytes) for value in flat.tolist()]
    return [str(value) for value in flat.tolist()]


def _format_string(value: bytes, *, as_bytes: bool) -> str:
    if as_bytes:
        return json.dumps({"b64": base64.b64encode(value).decode("ascii")})
    return json.dumps(value.decode("utf-8", errors="replace"), ensure_ascii=False)


def format_floats(flat: Array) -> list[str]:
    """Six significant digits (15 for doubles), or as many as restore the value; whole numbers end in ".0"."""
    few, all_digits = _FORMATS[flat.dtype]
    numbers = flat.tolist()
    texts = [few % number for number in numbers]
    with np.errstate(over="ignore"):
        restored = np.fromiter(map(float, texts), np.float64, len(texts)).astype(flat.dtype)
    for position in np.flatnonzero((restored != flat) & np.isfinite(flat)).tolist():
        texts[position] = all_digits % numbers[position]
    return [_mark_float(text) for text in texts]


def _mark_float(text: str) -> str:
    if text[-1] in "nf":
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]
    return text if "." in text or "e" in text else text + ".0"
