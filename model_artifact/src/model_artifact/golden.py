"""Golden answers: what the builder's own file answered, so that a server can prove that it answers the same.

The document names the arrays beside it, `inputs.npy` (batch first) and `outputs.npy` (float32, batch x outputs).
Pure: pydantic alone; whoever reads the arrays needs numpy.
"""

from typing import Annotated, Literal

from pydantic import Field

from model_artifact.recipe import Contract


class GoldenAnswers(Contract):
    """Which tensors the golden arrays stand for, and how far an answer may be from them."""

    format_version: Literal[1] = 1
    signature: Annotated[str, Field(min_length=1)]
    input: Annotated[str, Field(min_length=1)]
    """Name of the signature's input that `inputs.npy` feeds, cast to that input's dtype."""
    output: Annotated[str, Field(min_length=1)]
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Largest absolute difference of any output value."""
