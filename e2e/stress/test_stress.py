"""The short form of the stress: everything at once for a quarter of a minute; and how memory is judged."""

import pytest

from stress.__main__ import stress
from stress.figures import Run, measure_slope


def test_nothing_that_clients_and_files_do_at_once_breaks_the_server():
    run = stress(requests=20_000, clients=8, idle_connections=200, seed=7, longest_seconds=15)
    assert (run.problems, run.wrong) == ([], [])
    assert run.requests > 500
    assert run.reloads >= 3
    assert {"ask by REST", "ask by gRPC", "ask badly by REST", "ask badly by gRPC", "cancel"} <= run.kinds.keys()
    assert run.rests.keys() == run.peak_mebibytes.keys() == {"plain", "TLS"}


def make_rests(requests, mebibytes_per_100000):
    """A server that grows evenly after its first half, in which it grows a lot."""
    half = requests // 2
    return [
        (n, 100 + min(n, half) / 1000 + mebibytes_per_100000 * max(n - half, 0) / 100_000)
        for n in range(0, requests + 1, requests // 40)
    ]


def test_the_slope_is_that_of_the_last_half():
    assert measure_slope(make_rests(200_000, 3.0)) == pytest.approx((3.0, 0.0))


def test_the_margin_of_the_slope_is_that_of_a_line_through_points_that_scatter():
    """Three rests, 100,000 requests apart: residuals 1, -2, 1 about a level line, with one degree of freedom."""
    rests = [(0, 0.0), (200_000, 51.0), (300_000, 48.0), (400_000, 51.0)]
    assert measure_slope(rests) == pytest.approx((0.0, 12.71 * 3**0.5))


def test_a_step_is_no_growth_and_many_are():
    """As the allocator takes memory: 3 MiB at once in the last half of 200,000 requests, or every 20,000 of them."""
    once = [(n, 94.5 + (3.0 if n >= 130_000 else 0.0)) for n in range(5_000, 200_001, 5_000)]
    again = [(n, 94.5 + 3.0 * (n // 20_000)) for n in range(5_000, 200_001, 5_000)]
    assert Run(requests=200_000, rests={"plain": once}).find_growth() == []
    assert len(Run(requests=200_000, rests={"plain": again}).find_growth()) == 1


@pytest.mark.parametrize(
    ("requests", "growth", "found"),
    [
        (200_000, 0.9, False),
        (200_000, 1.1, True),
        (1_000_000, 1.1, True),
        # Ten thousand requests that take 7 MiB more may be the first of their kind; 10 MiB are a leak.
        (20_000, 70.0, False),
        (20_000, 100.0, True),
    ],
)
def test_growth_is_found(requests, growth, found):
    run = Run(requests=requests, rests={"plain": make_rests(requests, growth)})
    assert bool(run.find_growth()) is found


def test_one_server_that_grows_is_enough():
    run = Run(requests=200_000, rests={"plain": make_rests(200_000, 0.0), "TLS": make_rests(200_000, 2.0)})
    assert run.find_growth() == ["the TLS server's memory grows by 2.00 ± 0.00 MiB for 100000 requests"]
