"""How numbers, times and tables are written for people. Pure."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_NOTHING: Final = "-"


def format_number(value: Any, unit: str = "") -> str:
    """The number with at most three decimals and thousands apart, and its unit; `-` where there is none."""
    if value is None:
        return _NOTHING
    text = f"{float(value):,.3f}".rstrip("0").rstrip(".")
    return f"{text} {unit}".strip()


def format_figure(value: Any) -> str:
    """The number with the six significant digits of a quality, without an exponent; `-` where there is none."""
    return _NOTHING if value is None else f"{Decimal(f'{float(value):.6g}'):f}"


def format_ratio(value: Any) -> str:
    """`8x`; `-` where there is none."""
    return _NOTHING if value is None else f"{float(value):.3g}x"


def format_seconds(seconds: float) -> str:
    """The largest unit that fits, and the next where that says more: `45s`, `3m`, `2h10m`, `5d`."""
    whole = max(0, int(seconds))
    for (size, unit), (smaller, smaller_unit) in pairwise(_UNITS):
        if whole >= size:
            count, rest = divmod(whole, size)
            more = rest // smaller
            return f"{count}{unit}{more}{smaller_unit}" if more and count < 10 and size > 60 else f"{count}{unit}"
    return f"{whole}s"


def format_age(time: str | None, now: datetime) -> str:
    """How long ago a time of Kubernetes' is; `-` where there is none."""
    return _NOTHING if not time else format_seconds((now - datetime.fromisoformat(time)).total_seconds())


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """The rows in columns, with nothing after the last one."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
