"""What counts as a failure of a load on a machine that may stand still."""

import pytest

from demo_cluster.loading import list_failures


@pytest.mark.parametrize(
    ("ok", "failures", "found"),
    [
        (1000, {}, {}),
        (3535, {"HTTP 429": 3}, {}),
        (990, {"HTTP 429": 10}, {}),
        (989, {"HTTP 429": 11}, {"HTTP 429": 11}),
        (3535, {"HTTP 503": 1}, {"HTTP 503": 1}),
        (3535, {"HTTP 429": 3, "timeout": 1}, {"timeout": 1}),
        (0, {"HTTP 429": 1}, {"HTTP 429": 1}),
    ],
)
def test_few_that_were_told_to_come_again_are_no_failures_and_all_others_are(ok, failures, found):
    told = {"name": "m", "ok": ok, "failures": failures}
    assert list_failures(told) == found
    assert told["failures"] == failures
