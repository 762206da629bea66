"""How a build tells what it does: structured at the source, numbers for the operator, a sentence for people."""

from collections.abc import Callable

from model_artifact.summary import BuildProgress

Progress = Callable[[BuildProgress], None]
"""Takes each step as it begins, and every few seconds how far training is; `message` is all of it for a person."""
