import zlib
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from model_artifact.alphabet import digits_per_byte, longest_gap
from model_artifact.choice import choose_coding
from model_artifact.coders import decode_tensor, format_streams, parse_streams
from model_artifact.errors import CorruptArtifactError
from model_artifact.manifest import StoredTensor, Stream


def describe(shape, dtype, coder, alphabet, streams, sorted_axis=None):
    """What the manifest says of a tensor with these (role, inflated size) streams."""
    return StoredTensor(
        name="conv/kernel",
        shape=shape,
        dtype=dtype,
        coder=coder,
        alphabet=alphabet,
        sorted_axis=sorted_axis,
        streams=tuple(
            Stream(role=role, entry=str(number), size_bytes=size) for number, (role, size) in enumerate(streams)
        ),
    )


def cut_anywhere(data):
    """The bytes in pieces, as an archive gives them, of lengths that fit nothing."""
    return [data[start : start + 70_001] for start in range(0, len(data), 70_001)]


def through_the_archive(codes):
    """The tensor coded as packing does, Deflated, inflated and decoded as unpacking does; and its coding."""
    coding = choose_coding(codes)
    sizes = [(role, data.size_bytes) for role, data in coding.streams]
    stored = describe(codes.shape, codes.dtype.name, coding.coder, coding.alphabet, sizes, coding.sorted_axis)
    inflated = [zlib.decompress(data.payload, -15) for _, data in coding.streams]
    assert [len(data) for data in inflated] == [size for _, size in sizes]
    return decode_tensor(stored, lambda stream: cut_anywhere(inflated[int(stream.entry)])), coding


def assert_same(back, codes):
    assert (back.shape, back.dtype) == (codes.shape, codes.dtype)
    assert back.tobytes() == codes.tobytes()


@st.composite
def tensors(draw):
    """Codes of 2 to 16 bits and beyond them, or floats with NaN and minus zero; rank 0 to 5; mostly zeros or none."""
    bits = draw(st.sampled_from([*range(2, 17), 32]))
    shape = draw(arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6))
    if bits == 32:
        return draw(arrays.arrays(np.float32, shape, elements=st.floats(width=32), fill=st.just(np.float32(0))))
    dtype = np.int8 if bits <= 8 else np.int16
    edge, lowest = 2 ** (bits - 1), int(np.iinfo(dtype).min)
    codes = st.one_of(st.integers(-edge, edge - 1), st.just(lowest), st.just(-lowest - 1))
    return draw(arrays.arrays(dtype, shape, elements=codes, fill=draw(st.sampled_from([st.just(0), st.nothing()]))))


@settings(max_examples=300, deadline=None)
@given(tensors())
def test_every_tensor_comes_back_bit_for_bit(codes):
    back, _ = through_the_archive(codes)
    assert_same(back, codes)


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((0, 7), np.int8),
        np.zeros((300, 40), np.int8),
        np.full((300, 40), -128, np.int8),
        np.array(-128, np.int8),
        np.array([[5]], np.int16),
        np.arange(-128, 128, dtype=np.int8).reshape(2, 2, 64),
        np.zeros((5000, 1), np.float32),
    ],
    ids=["empty", "zeros", "one value", "scalar", "one weight", "every code", "float zeros"],
)
def test_tensors_at_the_edges_come_back(codes):
    back, _ = through_the_archive(codes)
    assert_same(back, codes)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("alpha", "bits"), [(0, 2), (0, 8), (0.5, 3), (0.5, 5), (1.25, 4), (1.25, 8), (2, 4), (3, 6)])
def test_differing_channels_come_back(alpha, bits, axis, make_codes):
    codes = make_codes(alpha, bits, (256, 320), differing=0.5)
    codes = np.ascontiguousarray(codes if axis == 0 else codes.T)
    back, coding = through_the_archive(codes)
    assert_same(back, codes)
    assert coding.sorted_axis in (None, axis)


def test_a_large_tensor_comes_back(make_codes):
    codes = make_codes(1.25, 8, (2100, 2048), differing=0.5)
    back, coding = through_the_archive(codes)
    assert_same(back, codes)
    assert (coding.coder, coding.sorted_axis) == ("split", 0)


def test_a_stack_of_kernels_is_sorted_along_its_input_channels(make_codes):
    codes = np.ascontiguousarray(np.moveaxis(make_codes(1.25, 8, (128, 64, 3, 3), differing=0.7), 0, 3))
    back, coding = through_the_archive(codes)
    assert_same(back, codes)
    assert coding.sorted_axis == 3


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["packed", "split-packed", "joint"]),
    st.lists(st.integers(-128, 127), min_size=1, max_size=64, unique=True),
    st.randoms(use_true_random=False),
    st.integers(0, 3000),
)
def test_each_coder_writes_any_alphabet(coder, values, random, elements):
    alphabet = tuple(sorted(values if coder == "packed" else {value or 1 for value in values}))
    choices = list(alphabet) if coder == "packed" else [*alphabet, *[0] * random.randrange(1, 600)]
    flat = np.array([random.choice(choices) for _ in range(elements)], np.int8)
    streams = list(format_streams(flat, coder, alphabet))
    stored = describe((elements,), "int8", coder, alphabet, [(role, len(data)) for role, data in streams])
    assert_same(parse_streams({role: [partial(cut_anywhere, data)] for role, data in streams}, stored), flat)


@pytest.mark.parametrize("coder", ["split", "split-packed", "joint"])
@pytest.mark.parametrize("alphabet", [(7,), (-1, 1), tuple(range(1, 16))])
def test_runs_of_zeros_pass_from_piece_to_piece(coder, alphabet):
    flat = np.zeros(5 * 2**16, np.int8)
    places = [0, 254, 2**16 - 1, 2**16, 2**16 + 18, 3 * 2**16 + 9, 3 * 2**16 + 265]
    flat[places] = [alphabet[place % len(alphabet)] for place in places]
    given = () if coder == "split" else alphabet
    streams = list(format_streams(flat, coder, given))
    stored = describe(flat.shape, "int8", coder, given or None, [(role, len(data)) for role, data in streams])
    assert_same(parse_streams({role: [partial(cut_anywhere, data)] for role, data in streams}, stored), flat)


# The same elements by every coder, as docs/artifact-format.md shows them.
EXAMPLE = np.array([0, 0, 3, -1, 0, 0, 0, 0, 0, 1, 3, 0], np.int8)


@pytest.mark.parametrize(
    ("coder", "alphabet", "streams"),
    [
        ("dense", (), [("plane", "0000 03ff 0000 0000 0001 0300")]),
        ("packed", (-1, 0, 1, 3), [("digits", "5c 55 6d")]),
        ("split", (), [("gaps", "02 00 05 00"), ("plane", "03ff 0103")]),
        ("split-packed", (-1, 1, 3), [("gaps", "02 00 05 00"), ("digits", "b1")]),
        ("joint", (-1, 1, 3), [("joint", "08 00 10 02")]),
    ],
)
def test_the_bytes_of_each_coder_are_those_of_the_documents(coder, alphabet, streams):
    written = [(role, bytes.fromhex(data)) for role, data in streams]
    assert list(format_streams(EXAMPLE, coder, alphabet)) == written
    stored = describe((12,), "int8", coder, alphabet or None, [(role, len(data)) for role, data in written])
    assert_same(parse_streams({role: [partial(cut_anywhere, data)] for role, data in written}, stored), EXAMPLE)


def test_digits_and_gaps_fill_the_byte():
    assert [digits_per_byte((0,) * count) for count in (1, 2, 3, 4, 5, 6, 7, 16, 17, 64)] == [
        8,
        8,
        5,
        4,
        3,
        3,
        2,
        2,
        1,
        1,
    ]
    assert [longest_gap((0,) * count) for count in (1, 2, 6, 15, 64)] == [255, 127, 42, 17, 3]


@pytest.mark.parametrize(
    ("coder", "alphabet", "dtype", "streams", "words"),
    [
        ("packed", (0, 1), "int8", {"digits": b"\0"}, "1 bytes for 12 weights, 8 to the byte"),
        ("packed", (-1, 0, 1), "int8", {"digits": b"\xff\0\0"}, "byte 255 stands for no 5 of the 3 values"),
        ("packed", None, "int8", {"digits": b"\0\0"}, "coder packed is for int8 with an alphabet"),
        ("joint", (1,), "int16", {"joint": b"\0"}, "coder joint is for int8 with an alphabet"),
        ("joint", (-1, 1), "int8", {"joint": b"\xfe"}, "byte 254 stands for no gap and value of 2 values"),
        ("joint", (-1, 1), "int8", {"joint": b"\xff\0"}, "reach weight 127 of a tensor of 12"),
        ("split-packed", (5,), "int8", {"gaps": b"\0\0", "digits": b""}, "0 bytes for 2 weights"),
        ("split", None, "int8", {"plane": b""}, "0 streams of gaps where there is one"),
        ("split", None, "int8", {"gaps": b""}, "0 byte planes"),
        ("dense", None, "int8", {"plane": b"123"}, r"lengths \[3\] do not make 12 weights"),
        ("dense", None, "int8", {"plane": bytes(13)}, r"lengths \[13\] do not make 12 weights"),
        ("dense", None, "int8", {"plane": bytes(12), "joint": b""}, "a stream of joint, where coder dense has none"),
        (
            "dense",
            None,
            "int8",
            {"plane": bytes(12), "classes": b""},
            "a stream of classes, where coder dense has none",
        ),
        ("joint", (5,), "int8", {"joint": b"\x05\xff"}, "reach weight 260 of a tensor of 12"),
    ],
)
def test_streams_that_do_not_fit_are_refused(coder, alphabet, dtype, streams, words):
    stored = describe((12,), dtype, coder, alphabet, [(role, len(data)) for role, data in streams.items()])
    with pytest.raises(CorruptArtifactError, match=words) as refusal:
        decode_tensor(stored, lambda stream: [streams[stream.role]])
    assert str(refusal.value).startswith("tensor conv/kernel: ")


@pytest.mark.parametrize(("axis", "classes"), [(1, b"\0\1"), (2, b"\0\1\2"), (0, b"\0")])
def test_classes_that_do_not_fit_are_refused(axis, classes):
    stored = describe((2, 3), "int8", "dense", None, [("classes", len(classes)), ("plane", 6)], axis)
    with pytest.raises(CorruptArtifactError, match=rf"{len(classes)} classes for axis {axis} of shape \(2, 3\)"):
        decode_tensor(stored, lambda stream: [classes if stream.role == "classes" else b"123456"])
