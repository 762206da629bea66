"""What an unpacked file is made of: stretches of its own, and holes that are filled from tensors."""

from collections.abc import Iterator, Sequence

from model_artifact.archive_reader import ArchiveReader
from model_artifact.manifest import Hole, StoredTensor, UnpackedFile
from model_artifact.weights import hole_bytes


def holes_by_path(holes: Sequence[Hole], tensors: Sequence[StoredTensor]) -> dict[str, list[Hole]]:
    """The holes of each file in its order, without those of empty tensors."""
    found: dict[str, list[Hole]] = {}
    for hole in holes:
        if hole_bytes(hole, tensors[hole.tensor]):
            found.setdefault(hole.path, []).append(hole)
    return found


def holes_by_tensor(holes: Sequence[Hole], tensors: Sequence[StoredTensor]) -> dict[int, list[Hole]]:
    """The holes that each tensor fills, without those of empty tensors."""
    found: dict[int, list[Hole]] = {}
    for hole in holes:
        if hole_bytes(hole, tensors[hole.tensor]):
            found.setdefault(hole.tensor, []).append(hole)
    return found


def read_own_parts(
    archive: ArchiveReader, file: UnpackedFile, holes: Sequence[Hole], tensors: Sequence[StoredTensor]
) -> Iterator[tuple[int, memoryview]]:
    """The bytes of a file that stand in no hole: (offset in the file, at most 1 MiB), in order.

    Args:
        archive: one whose manifest was found consistent.
        file: of that manifest.
        holes: of this file, in its order.
        tensors: of that manifest.

    Raises:
        CorruptArtifactError: when the entry is damaged.
    """
    stretches = _own_stretches(file, holes, tensors)
    start, end = next(stretches)
    for piece in archive.pieces(f"files/{file.path}", file.size_bytes):
        view = memoryview(piece)
        while view:
            while start == end:
                start, end = next(stretches)
            part = view[: end - start]
            yield start, part
            start, view = start + len(part), view[len(part) :]


def _own_stretches(
    file: UnpackedFile, holes: Sequence[Hole], tensors: Sequence[StoredTensor]
) -> Iterator[tuple[int, int]]:
    """(begin, end) of what lies before, between and after the holes, some of it empty."""
    position = 0
    for hole in holes:
        yield position, hole.offset
        position = hole.offset + hole_bytes(hole, tensors[hole.tensor])
    yield position, file.size_bytes
