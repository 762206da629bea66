"""The committed models, and version folders made of them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"


@pytest.fixture
def models() -> Path:
    """The folder of the committed models."""
    return DATA


@pytest.fixture
def add_version(tmp_path: Path) -> Callable[..., Path]:
    """Copy a committed model to <tmp>/models/<name>/<version>, which appears complete; the answer is that folder."""

    def add(model: str, version: int, name: str = "m") -> Path:
        target = tmp_path / "models" / name / str(version)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(DATA / model, tmp_path / "incoming")
        (tmp_path / "incoming").rename(target)
        return target

    return add
