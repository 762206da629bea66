"""The page that compares the server with TensorFlow Serving names only tests that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/server-compatibility.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"\b(test_\w+)::(test_\w+)", PAGE)))
VERDICTS = ("same", "better", "different")


@pytest.fixture(scope="module")
def texts():
    """Every test file's text by its name."""
    folders = (ROOT / "model_server/tests", ROOT / "e2e")
    return {path.stem: path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("test_*.py")}


def test_every_named_test_is_there(texts):
    missing = [f"{file}::{name}" for file, name in NAMED if f"def {name}(" not in texts.get(file, "")]
    assert len(NAMED) > 80
    assert missing == []


def test_every_row_says_how_it_compares_and_what_proves_it():
    rows = [line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row[0].startswith(" TensorFlow Serving")]
    assert len(rows) > 70
    for row in rows:
        assert len(row) == 3, row
        assert row[1].startswith(VERDICTS), row
        assert "::" in row[2] or row[1].startswith("different"), row
