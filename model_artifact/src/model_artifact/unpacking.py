"""Artifact -> version folder, verified byte for byte before it appears under its name."""

import hashlib
import os
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
from model_artifact.partial import partial_folder
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
    watch: Callable[[StoredTensor, Array], None] = lambda _tensor, _weights: None,
) -> Manifest:
    """Rebuild the version folder, verify every file, and let it appear by a rename.

    A target that holds exactly the artifact's files already is left as it is, so that unpacking again is no error; what
    an unpacking that was killed left beside the target is removed. Holds one weight tensor at a time in memory.

    Args:
        artifact: the archive.
        target: the folder to make, with its parents; it must not exist, or be empty, or hold the same files.
        digest: the content digest that is wanted (`sha256:…`); any, when absent.
        progress: told what is being done.
        watch: given each stored tensor and its weights, before any file is complete; not when nothing is unpacked.

    Returns:
        The manifest.

    Raises:
        CorruptArtifactError: naming entry, tensor or file.
        DigestMismatchError: when the artifact is another one than was asked for; nothing is written.
        TargetExistsError: when the target holds something else.
    """
    with ArchiveReader(str(artifact)) as archive:
        manifest = read_manifest(archive)
        if digest is not None and digest != manifest.digest:
            raise DigestMismatchError(f"{artifact}: the digest is {manifest.digest}, but {digest} was asked for")
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            if not _holds(target, manifest):
                raise TargetExistsError(f"{target}: exists and is not empty; remove it or name another folder")
            progress(f"{target} holds these files already, verified")
            return manifest
        with partial_folder(target) as half:
            _write_files(archive, manifest, half, progress, watch)
            half.chmod(0o755)
            half.replace(target)
    return manifest


def _holds(folder: Path, manifest: Manifest) -> bool:
    """Whether the folder holds the manifest's files, byte for byte, and no others."""
    if not folder.is_dir():
        return False
    found = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    wanted = {file.path: file for file in manifest.content.files}
    if {path.relative_to(folder).as_posix() for path in found} != set(wanted):
        return False
    return all(path.is_file() and not path.is_symlink() for path in found) and all(
        _read_sha256(folder / file.path) == file.sha256 for file in wanted.values()
    )


def _read_sha256(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _write_files(
    archive: ArchiveReader,
    manifest: Manifest,
    folder: Path,
    progress: Callable[[str], None],
    watch: Callable[[StoredTensor, Array], None],
) -> None:
    """Write what the files have of their own, then fill the holes tensor by tensor, then verify what stands there."""
    holes, tensors = manifest.storage.holes, manifest.storage.tensors
    for file in manifest.content.files:
        _write_remainder(archive, file, [hole for hole in holes if hole.path == file.path], tensors, folder)
    for index, stored in enumerate(tensors):
        progress(f"decoding {stored.name} ({stored.elements:,} weights)")
        weights = read_tensor(archive, stored)
        watch(stored, weights)
        for hole in holes:
            if hole.tensor == index:
                _fill_hole(folder / hole.path, hole, stored, weights)
    for file in manifest.content.files:
        progress(f"verifying {file.path} ({file.size_bytes:,} bytes)")
        _verify_durably(folder / file.path, file)


def _write_remainder(
    archive: ArchiveReader, file: UnpackedFile, holes: list[Hole], stored: tuple[StoredTensor, ...], folder: Path
) -> None:
    """Write the file's bytes that stand in no hole, at their places."""
    missing = sum(hole_bytes(hole, stored[hole.tensor]) for hole in holes)
    rest = archive.read(f"files/{file.path}", file.size_bytes - missing)
    path, taken, position = folder / file.path, 0, 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        for hole in holes:
            upto = taken + hole.offset - position
            out.write(rest[taken:upto])
            taken, position = upto, hole.offset + hole_bytes(hole, stored[hole.tensor])
            out.seek(position)
        out.write(rest[taken:])


def _fill_hole(path: Path, hole: Hole, stored: StoredTensor, weights: Array) -> None:
    step = np.float32(stored.step) if hole.form == "values" and stored.step is not None else None
    with path.open("r+b") as out:
        out.seek(hole.offset)
        out.write(render_bytes(weights, step, hole.axes))


def _verify_durably(path: Path, file: UnpackedFile) -> None:
    with path.open("rb") as data:
        if hashlib.file_digest(data, "sha256").hexdigest() != file.sha256:
            raise CorruptArtifactError(f"{file.path}: not the bytes that were packed; fetch or pack the artifact again")
        os.fsync(data.fileno())
