"""Version folder -> artifact.

Each weight tensor is stored once; the stretches of the files that hold it, as codes or as code x step, in whatever
layout, are left out and described as holes. What remains of the files is Deflated as it is.
"""

import hashlib
import itertools
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from model_artifact.choice import plan_coding
from model_artifact.container import ArchiveWriter, Deflated, deflate
from model_artifact.errors import UnpackableError
from model_artifact.manifest import (
    ITEM_BYTES,
    MANIFEST_ENTRY,
    Content,
    Hole,
    Manifest,
    Provenance,
    Storage,
    StoredTensor,
    Stream,
    UnpackedFile,
)
from model_artifact.mapped_file import MappedFile
from model_artifact.partial import whole_file
from model_artifact.recipe import canonical_json
from model_artifact.tflite_weights import read_weights
from model_artifact.weights import CodedTensor, plan_holes

Progress = Callable[[str], None]
MODEL_FILE = "model.tflite"


def pack(
    folder: Path,
    target: Path,
    *,
    tensors: list[CodedTensor] | None = None,
    provenance: Provenance | None = None,
    progress: Progress = lambda _: None,
) -> Manifest:
    """Write the artifact of a version folder, whole or not at all.

    Args:
        folder: the version folder; `model.tflite` stands at its top.
        target: the artifact; replaced by a rename when it is complete.
        tensors: the weights to be stored apart; by default those that the .tflite's schema names.
        provenance: how the model was made; absent for a .tflite from elsewhere.
        progress: told what is being done, a short sentence at a time.

    Returns:
        The manifest that was written.

    Raises:
        UnpackableError: when the folder has no readable `model.tflite`, or a given tensor stands in no file.
    """
    files = _list_files(folder)
    if MODEL_FILE not in files:
        raise UnpackableError(f"{folder}: no {MODEL_FILE} in it; give the version folder that holds one")
    weights = read_weights(MappedFile(files[MODEL_FILE]).data) if tensors is None else tensors
    size = sum(file.stat().st_size for file in files.values())
    progress(f"{len(weights)} weight tensors, {size / 1e6:.1f} MB in {len(files)} files")
    parts = [_read_part(path, MappedFile(file), weights) for path, file in files.items()]
    holes = tuple(hole for part in parts for hole in part.holes)
    _check_all_found(folder, weights, holes)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=target.parent) as spool:
        stored, streams = _store_tensors(weights, spool, progress)
        manifest = Manifest(
            content=Content(files=tuple(part.file for part in parts), provenance=provenance),
            storage=Storage(tensors=tuple(stored), holes=holes),
        )
        text = canonical_json(manifest.model_dump(mode="json", by_alias=True, exclude_none=True)).encode()
        remains = ((f"files/{part.file.path}", part.remainder) for part in parts)
        first = (MANIFEST_ENTRY, _smaller_deflate(text))
        _write_whole(target, itertools.chain([first], _read_back(spool, streams), remains))
    return manifest


def _list_files(folder: Path) -> dict[str, Path]:
    """Every regular file below the folder by its relative path, sorted."""
    if not folder.is_dir():
        raise UnpackableError(f"{folder}: not a folder; give the version folder that holds {MODEL_FILE}")
    paths = sorted(path for path in folder.rglob("*") if not path.is_dir())
    strange = [path for path in paths if path.is_symlink() or not path.is_file()]
    if strange:
        raise UnpackableError(f"{strange[0]}: neither a file nor a folder; an artifact holds nothing else")
    return dict(sorted((path.relative_to(folder).as_posix(), path) for path in paths))


class _Part(NamedTuple):
    """What a file contributes to the archive."""

    file: UnpackedFile
    holes: list[Hole]
    remainder: Deflated


def _read_part(path: str, data: MappedFile, weights: list[CodedTensor]) -> _Part:
    holes = plan_holes(path, data, weights)
    described = UnpackedFile(path=path, size_bytes=len(data), sha256=hashlib.sha256(data.data).hexdigest())
    return _Part(described, holes, _smaller_deflate(_render_remainder(data, holes, weights)))


def _render_remainder(data: MappedFile, holes: list[Hole], weights: list[CodedTensor]) -> bytes:
    """The file without its holes, which are sorted by offset."""
    pieces, position = [], 0
    for hole in holes:
        pieces.append(data[position : hole.offset])
        codes = weights[hole.tensor].codes
        position = hole.offset + codes.size * ITEM_BYTES[codes.dtype.name if hole.form == "codes" else "float32"]
    return b"".join([*pieces, data[position : len(data)]])


def _check_all_found(folder: Path, weights: list[CodedTensor], holes: tuple[Hole, ...]) -> None:
    missing = set(range(len(weights))) - {hole.tensor for hole in holes}
    if missing:
        name = weights[min(missing)].name
        raise UnpackableError(f"{folder}: the weights {name} stand in none of its files; export the folder again")


class _Spooled(NamedTuple):
    """A stream that waits on disk until the manifest, which comes first, is known."""

    entry: str
    payload_bytes: int
    size_bytes: int
    crc32: int


def _store_tensors(
    weights: list[CodedTensor], spool: IO[bytes], progress: Progress
) -> tuple[list[StoredTensor], list[_Spooled]]:
    """The tensors as the manifest names them, and their entries in order; writes these, Deflated, into the spool."""
    stored, entries = [], []
    for index, tensor in enumerate(weights):
        progress(f"coding {tensor.name} ({tensor.codes.size:,} weights)")
        coding = plan_coding(tensor.codes)
        described = []
        for number, (role, data) in enumerate(coding.streams):
            entry = f"tensors/{index:03}/{number}-{role}"
            spool.write(data.payload)
            entries.append(_Spooled(entry, len(data.payload), data.size_bytes, data.crc32))
            described.append(Stream(role=role, entry=entry, size_bytes=data.size_bytes))
        stored.append(
            StoredTensor(
                name=tensor.name,
                shape=tensor.codes.shape,
                dtype=tensor.codes.dtype.name,
                step=None if tensor.step is None else float(tensor.step),
                coder=coding.coder,
                alphabet=coding.alphabet,
                sorted_axis=coding.sorted_axis,
                streams=tuple(described),
            )
        )
    return stored, entries


def _read_back(spool: IO[bytes], entries: list[_Spooled]) -> Iterator[tuple[str, Deflated]]:
    """The entries of the spool by name, one at a time."""
    spool.seek(0)
    for entry in entries:
        yield entry.entry, Deflated(spool.read(entry.payload_bytes), entry.size_bytes, entry.crc32)


def _smaller_deflate(data: bytes) -> Deflated:
    candidates = (deflate(data, strategy) for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY))
    return min(candidates, key=lambda data: len(data.payload))


def _write_whole(target: Path, entries: Iterable[tuple[str, Deflated]]) -> None:
    """Write beside the target and rename, so that no half artifact is ever seen under its name."""
    with whole_file(target) as out:
        writer = ArchiveWriter(out)
        for name, data in entries:
            writer.write(name, data)
        writer.close()
