"""Artifact -> version folder, verified byte for byte before it appears under its name."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from model_artifact.container import ArchiveReader
from model_artifact.errors import ArtifactError, CorruptArtifactError, DigestMismatchError
from model_artifact.manifest import (
    LARGEST_MANIFEST_BYTES,
    MANIFEST_ENTRY,
    Hole,
    Manifest,
    StoredTensor,
    UnpackedFile,
)
from model_artifact.packing import hole_bytes
from model_artifact.streams import Array, parse_gaps, parse_planes
from model_artifact.weights import render_bytes


class TargetExistsError(ArtifactError):
    """The folder to unpack to holds something already."""


def read_manifest(archive: ArchiveReader) -> Manifest:
    """The manifest of an open archive.

    Raises:
        CorruptArtifactError: when it is missing or says something that no artifact says.
    """
    text = archive.read(MANIFEST_ENTRY, LARGEST_MANIFEST_BYTES)
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise CorruptArtifactError(f"{MANIFEST_ENTRY}: {field}: {problem['msg']}") from error
    _check_consistent(manifest)
    return manifest


def _check_consistent(manifest: Manifest) -> None:
    """Every hole lies in its file, after the previous one, and fits its tensor; no path twice."""
    tensors = manifest.storage.tensors
    sizes = {file.path: file.size_bytes for file in manifest.content.files}
    if len(sizes) != len(manifest.content.files):
        raise CorruptArtifactError(f"{MANIFEST_ENTRY}: a file is named twice")
    filled = dict.fromkeys(sizes, 0)
    for hole in manifest.storage.holes:
        where = f"{MANIFEST_ENTRY}: hole at {hole.offset} of {hole.path}"
        if hole.path not in sizes or hole.tensor >= len(tensors):
            raise CorruptArtifactError(f"{where} names a file or tensor that is not there")
        tensor = tensors[hole.tensor]
        if sorted(hole.axes) != list(range(len(tensor.shape))) or (hole.form == "values") > (tensor.step is not None):
            raise CorruptArtifactError(f"{where} does not fit tensor {tensor.name}")
        if hole.offset < filled[hole.path] or hole.offset + hole_bytes(hole, tensor) > sizes[hole.path]:
            raise CorruptArtifactError(f"{where} overlaps another or passes the end of the file")
        filled[hole.path] = hole.offset + hole_bytes(hole, tensor)


def read_tensor(archive: ArchiveReader, tensor: StoredTensor) -> Array:
    """One weight tensor, decoded.

    Raises:
        CorruptArtifactError: naming the tensor and the entry.
    """
    if max((stream.size_bytes for stream in tensor.streams), default=0) > 2 * tensor.elements:
        raise CorruptArtifactError(f"tensor {tensor.name}: a stream is longer than its {tensor.elements} weights allow")
    data: dict[str, list[bytes]] = {"gaps": [], "plane": []}
    for stream in tensor.streams:
        data[stream.role].append(archive.read(stream.entry, stream.size_bytes))
    try:
        values = parse_planes(data["plane"], tensor.dtype)
        if tensor.coder == "split":
            values = parse_gaps(b"".join(data["gaps"]), values, tensor.elements)
    except CorruptArtifactError as error:
        raise CorruptArtifactError(f"tensor {tensor.name}: {error}") from error
    if len(values) != tensor.elements:
        raise CorruptArtifactError(f"tensor {tensor.name}: {len(values)} weights for shape {tensor.shape}")
    return values.reshape(tensor.shape)


def unpack(
    artifact: Path,
    target: Path,
    *,
    digest: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Rebuild the version folder, verify every file, and let it appear by a rename.

    Args:
        artifact: the archive.
        target: the folder to make; it must not exist, or be empty.
        digest: the content digest that is wanted (`sha256:…`); any, when absent.
        progress: told what is being done.

    Returns:
        The manifest.

    Raises:
        CorruptArtifactError: naming entry, tensor or file.
        DigestMismatchError: when the artifact is another one than was asked for; nothing is written.
        TargetExistsError: when the target holds something.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise TargetExistsError(f"{target}: exists and is not empty; remove it or name another folder")
    with ArchiveReader(str(artifact)) as archive:
        manifest = read_manifest(archive)
        if digest is not None and digest != manifest.digest:
            raise DigestMismatchError(f"{artifact}: the digest is {manifest.digest}, but {digest} was asked for")
        target.parent.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        try:
            _write_files(archive, manifest, half, progress)
            half.chmod(0o755)
            half.replace(target)
        except BaseException:
            shutil.rmtree(half, ignore_errors=True)
            raise
    return manifest


def _write_files(archive: ArchiveReader, manifest: Manifest, folder: Path, progress: Callable[[str], None]) -> None:
    tensors: list[Array] = []
    for stored in manifest.storage.tensors:
        progress(f"decoding {stored.name} ({stored.elements:,} weights)")
        tensors.append(read_tensor(archive, stored))
    for file in manifest.content.files:
        progress(f"writing {file.path} ({file.size_bytes:,} bytes)")
        holes = [hole for hole in manifest.storage.holes if hole.path == file.path]
        data = _render_file(archive, file, holes, manifest.storage.tensors, tensors)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise CorruptArtifactError(f"{file.path}: not the bytes that were packed; fetch or pack the artifact again")
        _write_durably(folder / file.path, data)


def _render_file(
    archive: ArchiveReader,
    file: UnpackedFile,
    holes: list[Hole],
    stored: tuple[StoredTensor, ...],
    tensors: list[Array],
) -> bytes:
    """The file's bytes: what the archive holds of it, with the holes filled."""
    missing = sum(hole_bytes(hole, stored[hole.tensor]) for hole in holes)
    rest = archive.read(f"files/{file.path}", file.size_bytes - missing)
    pieces, taken, position = [], 0, 0
    for hole in holes:
        tensor = stored[hole.tensor]
        upto = taken + hole.offset - position
        step = np.float32(tensor.step) if hole.form == "values" and tensor.step is not None else None
        pieces += [rest[taken:upto], render_bytes(tensors[hole.tensor], step, hole.axes)]
        taken, position = upto, hole.offset + hole_bytes(hole, tensor)
    return b"".join([*pieces, rest[taken:]])


def _write_durably(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
