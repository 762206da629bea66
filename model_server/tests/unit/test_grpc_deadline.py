import math

import pytest

from model_server.grpc_service import limit_seconds


@pytest.mark.parametrize(("stated", "left"), [(9.2e18, None), (math.inf, None), (5.5, 5.5), (0.0, 0.0)])
def test_a_call_without_a_deadline_has_none(stated, left):
    # Clients that are not Python's send no deadline, and gRPC then states centuries.
    assert limit_seconds(stated) == left
