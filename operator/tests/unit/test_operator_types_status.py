"""The status: built by Python names, written as the API server takes it, read back as the same."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from model_operator.api.status import (
    ArtifactStatus,
    CompressedModelStatus,
    Condition,
    KpiStatus,
    Revision,
    ServingStatus,
    format_size,
    format_time,
)

AT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
ARTIFACT = {
    "uri": "pvc://store/artifacts/a.zip",
    "digest": "sha256:" + "0" * 64,
    "size_bytes": 854_106,
    "baseline_size_bytes": 8_480_000,
    "ratio": 9.93,
    "bits_per_weight": 2.35,
    "entropy_bits_per_weight": 2.33,
    "sparsity_percent": 74.2,
    "trained": True,
}


def status():
    ready = Condition(
        type="Ready",
        status="True",
        reason="Serving",
        message="All is well.",
        last_transition_time=AT,
        observed_generation=3,
    )
    return CompressedModelStatus(
        observed_generation=3,
        conditions=(ready,),
        artifact=ArtifactStatus(**ARTIFACT),
        serving=ServingStatus(replicas=2, ready_replicas=1, selector="a=b", http="h:8501", grpc="h:8500"),
        kpis=KpiStatus(p95_latency_milliseconds=1.5, window="5m", measured_at=AT),
        history=(Revision(digest="sha256:" + "1" * 64, replaced_at=AT, reason="Replaced"),),
    )


def test_a_status_is_written_with_wire_names_and_without_what_is_absent():
    assert status().to_json() == {
        "observedGeneration": 3,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Serving",
                "message": "All is well.",
                "lastTransitionTime": "2026-01-02T03:04:05Z",
                "observedGeneration": 3,
            }
        ],
        "artifact": {
            "uri": "pvc://store/artifacts/a.zip",
            "digest": "sha256:" + "0" * 64,
            "sizeBytes": 854_106,
            "size": "854kB",
            "baselineSizeBytes": 8_480_000,
            "ratio": 9.93,
            "bitsPerWeight": 2.35,
            "entropyBitsPerWeight": 2.33,
            "sparsityPercent": 74.2,
            "trained": True,
        },
        "serving": {"replicas": 2, "readyReplicas": 1, "selector": "a=b", "http": "h:8501", "grpc": "h:8500"},
        "kpis": {"p95LatencyMilliseconds": 1.5, "window": "5m", "measuredAt": "2026-01-02T03:04:05Z"},
        "history": [{"digest": "sha256:" + "1" * 64, "replacedAt": "2026-01-02T03:04:05Z", "reason": "Replaced"}],
    }


def test_what_was_written_is_read_back_as_the_same():
    written = status().to_json()
    assert CompressedModelStatus.model_validate(written).to_json() == written


def test_a_status_without_its_generation_is_none():
    with pytest.raises(ValidationError, match="observedGeneration"):
        CompressedModelStatus()


def test_a_condition_is_one_of_those_that_are_documented():
    with pytest.raises(ValidationError, match="type"):
        Condition.model_validate(status().to_json()["conditions"][0] | {"type": "Progressing"})


def test_a_time_is_written_in_utc_and_whole_seconds():
    assert format_time(AT.astimezone(timezone(timedelta(hours=-9)))) == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1_000, "1.00kB"),
        (9_994, "9.99kB"),
        (9_995, "10.0kB"),
        (99_949, "99.9kB"),
        (99_950, "100kB"),
        (854_106, "854kB"),
        (999_499, "999kB"),
        (999_500, "1.00MB"),
        (60_100_000, "60.1MB"),
        (2_500_000_000, "2.50GB"),
        (10**13, "10.0TB"),
        (10**16, "10000TB"),
    ],
)
def test_a_size_has_three_digits_and_a_decimal_unit(size_bytes, text):
    assert format_size(size_bytes) == text


def test_a_stated_size_is_kept():
    assert ArtifactStatus(**ARTIFACT, size="small").size == "small"
