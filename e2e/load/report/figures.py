"""Figures as text: units, digits, intervals. Pure."""

import math

from load.report.bootstrap import Estimate
from load.report.markup import MISSING, Cell

TIMES = "x"


def format_cell(estimate: Estimate | None, digits: int, unit: str = "") -> Cell:
    """An estimate with its interval below; *not run* where there is none."""
    if estimate is None:
        return MISSING
    return Cell(f"{estimate.value:,.{digits}f}{unit}", format_interval(estimate, digits))


def format_interval(estimate: Estimate, digits: int) -> str:
    """From where to where the true value lies; empty where no interval can be given."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:,.{digits}f} to {estimate.high:,.{digits}f}"


def format_ratio(estimate: Estimate | None) -> Cell:
    """How many times, with the interval below."""
    return format_cell(estimate, 2, TIMES)


def format_bytes(size: float | None) -> str:
    """In megabytes of 1,000,000 bytes, as the paper counts; empty of nothing."""
    if size is None:
        return ""
    megabytes = size / 1e6
    return f"{megabytes:,.2f} MB" if megabytes >= 1 else f"{megabytes:,.4f} MB"


def format_significant(value: float, digits: int = 3) -> str:
    """So many significant digits, never in powers of ten."""
    if value == 0:
        return "0"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
