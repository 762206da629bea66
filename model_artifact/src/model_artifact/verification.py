"""Every byte of an artifact checked against its digests, with nothing written."""

import hashlib
from collections.abc import Callable, Iterator

from model_artifact.archive_reader import ArchiveReader
from model_artifact.errors import CorruptArtifactError
from model_artifact.file_content import holes_by_path, read_own_parts
from model_artifact.location import Location
from model_artifact.manifest import Hole, Manifest, StoredTensor, UnpackedFile
from model_artifact.manifest_reader import read_manifest
from model_artifact.naming import format_name
from model_artifact.streams import Array
from model_artifact.unpacking import check_digest, read_tensor, render_hole


def verify(
    artifact: Location,
    *,
    digest: str | None = None,
    approve: Callable[[Manifest], None] = lambda _: None,
    progress: Callable[[str], None] = lambda _: None,
    watch: Callable[[int, Array], None] = lambda _index, _weights: None,
) -> Manifest:
    """Decode the whole artifact and compare what it would unpack to with what its manifest says.

    Holds one weight tensor at a time in memory, and decodes one that several files hold once for each of them.

    Args:
        artifact: the archive, in a file or in a bucket.
        digest: the content digest that is wanted (`sha256:…`); any, when absent.
        approve: given the manifest before anything else is believed or written; raises what speaks against it.
        progress: told what is being done.
        watch: given the number of each stored tensor and its weights, as often as it is decoded.

    Raises:
        CorruptArtifactError: naming entry, tensor or file.
        DigestMismatchError: when the artifact is another one than was asked for.
        StoreAccessError: when an object cannot be read.
    """
    with ArchiveReader(artifact) as archive:
        manifest = read_manifest(archive)
        check_digest(artifact, manifest, digest)
        approve(manifest)
        decoder = _Decoder(archive, manifest.storage.tensors, watch)
        holes = holes_by_path(manifest.storage.holes, manifest.storage.tensors)
        for file in manifest.content.files:
            progress(f"verifying {format_name(file.path)} ({file.size_bytes:,} bytes)")
            digest_of_file = hashlib.sha256()
            for piece in _read_file(archive, file, holes.get(file.path, []), decoder):
                digest_of_file.update(piece)
            if digest_of_file.hexdigest() != file.sha256:
                raise CorruptArtifactError(
                    f"{format_name(file.path)}: not the bytes that were packed; fetch or pack the artifact again"
                )
        decoder.decode_rest()
    return manifest


class _Decoder:
    """Decodes tensors when they are asked for, and keeps the last of them."""

    def __init__(
        self, archive: ArchiveReader, tensors: tuple[StoredTensor, ...], watch: Callable[[int, Array], None]
    ) -> None:
        self._archive = archive
        self._watch = watch
        self._last: tuple[int, Array] | None = None
        self._waiting = dict.fromkeys(range(len(tensors)))
        self.tensors = tensors

    def decode(self, index: int) -> Array:
        """The tensor of that number."""
        if self._last is None or self._last[0] != index:
            self._last = None  # two tensors at once would be twice the memory
            weights = read_tensor(self._archive, self.tensors[index])
            self._waiting.pop(index, None)
            self._watch(index, weights)
            self._last = index, weights
        return self._last[1]

    def decode_rest(self) -> None:
        """Those that no file needed, being empty."""
        for index in list(self._waiting):
            self.decode(index)


def _read_file(
    archive: ArchiveReader, file: UnpackedFile, holes: list[Hole], decoder: _Decoder
) -> Iterator[bytes | memoryview]:
    """The file's bytes in order."""
    filled = 0
    for offset, part in read_own_parts(archive, file, holes, decoder.tensors):
        while filled < len(holes) and holes[filled].offset < offset:
            yield from _render(holes[filled], decoder)
            filled += 1
        yield part
    for hole in holes[filled:]:
        yield from _render(hole, decoder)


def _render(hole: Hole, decoder: _Decoder) -> Iterator[bytes]:
    return render_hole(hole, decoder.tensors[hole.tensor], decoder.decode(hole.tensor))
