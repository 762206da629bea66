"""Kubernetes quantities as numbers, so that `1000m` and `1` are the same. Pure."""

import re
from decimal import Decimal
from typing import Any

_FORM = re.compile(r"([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][-+]?[0-9]{1,3})?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def parse_quantity(value: Any) -> Decimal | None:
    """The number that a quantity stands for; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = _FORM.fullmatch(str(value))
    if match is None:
        return None
    digits, suffix = match.groups()
    if suffix is None:
        return Decimal(digits)
    if suffix in _BINARY:
        return Decimal(digits) * Decimal(2) ** _BINARY[suffix]
    exponent = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])
    return Decimal(digits).scaleb(exponent)
