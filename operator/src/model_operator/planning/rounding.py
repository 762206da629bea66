"""How numbers are told: three significant digits, in a status written again only once they moved. Pure."""

import math
from decimal import Decimal

SIGNIFICANT_DIGITS = 3
_EXACT_DIGITS = 17
"""As many tell any two floats apart."""
SMALLEST_MOVE = 0.05
"""Of the number that stands: a smaller change is not worth a write."""


def round_significant(number: float, digits: int = SIGNIFICANT_DIGITS) -> float:
    """The number with so many significant digits."""
    if number == 0 or not math.isfinite(number):
        return number
    return round(number, digits - 1 - math.floor(math.log10(abs(number))))


def round_optional(number: float | None) -> float | None:
    """Likewise, where there may be no number."""
    return None if number is None else round_significant(number)


def format_number(number: float, digits: int = SIGNIFICANT_DIGITS) -> str:
    """So many significant digits without an exponent or trailing zeros: `12.3`, `0.5`, `12300`."""
    text = f"{Decimal(repr(round_significant(float(number), digits))):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_apart(number: float, other: float, digits: int = SIGNIFICANT_DIGITS) -> tuple[str, str]:
    """Both numbers with so many significant digits, or as many as tell them apart where they differ: `69.96`, `70`."""
    texts = format_number(number, digits), format_number(other, digits)
    if number == other or texts[0] != texts[1] or digits == _EXACT_DIGITS:
        return texts
    return format_apart(number, other, digits + 1)


def is_moved(old: float, new: float) -> bool:
    """Whether the number changed by 5 % of its old value or more."""
    return new != old and abs(new - old) >= SMALLEST_MOVE * abs(old)


def format_window(seconds: int) -> str:
    """A length of time as `spec.objectives.window` states it: `90s`, `2m`, `1h`."""
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
