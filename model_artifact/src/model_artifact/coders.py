"""The ways to write a tensor as byte streams, and back.

Pure: arrays in, streams out; which way is smallest is `choice`'s matter. docs/artifact-format.md specifies each to the
byte.
"""

from collections import defaultdict
from collections.abc import Callable

from model_artifact.alphabet import Alphabet, format_digits, format_joint, parse_digits, parse_joint
from model_artifact.errors import CorruptArtifactError
from model_artifact.manifest import Coder, Role, StoredTensor, Stream
from model_artifact.naming import format_name
from model_artifact.ordering import Order, parse_ordered
from model_artifact.streams import Array, count_elements, format_gaps, format_planes, parse_gaps, parse_planes

Streams = list[tuple[Role, bytes]]


def format_streams(flat: Array, coder: Coder, alphabet: Alphabet = ()) -> Streams:
    """The streams of the elements, in the order in which the archive holds them.

    Args:
        flat: elements in storage order, shape (n,).
        coder: how to write them.
        alphabet: the values that occur, for `packed`, `split-packed` and `joint`, which take int8 alone; for the last
            two without zero.
    """
    if coder == "dense":
        return _planes(flat)
    if coder == "packed":
        return [("digits", format_digits(flat, alphabet))]
    if coder == "joint":
        return [("joint", format_joint(flat, alphabet))]
    gaps, nonzero = format_gaps(flat)
    if coder == "split":
        return [("gaps", gaps), *_planes(nonzero)]
    return [("gaps", gaps), ("digits", format_digits(nonzero, alphabet))]


def _planes(elements: Array) -> Streams:
    return [("plane", plane) for plane in format_planes(elements)]


def parse_streams(data: dict[Role, list[bytes]], tensor: StoredTensor) -> Array:
    """The elements in storage order, shape (n,).

    Raises:
        CorruptArtifactError: when the streams are not those of the coder, or do not make the tensor's elements.
    """
    elements, alphabet = tensor.elements, tensor.alphabet
    if tensor.coder == "dense":
        flat = parse_planes(data["plane"], tensor.dtype)
    elif tensor.coder == "split":
        flat = parse_gaps(_only(data, "gaps"), parse_planes(data["plane"], tensor.dtype), elements)
    elif alphabet is None or tensor.dtype != "int8":
        raise CorruptArtifactError(f"coder {tensor.coder} is for int8 with an alphabet")
    elif tensor.coder == "packed":
        flat = parse_digits(_only(data, "digits"), alphabet, elements)
    elif tensor.coder == "joint":
        flat = parse_joint(_only(data, "joint"), alphabet, elements)
    else:
        gaps = _only(data, "gaps")
        flat = parse_gaps(gaps, parse_digits(_only(data, "digits"), alphabet, count_elements(gaps)), elements)
    if len(flat) != elements:
        raise CorruptArtifactError(f"{len(flat)} weights for shape {tensor.shape}")
    return flat


def _only(data: dict[Role, list[bytes]], role: Role) -> bytes:
    if len(data[role]) != 1:
        raise CorruptArtifactError(f"{len(data[role])} streams of {role} where there is one")
    return data[role][0]


def decode_tensor(tensor: StoredTensor, read: Callable[[Stream], bytes]) -> Array:
    """The tensor that the manifest describes.

    Args:
        tensor: what the manifest says of it; its size is trusted.
        read: gives the inflated bytes of a stream.

    Raises:
        CorruptArtifactError: naming the tensor.
    """
    data: dict[Role, list[bytes]] = defaultdict(list)
    for stream in tensor.streams:
        data[stream.role].append(read(stream))
    try:
        order = None if tensor.sorted_axis is None else Order(tensor.sorted_axis, _only(data, "classes"))
        return parse_ordered(parse_streams(data, tensor), tensor.shape, order)
    except CorruptArtifactError as error:
        raise CorruptArtifactError(f"tensor {format_name(tensor.name)}: {error}") from error
