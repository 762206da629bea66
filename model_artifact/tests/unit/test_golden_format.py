"""The document of golden answers: what it says, and what it refuses."""

import json

import pytest

from model_artifact.golden import GoldenAnswers, GoldenFormatError, format_golden, parse_golden

ANSWERS = GoldenAnswers(signature="serving_default", input="image", output="probabilities", tolerance=0.05)
DOCUMENT = {
    "formatVersion": 1,
    "signature": "serving_default",
    "input": "image",
    "output": "probabilities",
    "tolerance": 0.05,
}


def test_it_is_written_as_ever_and_read_back():
    assert format_golden(ANSWERS) == json.dumps(DOCUMENT) + "\n"
    assert parse_golden(format_golden(ANSWERS)) == parse_golden(json.dumps(DOCUMENT).encode()) == ANSWERS


def test_a_document_without_a_version_is_of_the_first():
    assert (
        parse_golden(json.dumps({key: value for key, value in DOCUMENT.items() if key != "formatVersion"})) == ANSWERS
    )


@pytest.mark.parametrize("tolerance", [0, 0.0, 1, 1e300])
def test_every_difference_is_a_tolerance(tolerance):
    assert parse_golden(json.dumps(DOCUMENT | {"tolerance": tolerance})).tolerance == tolerance


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"signature": ""}, "signature"),
        ({"input": 3}, "input"),
        ({"output": None}, "output"),
        ({"tolerance": -0.1}, "tolerance"),
        ({"tolerance": "0.1"}, "tolerance"),
        ({"tolerance": True}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"tolerance": float("inf")}, "tolerance"),
        ({"tolerance": 10**400}, "tolerance"),
        ({"formatVersion": 2}, "formatVersion"),
        ({"formatVersion": 1.0}, "formatVersion"),
        ({"formatVersion": True}, "formatVersion"),
        ({"more": 1}, "more"),
    ],
)
def test_a_wrong_field_is_named(change, field):
    with pytest.raises(GoldenFormatError, match=f"^{field}: "):
        parse_golden(json.dumps(DOCUMENT | change))


@pytest.mark.parametrize("field", ["signature", "input", "output", "tolerance"])
def test_a_missing_field_is_named(field):
    with pytest.raises(GoldenFormatError, match=f"^{field}: missing"):
        parse_golden(json.dumps({key: value for key, value in DOCUMENT.items() if key != field}))


@pytest.mark.parametrize("document", [b"", b"[]", b"3", b"{", b"\xff", b"[" * 200_000])
def test_what_is_no_document_is_refused(document):
    with pytest.raises(GoldenFormatError, match=r"^document: "):
        parse_golden(document)
