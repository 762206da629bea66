"""The ways to write a tensor as byte streams, and back.

Pure: arrays in, streams out; which way is smallest is `choice`'s matter. docs/artifact-format.md specifies each to the
byte.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial

from model_artifact.alphabet import Alphabet, format_digits, format_joint, parse_digits, parse_joint
from model_artifact.errors import CorruptArtifactError
from model_artifact.manifest import Coder, Role, StoredTensor, Stream
from model_artifact.naming import format_name
from model_artifact.ordering import Order, parse_ordered
from model_artifact.streams import (
    Array,
    Pieces,
    Sparse,
    count_elements,
    find_nonzero,
    format_gaps,
    format_planes,
    parse_gaps,
    parse_planes,
)

Streams = Iterator[tuple[Role, bytes]]


def format_streams(flat: Array, coder: Coder, alphabet: Alphabet = (), sparse: Sparse | None = None) -> Streams:
    """The streams of the elements, in the order in which the archive holds them, each made when it is asked for.

    Args:
        flat: elements in storage order, shape (n,).
        coder: how to write them.
        alphabet: the values that occur, for `packed`, `split-packed` and `joint`, which take int8 alone; for the last
            two without zero.
        sparse: the nonzero ones of these elements, where they were found already.
    """
    if coder == "dense":
        yield from (("plane", plane) for plane in format_planes([flat]))
    elif coder == "packed":
        yield "digits", format_digits(flat, alphabet)
    else:
        yield from _format_nonzero(sparse or find_nonzero(flat), coder, alphabet)


def _format_nonzero(sparse: Sparse, coder: Coder, alphabet: Alphabet) -> Streams:
    if coder == "joint":
        yield "joint", format_joint(sparse, alphabet)
        return
    yield "gaps", format_gaps(sparse)
    if coder == "split":
        yield from (("plane", plane) for plane in format_planes(sparse.values))
    else:
        yield "digits", format_digits(sparse.joined_values(), alphabet)


Sources = dict[Role, list[Callable[[], Pieces]]]
"""What gives the bytes of each stream, by role; called once, when they are needed."""


_ROLES: dict[Coder, tuple[Role, ...]] = {
    "dense": ("plane",),
    "split": ("gaps", "plane"),
    "packed": ("digits",),
    "split-packed": ("gaps", "digits"),
    "joint": ("joint",),
}


def parse_streams(sources: Sources, tensor: StoredTensor) -> Array:
    """The elements in storage order, shape (n,).

    Raises:
        CorruptArtifactError: when the streams are not those of the coder, or do not make the tensor's elements.
    """
    elements, alphabet = tensor.elements, tensor.alphabet
    strange = set(sources) - {*_ROLES[tensor.coder], *(() if tensor.sorted_axis is None else ("classes",))}
    if strange:
        raise CorruptArtifactError(f"a stream of {min(strange)}, where coder {tensor.coder} has none")
    planes = (read() for read in sources.get("plane", ()))
    if tensor.coder == "dense":
        flat = parse_planes(planes, tensor.dtype, elements)
    elif tensor.coder == "split":
        gaps = _only(sources, "gaps")
        flat = parse_gaps(gaps, parse_planes(planes, tensor.dtype), elements)
    elif alphabet is None or tensor.dtype != "int8":
        raise CorruptArtifactError(f"coder {tensor.coder} is for int8 with an alphabet")
    elif tensor.coder == "packed":
        flat = parse_digits(b"".join(_only(sources, "digits")), alphabet, elements)
    elif tensor.coder == "joint":
        flat = parse_joint(_only(sources, "joint"), alphabet, elements)
    else:
        whole = b"".join(_only(sources, "gaps"))
        values = parse_digits(b"".join(_only(sources, "digits")), alphabet, count_elements(whole))
        flat = parse_gaps((whole,), values, elements)
    return flat


def _only(sources: Sources, role: Role) -> Pieces:
    if len(sources[role]) != 1:
        raise CorruptArtifactError(f"{len(sources[role])} streams of {role} where there is one")
    return sources[role][0]()


def decode_tensor(tensor: StoredTensor, read: Callable[[Stream], Pieces]) -> Array:
    """The tensor that the manifest describes; it may be read-only.

    Args:
        tensor: what the manifest says of it; its size is trusted.
        read: gives the inflated bytes of a stream, in pieces.

    Raises:
        CorruptArtifactError: naming the tensor.
    """
    sources: Sources = defaultdict(list)
    for stream in tensor.streams:
        sources[stream.role].append(partial(read, stream))
    try:
        order = None if tensor.sorted_axis is None else Order(tensor.sorted_axis, b"".join(_only(sources, "classes")))
        return parse_ordered(parse_streams(sources, tensor), tensor.shape, order)
    except CorruptArtifactError as error:
        raise CorruptArtifactError(f"tensor {format_name(tensor.name)}: {error}") from error
