"""Chooses Keras' backend: TensorFlow where it is installed, JAX where only that is; KERAS_BACKEND overrules both.

Nothing here imports Keras, which reads the variable once, when it is first imported.
"""

import os
from importlib.util import find_spec

from model_builder.errors import BuildError

VARIABLE = "KERAS_BACKEND"
BACKENDS = ("tensorflow", "jax")


def choose_backend() -> None:
    """Set KERAS_BACKEND where it is not set and one of the two is installed."""
    installed = [name for name in BACKENDS if find_spec(name) is not None]
    if installed:
        os.environ.setdefault(VARIABLE, installed[0])


def check_backend(name: str) -> None:
    """Whether training runs on the backend that Keras runs on.

    Raises:
        BuildError: when it does not.
    """
    if name not in BACKENDS:
        raise BuildError(f"Keras runs on {name!r}; training runs on tensorflow and jax, set {VARIABLE} to one of them")
