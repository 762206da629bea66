import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from model_artifact.container import deflate
from model_artifact.errors import CorruptArtifactError
from model_artifact.streams import entropy_bits, find_nonzero, format_gaps, format_planes, parse_gaps, parse_planes


def write_gaps(flat):
    sparse = find_nonzero(flat)
    return format_gaps(sparse), sparse.joined_values()


DTYPES = st.sampled_from([np.int8, np.int16, np.float32])
FLAT = DTYPES.flatmap(
    lambda dtype: arrays.arrays(
        dtype, st.integers(0, 2000), elements={"allow_nan": True} if dtype is np.float32 else None
    )
)


@given(FLAT)
def test_planes_come_back_bit_for_bit(flat):
    for elements in (None, len(flat)):
        back = parse_planes(([plane[:7], plane[7:]] for plane in format_planes([flat])), flat.dtype.name, elements)
        assert back.dtype == flat.dtype
        assert back.tobytes() == flat.tobytes()


@given(FLAT)
def test_gaps_come_back_bit_for_bit(flat):
    gaps, values = write_gaps(flat)
    assert parse_gaps([gaps], values, len(flat)).tobytes() == flat.tobytes()


@pytest.mark.parametrize("zeros", [0, 1, 254, 255, 256, 509, 510, 511, 100_000])
def test_a_run_of_zeros_is_escaped_at_255(zeros):
    flat = np.zeros(zeros + 3, np.int8)
    flat[zeros] = -128
    gaps, values = write_gaps(flat)
    assert gaps == b"\xff" * (zeros // 255) + bytes([zeros % 255])
    assert values.tolist() == [-128]
    assert np.array_equal(parse_gaps([gaps], values, len(flat)), flat)


def test_minus_zero_is_an_element():
    flat = np.array([0.0, -0.0, 0.0], np.float32)
    gaps, values = write_gaps(flat)
    assert gaps == b"\x01"
    assert np.signbit(values[0])


@pytest.mark.parametrize(
    ("gaps", "values", "elements", "words"),
    [
        (b"\x00\x00", [1], 5, "2 gaps for 1 nonzero"),
        (b"\xff", [1], 500, "0 gaps for 1 nonzero"),
        (b"\x05", [1], 5, "reach weight 5 of a tensor of 5"),
    ],
)
def test_gaps_that_do_not_fit_are_refused(gaps, values, elements, words):
    with pytest.raises(CorruptArtifactError, match=words):
        parse_gaps([gaps], np.array(values, np.int8), elements)


def test_planes_of_other_lengths_are_refused():
    with pytest.raises(CorruptArtifactError, match="do not make 2 weights of int16"):
        parse_planes([[b"ab"], [b"a"]], "int16")


def test_entropy_of_known_distributions():
    assert entropy_bits(np.array([], np.int8)) == 0
    assert entropy_bits(np.full(9, 3, np.int8)) == 0
    assert entropy_bits(np.array([0, 1, 2, 3], np.int8)) == 2
    assert entropy_bits(np.array([0, 0, 0, 1], np.int8)) == pytest.approx(0.8112781)


@pytest.mark.parametrize("elements", [2**16 - 1, 2**16, 2**16 + 1, 3 * 2**16 + 5])
@pytest.mark.parametrize(
    ("kinds", "dtype"),
    [*((kinds, "float32") for kinds in (1, 2, 7, 300, 10**6)), (256, "int8"), (3, "int8"), (2**16, "int16")],
)
def test_entropy_does_not_depend_on_where_the_elements_are_cut(elements, kinds, dtype):
    flat = np.random.default_rng(kinds).integers(0, kinds, elements).astype(dtype)
    _, counts = np.unique(flat, return_counts=True)
    assert entropy_bits(flat) == pytest.approx(-(counts / elements * np.log2(counts / elements)).sum(), abs=1e-9)


def test_split_streams_stay_near_the_entropy(sparse_codes):
    flat = np.tile(sparse_codes.reshape(-1), 4)
    gaps, values = write_gaps(flat)
    size = sum(len(deflate(stream, zlib.Z_HUFFMAN_ONLY).payload) for stream in (gaps, *format_planes([values])))
    assert 8 * size / flat.size < 1.02 * entropy_bits(flat)
