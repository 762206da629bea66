"""What is wrong with an object, in a sentence its author can act on. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

_LONGEST_VALUE = 60
# Pydantic's error type -> what to write instead; the braces are filled from the error's context.
_REMEDIES = {
    "bool_type": "it must be true or false",
    "dict_type": "it must be a mapping",
    "float_type": "it must be a number",
    "finite_number": "it must be a finite number",
    "greater_than": "it must be greater than {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "int_type": "it must be a whole number",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be at most {le}",
    "literal_error": "it must be {expected}",
    "model_type": "it must be a mapping of fields",
    "string_too_long": "it must have at most {max_length} characters",
    "string_too_short": "it must have at least {min_length} characters",
    "string_type": "it must be a string",
    "too_long": "it must have at most {max_length} entries",
    "tuple_type": "it must be a list",
    "value_error": "{error}",
}


def format_problem(error: ValidationError) -> str:
    """The first thing that is wrong, as `field is value; remedy`, or `object: rule` of what does not fit together."""
    problem = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"{field} is missing; state it"
    if problem["type"] == "value_error" and isinstance(problem["input"], Mapping):
        return f"{field}: {problem['ctx']['error']}".removeprefix(": ")
    remedy = _REMEDIES.get(problem["type"], problem["msg"]).format(**problem.get("ctx", {}))
    return f"{field} is {format_value(problem['input'])}; {remedy}"


def format_value(value: Any) -> str:
    """The value as the author wrote it in YAML or JSON, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
