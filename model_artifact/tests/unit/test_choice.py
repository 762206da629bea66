import numpy as np
import pytest

from model_artifact.blocks import deflate_huffman
from model_artifact.choice import choose_coding
from model_artifact.coders import format_streams
from model_artifact.streams import entropy_bits


@pytest.mark.parametrize(
    ("alpha", "bits", "coder"),
    [
        (0, 8, "dense"),
        (0, 4, "packed"),
        (0, 2, "packed"),
        (1.25, 4, "joint"),
        (1.25, 8, "split"),
        (2, 4, "split-packed"),
    ],
)
def test_each_coder_is_the_smallest_for_some_weights(alpha, bits, coder, make_codes):
    assert choose_coding(make_codes(alpha, bits, (1024, 1024))).coder == coder


@pytest.mark.parametrize(("alpha", "bits"), [(0.75, 4), (1, 3), (1.25, 4), (2, 4)])
def test_no_other_coder_is_smaller_by_more_than_a_sample_errs(alpha, bits, make_codes):
    flat = make_codes(alpha, bits, (1536, 1024)).reshape(-1)
    values = tuple(np.unique(flat).tolist())
    nonzero = tuple(value for value in values if value)
    alphabets = {"dense": (), "split": (), "packed": values, "split-packed": nonzero, "joint": nonzero}
    sizes = {
        coder: sum(len(deflate_huffman(data).payload) for _, data in format_streams(flat, coder, alphabet))
        for coder, alphabet in alphabets.items()
    }
    assert sizes[choose_coding(flat).coder] <= 1.002 * min(sizes.values())


@pytest.mark.parametrize(("alpha", "bits"), [(0, 8), (0, 4), (1.25, 8), (1.25, 4), (2, 4), (1.25, 5)])
def test_equal_channels_stay_within_two_percent_of_the_entropy(alpha, bits, make_codes):
    codes = make_codes(alpha, bits, (1024, 1024))
    assert 8 * choose_coding(codes).scaled_bytes(1) < 1.02 * entropy_bits(codes.reshape(-1)) * codes.size


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("alpha", "bits", "share"), [(0, 8, 0.98), (1.25, 8, 0.92), (1.25, 4, 0.88), (2, 4, 0.86)])
def test_differing_channels_go_below_the_entropy(alpha, bits, share, axis, make_codes):
    codes = make_codes(alpha, bits, (512, 1024), differing=0.5)
    codes = np.ascontiguousarray(codes if axis == 0 else codes.T)
    coding = choose_coding(codes)
    assert coding.sorted_axis == axis
    assert 8 * coding.scaled_bytes(1) < share * entropy_bits(codes.reshape(-1)) * codes.size


def test_floats_are_dense_or_split():
    full = np.random.default_rng(0).normal(size=(300, 300)).astype(np.float32)
    assert choose_coding(full).coder == "dense"
    assert choose_coding(np.where(np.abs(full) < 2, np.float32(0), full)).coder == "split"


def test_zeros_take_no_bytes_of_their_own():
    coding = choose_coding(np.zeros((1000, 1000), np.int8))
    assert (coding.coder, [data.size_bytes for _, data in coding.streams]) == ("split", [0, 0])


@pytest.mark.parametrize("differing", [0.0, 0.5])
def test_the_same_tensor_is_coded_the_same_way(differing, make_codes):
    codes = make_codes(1.25, 4, (700, 900), differing=differing)
    assert choose_coding(codes) == choose_coding(codes.copy(order="F"))
