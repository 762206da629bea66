"""The short form of the stress: everything at once for a quarter of a minute."""

from stress.__main__ import Run, stress


def test_nothing_that_clients_and_files_do_at_once_breaks_the_server():
    run = stress(requests=20_000, clients=6, idle_connections=200, seed=7, longest_seconds=15)
    assert (run.problems, run.wrong) == ([], [])
    assert run.requests > 500
    assert run.reloads >= 3
    assert {"ask_rest", "ask_grpc", "ask_badly", "ask_grpc_badly", "vanish", "cancel"} <= run.kinds.keys()


def test_the_slope_is_that_of_the_last_half():
    run = Run(requests=200_000)
    run.samples = [
        (n, 100 + n / 1000 if n < 100_000 else 200 + 3 * (n - 100_000) / 100_000) for n in range(0, 200_001, 1000)
    ]
    assert abs(run.slope_mebibytes() - 3) < 1e-6
