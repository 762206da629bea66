"""The commonest REST body, `{"instances": [numbers in lists]}` for one float input, without an object a number.

Pure. Whatever is not exactly that is left to `wire_rest`, which also knows how to say what is wrong.
"""

import re
import threading
from functools import lru_cache
from typing import Any

import numpy as np
import simdjson
from numpy.typing import NDArray

Array = NDArray[np.generic]

_HEAD = re.compile(rb'\s*\{\s*"instances"\s*:\s*(?=\[)')
_TAIL = re.compile(rb"\]\s*\}\s*\Z")
_LONGEST_TAIL = 64
# Without these bytes the text of nested lists of numbers is its brackets and commas.
_NUMBERS = b"0123456789+-.eE \t\r\n"
# Larger integers may not be told apart as float32; wire_rest refuses those, number by number.
_LARGEST_WHOLE = 2.0**24
_LARGEST_KEPT_BYTES = 256 * 1024
# Half precision has limits of its own, which wire_rest knows.
_DTYPES = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
_local = threading.local()


def looks_like_rows(body: bytes) -> bool:
    """Whether the body begins and ends as one that `parse_rows` reads."""
    return _HEAD.match(body) is not None and _find_tail(body) is not None


def parse_rows(body: bytes, dtype: np.dtype[np.generic], row_shape: tuple[int, ...]) -> Array | None:
    """The rows as an array (rows, *row_shape); None where the body is anything else, or wrong."""
    head, tail = _HEAD.match(body), _find_tail(body)
    if dtype not in _DTYPES or min(row_shape, default=1) < 1 or head is None or tail is None:
        return None
    brackets = body[head.end() : tail.start() + 1].translate(None, _NUMBERS)
    rows = _count_rows(brackets, _render_brackets(row_shape))
    values = _read_numbers(body) if rows else None
    if values is None or values.size != rows * int(np.prod(row_shape)) or np.abs(values).max() >= _LARGEST_WHOLE:
        return None
    return values.astype(dtype).reshape(rows, *row_shape)


def _find_tail(body: bytes) -> re.Match[bytes] | None:
    return _TAIL.search(body, max(0, len(body) - _LONGEST_TAIL))


def _count_rows(brackets: bytes, row: bytes) -> int:
    """How many rows of these brackets the list has; 0 where they are not all so."""
    rows = (len(brackets) - 1) // (len(row) + 1)
    return rows if rows > 0 and brackets == b"[" + b",".join([row] * rows) + b"]" else 0


@lru_cache(maxsize=64)
def _render_brackets(shape: tuple[int, ...]) -> bytes:
    """The brackets and commas of one row."""
    return b"[" + b",".join([_render_brackets(shape[1:])] * shape[0]) + b"]" if shape else b""


def _read_numbers(body: bytes) -> NDArray[np.float64] | None:
    parser: Any = getattr(_local, "parser", None)
    if parser is None or len(body) > _LARGEST_KEPT_BYTES:
        # A parser keeps ten times the largest text that it has read.
        parser = simdjson.Parser()
        _local.parser = parser if len(body) <= _LARGEST_KEPT_BYTES else None
    try:
        # The parser may be used again only when nothing refers to what it read last.
        return np.frombuffer(parser.parse(body)["instances"].as_buffer(of_type="d"), np.float64)
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError):
        _local.parser = None
        return None
