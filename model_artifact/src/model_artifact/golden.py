"""Golden answers: what the builder's own file answered, so that a server can prove that it answers the same.

The document names the arrays beside it, `inputs.npy` (batch first) and `outputs.npy` (float32, batch x outputs).
Pure, and of the standard library alone: a server reads it in each start, and would carry pydantic for it ever after.
"""

import json
import sys
from dataclasses import dataclass
from typing import Any, Final

from model_artifact.errors import ArtifactError

_FORMAT_VERSION: Final = 1
_NAMES: Final = ("signature", "input", "output")
_FIELDS: Final = ("formatVersion", *_NAMES, "tolerance")


class GoldenFormatError(ArtifactError):
    """The document is not one of golden answers; the message begins with the field."""


@dataclass(frozen=True)
class GoldenAnswers:
    """Which tensors the golden arrays stand for, and how far an answer may be from them.

    Attributes:
        signature: whose input and output they are; not empty.
        input: name of the signature's input that `inputs.npy` feeds, cast to that input's dtype; not empty.
        output: name of its output that gave `outputs.npy`; not empty.
        tolerance: largest absolute difference of any output value; finite, 0 or more.
    """

    signature: str
    input: str
    output: str
    tolerance: float

    def __post_init__(self) -> None:
        """Refuse what no document may hold.

        Raises:
            GoldenFormatError: naming the field.
        """
        stated: dict[str, Any] = vars(self)
        for name in _NAMES:
            if not isinstance(stated[name], str) or not stated[name]:
                raise GoldenFormatError(f"{name}: {stated[name]!r} is no name; write that of a tensor or signature")
        if not _is_difference(stated["tolerance"]):
            raise GoldenFormatError(f"tolerance: {stated['tolerance']!r} is no difference; write a number of 0 or more")


def _is_difference(value: Any) -> bool:
    """Whether it is a number that an absolute difference can have."""
    return type(value) in {int, float} and 0 <= value <= sys.float_info.max


def parse_golden(document: str | bytes) -> GoldenAnswers:
    """The document that `format_golden` wrote; a document without `formatVersion` is of version 1.

    Raises:
        GoldenFormatError: when it is none, naming the field.
    """
    try:
        stated: Any = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise GoldenFormatError(f"document: no JSON ({error}); fetch the model again") from error
    if not isinstance(stated, dict):
        raise GoldenFormatError("document: no JSON object; fetch the model again")
    strange, missing = set(stated) - set(_FIELDS), {*_FIELDS[1:]} - set(stated)
    if strange or missing:
        name = min(strange or missing)
        problem = "not a field of version 1" if strange else "missing"
        raise GoldenFormatError(f"{name}: {problem}; build the model again")
    version = stated.pop("formatVersion", _FORMAT_VERSION)
    if type(version) is not int or version != _FORMAT_VERSION:
        raise GoldenFormatError(f"formatVersion: {version!r}, and only {_FORMAT_VERSION} is known; use a newer server")
    return GoldenAnswers(**stated)


def format_golden(answers: GoldenAnswers) -> str:
    """The document, one line."""
    stated = {name: getattr(answers, name) for name in (*_NAMES, "tolerance")}
    return json.dumps({"formatVersion": _FORMAT_VERSION, **stated}) + "\n"
