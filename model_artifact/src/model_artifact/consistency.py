"""A manifest that cannot be what it claims is refused before a byte is decoded or written.

What a manifest declares is never taken for the size of anything before it was held against the archive's own size.
"""

import math
import struct
from collections import defaultdict

from model_artifact.archive_reader import ArchiveReader
from model_artifact.errors import CorruptArtifactError
from model_artifact.manifest import MANIFEST_ENTRY, Manifest, StoredTensor, UnpackedFile
from model_artifact.naming import format_name
from model_artifact.weights import LARGEST_RANK, hole_bytes

LARGEST_PATH_BYTES = 1024
LARGEST_PART_BYTES = 255
"""What Linux takes as one name in a folder."""
LARGEST_DEPTH = 64
FREE_BYTES = 256 * 2**20
"""An archive of any size may unpack to this: pruned weights may be all zero."""
LARGEST_EXPANSION = 1032
"""Deflate's own limit: no stream inflates to more than this many times its length."""
MOST_STREAMS = 8
"""A tensor is decoded again for each file that holds it, when verifying: so its streams are few and not long."""
_LARGEST_EXTENT = 2**40
_SPARE_STREAM_BYTES = 1024


def largest_unpacked_bytes(archive_bytes: int) -> int:
    """How much an archive of that size may unpack to, all files together."""
    return FREE_BYTES + LARGEST_EXPANSION * archive_bytes


def check_consistent(manifest: Manifest, archive: ArchiveReader) -> None:
    """Paths stay inside and apart, tensors and holes fit, and the archive holds what is declared and nothing else.

    Raises:
        CorruptArtifactError: naming the file, the tensor or the entry.
    """
    _check_paths(manifest.content.files, len(archive.entries))
    total = sum(file.size_bytes for file in manifest.content.files)
    if total > largest_unpacked_bytes(archive.size_bytes):
        raise CorruptArtifactError(
            f"{MANIFEST_ENTRY}: declares more than an archive of {archive.size_bytes} bytes can hold; pack it again"
        )
    for tensor in manifest.storage.tensors:
        _check_tensor(tensor)
    missing_bytes = _check_holes(manifest)
    _check_entries(manifest, missing_bytes, archive)


def _check_paths(files: tuple[UnpackedFile, ...], entries: int) -> None:
    """Each path is one that a file system takes, stands once, and is no folder of another."""
    paths = {file.path for file in files}
    if len(paths) != len(files):
        raise CorruptArtifactError(f"{MANIFEST_ENTRY}: a file is named twice")
    if len(files) > entries:
        raise CorruptArtifactError(f"{MANIFEST_ENTRY}: names {len(files)} files in an archive of {entries} entries")
    for path in paths:
        parts = path.split("/")
        longest = max(len(part.encode()) for part in parts)
        if len(path.encode()) > LARGEST_PATH_BYTES or longest > LARGEST_PART_BYTES or len(parts) > LARGEST_DEPTH:
            raise CorruptArtifactError(f"{MANIFEST_ENTRY}: {format_name(path)} is too long for a path")
        if any("/".join(parts[:depth]) in paths for depth in range(1, len(parts))):
            raise CorruptArtifactError(f"{MANIFEST_ENTRY}: {format_name(path)} stands below another file")


def _check_tensor(tensor: StoredTensor) -> None:
    where = f"{MANIFEST_ENTRY}: tensor {format_name(tensor.name)}"
    if len(tensor.shape) > LARGEST_RANK or math.prod(max(extent, 1) for extent in tensor.shape) > _LARGEST_EXTENT:
        raise CorruptArtifactError(f"{where} has a shape that no tensor has")
    if tensor.step is not None and not _is_float32(tensor.step):
        raise CorruptArtifactError(f"{where} has a step that is no float32")
    if len(tensor.streams) > MOST_STREAMS:
        raise CorruptArtifactError(f"{where} has {len(tensor.streams)} streams, more than any coder writes")
    for stream in tensor.streams:
        if stream.size_bytes > 2 * tensor.elements + _SPARE_STREAM_BYTES:
            raise CorruptArtifactError(
                f"{where}: entry {format_name(stream.entry)} is longer than its {tensor.elements} weights allow"
            )


def _is_float32(number: float) -> bool:
    try:
        return math.isnan(number) or struct.unpack("<f", struct.pack("<f", number)) == (number,)
    except OverflowError:
        return False


def _check_holes(manifest: Manifest) -> dict[str, int]:
    """Every hole lies in its file, after the previous one, and fits its tensor; every tensor fills one.

    Returns:
        How many bytes of each file stand in holes.
    """
    tensors = manifest.storage.tensors
    sizes = {file.path: file.size_bytes for file in manifest.content.files}
    filled: dict[str, int] = defaultdict(int)
    missing: dict[str, int] = defaultdict(int)
    used = set()
    for hole in manifest.storage.holes:
        where = f"{MANIFEST_ENTRY}: hole at {format_name(str(hole.offset))} of {format_name(hole.path)}"
        if hole.path not in sizes or hole.tensor >= len(tensors):
            raise CorruptArtifactError(f"{where} names a file or tensor that is not there")
        tensor = tensors[hole.tensor]
        if sorted(hole.axes) != list(range(len(tensor.shape))) or (hole.form == "values") > (tensor.step is not None):
            raise CorruptArtifactError(f"{where} does not fit tensor {format_name(tensor.name)}")
        end = hole.offset + hole_bytes(hole, tensor)
        if hole.offset < filled[hole.path] or end > sizes[hole.path]:
            raise CorruptArtifactError(f"{where} overlaps another or passes the end of the file")
        filled[hole.path] = end
        missing[hole.path] += end - hole.offset
        used.add(hole.tensor)
    for index, tensor in enumerate(tensors):
        if index not in used:
            raise CorruptArtifactError(f"{MANIFEST_ENTRY}: tensor {format_name(tensor.name)} stands in no file")
    return missing


def _check_entries(manifest: Manifest, missing_bytes: dict[str, int], archive: ArchiveReader) -> None:
    """The archive begins with the manifest, and each other entry is one stream or one file, as long as declared."""
    declared: set[str] = set()
    for tensor in manifest.storage.tensors:
        for stream in tensor.streams:
            _check_entry(archive, stream.entry, stream.size_bytes, declared, f"tensor {format_name(tensor.name)}: ")
    for file in manifest.content.files:
        _check_entry(archive, f"files/{file.path}", file.size_bytes - missing_bytes.get(file.path, 0), declared, "")
    if next(iter(archive.entries)) != MANIFEST_ENTRY or MANIFEST_ENTRY in declared:
        raise CorruptArtifactError(f"entry {MANIFEST_ENTRY}: not the first of the archive, and of no other use")
    strange = archive.entries.keys() - declared - {MANIFEST_ENTRY}
    if strange:
        raise CorruptArtifactError(f"entry {format_name(min(strange))}: the manifest does not speak of it")


def _check_entry(archive: ArchiveReader, name: str, size_bytes: int, declared: set[str], owner: str) -> None:
    if name in declared:
        raise CorruptArtifactError(f"{owner}entry {format_name(name)}: used twice")
    declared.add(name)
    try:
        found = archive.find(name, size_bytes).size_bytes
    except CorruptArtifactError as error:
        raise CorruptArtifactError(f"{owner}{error}") from error
    if found != size_bytes:
        raise CorruptArtifactError(
            f"{owner}entry {format_name(name)}: holds {found} bytes where {size_bytes} are declared"
        )
