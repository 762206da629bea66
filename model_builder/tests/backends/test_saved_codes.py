"""Codes as a training saves them."""

import numpy as np
import pytest

from model_builder.run import narrow_whole


@pytest.mark.parametrize(
    ("largest", "kind"),
    [
        (127, np.int8),
        (128, np.int16),
        (2**15, np.int32),
        (2**31, np.int64),
        (-(2.0**40), np.int64),
        (2.0**63, np.float32),
        (-3e38, np.float32),
    ],
)
def test_codes_never_wrap(largest, kind):
    codes = np.array([largest, 0, 1], np.float32)
    narrowed = narrow_whole(codes)
    assert narrowed.dtype == kind
    np.testing.assert_array_equal(narrowed.astype(np.float32), codes)
