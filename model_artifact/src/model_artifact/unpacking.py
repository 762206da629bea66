"""Artifact -> version folder, verified byte for byte before it appears under its name."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from model_artifact.archive_reader import ArchiveReader
from model_artifact.coders import decode_tensor
from model_artifact.errors import ArtifactError, CorruptArtifactError, DigestMismatchError
from model_artifact.file_content import holes_by_path, holes_by_tensor, read_own_parts
from model_artifact.location import Location
from model_artifact.manifest import Hole, Manifest, StoredTensor, UnpackedFile
from model_artifact.manifest_reader import read_manifest
from model_artifact.naming import format_name
from model_artifact.partial import partial_folder
from model_artifact.streams import Array
from model_artifact.weights import render_pieces


class TargetExistsError(ArtifactError):
    """The folder to unpack to holds something already."""


class NothingLeftError(ArtifactError):
    """Every file of the artifact was excluded."""


class NoMemoryError(ArtifactError):
    """A sound declaration, but more than this machine gives."""


def check_digest(artifact: Location, manifest: Manifest, digest: str | None) -> None:
    """Accept the artifact when it is the one that is wanted, or when any is.

    Raises:
        DigestMismatchError: when it is another one.
    """
    if digest is not None and digest != manifest.digest:
        raise DigestMismatchError(f"{artifact}: the digest is {manifest.digest}, but {digest} was asked for")


def read_tensor(archive: ArchiveReader, tensor: StoredTensor) -> Array:
    """One weight tensor, decoded.

    Raises:
        CorruptArtifactError: naming the tensor and the entry.
        NoMemoryError: when there is not enough for it.
    """
    try:
        return decode_tensor(tensor, lambda stream: archive.pieces(stream.entry, stream.size_bytes))
    except MemoryError as error:
        where = f"tensor {format_name(tensor.name)}"
        raise NoMemoryError(f"{where}: no memory for its {tensor.elements} weights; give it more") from error


def list_units(tensors: Sequence[StoredTensor]) -> list[list[str]]:
    """The entries of each tensor, as `ArchiveReader.expect` takes them."""
    return [[stream.entry for stream in tensor.streams] for tensor in tensors]


def render_hole(hole: Hole, stored: StoredTensor, weights: Array) -> Iterator[bytes]:
    """What the hole is filled with, in pieces of about 1 MiB."""
    step = np.float32(stored.step) if hole.form == "values" and stored.step is not None else None
    return render_pieces(weights, step, hole.axes)


def unpack(
    artifact: Location,
    target: Path,
    *,
    digest: str | None = None,
    exclude: Sequence[str] = (),
    approve: Callable[[Manifest], None] = lambda _: None,
    progress: Callable[[str], None] = lambda _: None,
    watch: Callable[[StoredTensor, Array], None] = lambda _tensor, _weights: None,
) -> Manifest:
    """Rebuild the version folder, verify every file, and let it appear by a rename.

    A target that holds exactly the artifact's files already is left as it is, so that unpacking again is no error; what
    an unpacking that was killed left beside the target is removed. Holds one weight tensor at a time in memory.

    Args:
        artifact: the archive, in a file or in a bucket, which may be hostile: what it declares is held against its size
            before it is believed.
        target: the folder to make, with its parents; it must not exist, or be empty, or hold the same files.
        digest: the content digest that is wanted (`sha256:…`); any, when absent.
        exclude: paths of files, or of folders with all below them, that are neither written nor verified; one that the
            artifact does not have excludes nothing.
        approve: given the manifest before anything else is believed or written; raises what speaks against it.
        progress: told what is being done.
        watch: given each stored tensor and its weights, before any file is complete; not when nothing is unpacked.

    Returns:
        The manifest.

    Raises:
        CorruptArtifactError: naming entry, tensor or file.
        DigestMismatchError: when the artifact is another one than was asked for; nothing is written.
        TargetExistsError: when the target holds something else.
        NothingLeftError: when every file is excluded.
        NoMemoryError: when a tensor does not fit into memory.
        StoreAccessError: when an object cannot be read.
    """
    with ArchiveReader(artifact) as archive:
        return unpack_archive(
            archive, artifact, target, digest=digest, exclude=exclude, approve=approve, progress=progress, watch=watch
        )


def unpack_archive(
    archive: ArchiveReader,
    artifact: Location,
    target: Path,
    *,
    digest: str | None,
    exclude: Sequence[str],
    approve: Callable[[Manifest], None],
    progress: Callable[[str], None],
    watch: Callable[[StoredTensor, Array], None],
) -> Manifest:
    """What `unpack` does, of an archive that is open already.

    Raises:
        ArtifactError: as `unpack` raises it.
    """
    manifest = read_manifest(archive)
    check_digest(artifact, manifest, digest)
    approve(manifest)
    files = _choose_files(manifest, exclude)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        if not _holds(target, files):
            raise TargetExistsError(f"{target}: exists and is not empty; remove it or name another folder")
        progress(f"{target} holds these files already, verified")
        return manifest
    with partial_folder(target) as half:
        _write_files(archive, manifest, files, half, progress=progress, watch=watch)
        half.chmod(0o755)
        _sync_folders(half)
        half.replace(target)
        _sync(target.parent)
    return manifest


def _choose_files(manifest: Manifest, exclude: Sequence[str]) -> list[UnpackedFile]:
    """The manifest's files that are no excluded path and stand below none."""
    away = {path.strip("/") for path in exclude}
    chosen = [
        file
        for file in manifest.content.files
        if file.path not in away and not any(parent.as_posix() in away for parent in PurePosixPath(file.path).parents)
    ]
    if away and not chosen:
        raise NothingLeftError(f"--exclude {' '.join(sorted(away))} leaves no file to unpack; exclude fewer")
    return chosen


def _holds(folder: Path, files: Sequence[UnpackedFile]) -> bool:
    """Whether the folder holds these files, byte for byte, and no others."""
    if not folder.is_dir():
        return False
    found = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    wanted = {file.path: file for file in files}
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
    files: Sequence[UnpackedFile],
    folder: Path,
    *,
    progress: Callable[[str], None],
    watch: Callable[[StoredTensor, Array], None],
) -> None:
    """Write what the files have of their own, then fill the holes tensor by tensor, then verify what stands there."""
    tensors, paths = manifest.storage.tensors, {file.path for file in files}
    holes = tuple(hole for hole in manifest.storage.holes if hole.path in paths)
    of_file, of_tensor = holes_by_path(holes, tensors), holes_by_tensor(holes, tensors)
    archive.expect([[f"files/{file.path}"] for file in files] + list_units(tensors))
    for file in files:
        _write_own_parts(archive, file, of_file.get(file.path, []), tensors, folder / file.path)
    for index, stored in enumerate(tensors):
        progress(f"decoding {format_name(stored.name)} ({stored.elements:,} weights)")
        weights = read_tensor(archive, stored)
        watch(stored, weights)
        for hole in of_tensor.get(index, []):
            _fill_hole(folder / hole.path, hole, stored, weights)
        del weights  # two tensors at once would be twice the memory
    for file in files:
        progress(f"verifying {format_name(file.path)} ({file.size_bytes:,} bytes)")
        _verify_durably(folder / file.path, file)


def _write_own_parts(
    archive: ArchiveReader, file: UnpackedFile, holes: list[Hole], stored: tuple[StoredTensor, ...], path: Path
) -> None:
    """Write the file's bytes that stand in no hole, at their places, and nothing into the holes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as out:
        for offset, part in read_own_parts(archive, file, holes, stored):
            out.seek(offset)
            out.write(part)
        out.truncate(file.size_bytes)


def _fill_hole(path: Path, hole: Hole, stored: StoredTensor, weights: Array) -> None:
    with path.open("r+b") as out:
        out.seek(hole.offset)
        for piece in render_hole(hole, stored, weights):
            out.write(piece)


def _verify_durably(path: Path, file: UnpackedFile) -> None:
    with path.open("rb") as data:
        if hashlib.file_digest(data, "sha256").hexdigest() != file.sha256:
            raise CorruptArtifactError(
                f"{format_name(file.path)}: not the bytes that were packed; fetch or pack the artifact again"
            )
        os.fsync(data.fileno())


def _sync_folders(top: Path) -> None:
    """Make the names of all that lies below durable."""
    for folder, _, _ in os.walk(top):
        _sync(Path(folder))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
