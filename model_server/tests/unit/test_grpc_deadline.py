import math
from types import SimpleNamespace

import pytest

from model_server.grpc_service import read_seconds_left


@pytest.mark.parametrize(("stated", "left"), [(9.2e18, None), (math.inf, None), (5.5, 5.5), (0.0, 0.0)])
def test_a_call_without_a_deadline_has_none(stated, left):
    # Clients that are not Python's send no deadline, and gRPC then states centuries.
    assert read_seconds_left(SimpleNamespace(time_remaining=lambda: stated)) == left
