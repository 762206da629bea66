import gzip

import pytest

from model_server.answer_packing import SMALLEST_PACKED_BYTES, accepts_gzip, pack_answer


@pytest.mark.parametrize("header", ["gzip", "deflate, GZIP", "gzip;q=0.5, br", "*", "br;q=1, gzip ; q=1"])
def test_gzip_is_taken(header):
    assert accepts_gzip(header)


@pytest.mark.parametrize("header", ["", "br", "gzip;q=0", "gzip; q = 0.000", "x-gzip", "identity"])
def test_gzip_is_not_taken(header):
    assert not accepts_gzip(header)


def test_only_long_answers_are_packed():
    assert pack_answer("x" * (SMALLEST_PACKED_BYTES - 1)) is None
    body = "0.25, " * SMALLEST_PACKED_BYTES
    packed = pack_answer(body)
    assert gzip.decompress(packed).decode() == body
    assert len(packed) < len(body)
