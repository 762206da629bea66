"""Turns the ways in which libraries say that memory is full into one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from model_builder.errors import OutOfMemoryError


@contextmanager
def explain_memory(doing: str, *, lower: str | None = None) -> Iterator[None]:
    """While it is open, memory that does not suffice is told as one sentence with the remedy.

    Args:
        doing: what it does not suffice for, as an infinitive.
        lower: what takes less memory when it is lowered, where there is such a thing.

    Raises:
        OutOfMemoryError: when memory does not suffice; every other error passes.
    """
    try:
        yield
    except OutOfMemoryError:
        raise
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        remedy = "give the build more memory" if lower is None else f"lower {lower}, or give the build more memory"
        raise OutOfMemoryError(f"too little memory to {doing}; {remedy}") from error


def _is_out_of_memory(error: Exception) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "ResourceExhaustedError"
        or "RESOURCE_EXHAUSTED" in str(error)
    )
