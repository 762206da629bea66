"""What the operator's tests share: the repository's root and the smallest object that the API takes."""

from pathlib import Path
from typing import Any

import pytest
from operator_fakes import Clock, FakeKube


@pytest.fixture
def repository() -> Path:
    """The root of the repository."""
    return Path(__file__).parents[2]


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
def body() -> dict[str, Any]:
    """A new CompressedModel with required fields only, as the API server would give it before defaulting."""
    return {
        "apiVersion": "modelpress.dev/v1alpha1",
        "kind": "CompressedModel",
        "metadata": {"name": "small", "namespace": "press"},
        "spec": {
            "compression": {"alpha": 1, "bits": 8},
            "source": {"training": {"architecture": "SmallCNN", "dataset": "Digits"}},
        },
    }


@pytest.fixture
def kube() -> FakeKube:
    """An API server with nothing in it."""
    return FakeKube()
