"""What is said about one condition, and whether work on it goes on. Pure data."""

from dataclasses import dataclass
from typing import Literal

from model_operator.planning.reasons import Reason

Truth = Literal["True", "False", "Unknown"]
Course = Literal["Settled", "Reconciling", "Stalled"]
"""Settled: nothing is left to do. Reconciling: it goes on by itself. Stalled: not without a change by its author."""


@dataclass(frozen=True)
class Verdict:
    """A condition without its times."""

    status: Truth
    reason: Reason
    message: str


def format_sentence(text: str) -> str:
    """The text on one line with one full stop at its end."""
    return f"{' '.join(text.split()).rstrip('.')}."
