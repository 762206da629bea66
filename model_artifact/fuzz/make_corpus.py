# ruff: noqa: INP001  (scripts beside the package, not of it)
"""Writes the seeds of the fuzzer: small artifacts that together use every coder, dtype and form.

.venv/bin/python model_artifact/fuzz/make_corpus.py
"""

import tempfile
from pathlib import Path

import numpy as np

from model_artifact.alphabet import Alphabet
from model_artifact.archive_reader import ArchiveReader
from model_artifact.coders import format_streams
from model_artifact.container import ArchiveWriter, deflate
from model_artifact.manifest import MANIFEST_ENTRY, Coder, Manifest, Role, Stream
from model_artifact.ordering import Order, format_ordered
from model_artifact.packing import MODEL_FILE, pack
from model_artifact.streams import Array
from model_artifact.verification import verify
from model_artifact.weights import CodedTensor, render_bytes

CORPUS = Path(__file__).parent / "corpus" / "seeds"
_STEP = np.float32(0.03)


def render_seeds() -> dict[str, tuple[Array, np.float32 | None]]:
    """Tensors by the name of their seed, with the step of those that a file holds as values too."""
    random = np.random.default_rng(3)
    weights = random.normal(size=(24, 24))
    rows = random.normal(size=(64, 96)) * np.exp(random.normal(0, 1.5, (64, 1)))
    pruned = np.where(np.abs(weights) > 1.25, weights, 0)
    return {
        "zeros": (np.zeros((16, 16), np.int8), None),
        "ternary": (np.sign(pruned).astype(np.int8), _STEP),
        "four-bit": ((pruned * 2).astype(np.int8), _STEP),
        "eight-bit": ((pruned * 40).astype(np.int8), _STEP),
        "few-values": (np.sign(weights).astype(np.int8), _STEP),
        "dense": ((weights * 30).astype(np.int8), None),
        "rows": (np.where(np.abs(rows) > 1.25 * rows.std(), rows * 3, 0).clip(-127, 127).astype(np.int8), _STEP),
        "sixteen-bit": ((weights * 3000).astype(np.int16), _STEP),
        "float": (pruned.astype(np.float32), None),
        "split-packed": (np.sign(pruned).astype(np.int8), _STEP),
        "sorted-joint": (np.sign(pruned).astype(np.int8), _STEP),
        "empty": (np.zeros((0, 3), np.int8), None),
        "scalar": (np.array(7, np.int8), None),
        "rank-4": ((random.normal(size=(4, 3, 3, 8)) * 2).astype(np.int8), _STEP),
    }


FORCED: dict[str, tuple[Coder, Alphabet, Order | None]] = {
    "split-packed": ("split-packed", (-1, 1), None),
    "sorted-joint": ("joint", (-1, 1), Order(1, bytes(range(24))[::-1])),
}
"""Codings that nothing this small is given of itself."""


def write_seed(name: str, codes: Array, step: np.float32 | None, target: Path) -> str:
    """Pack a version folder around the tensor; the coder that was chosen."""
    with tempfile.TemporaryDirectory() as folder:
        model, variables = Path(folder) / MODEL_FILE, Path(folder) / "variables" / "data"
        model.write_bytes(b"head" + codes.tobytes() + b"tail")
        if step is not None:
            variables.parent.mkdir()
            variables.write_bytes(b"head" + render_bytes(codes, step, tuple(range(codes.ndim))))
        manifest = pack(Path(folder), target, tensors=[CodedTensor(name, codes, step)])
    if name in FORCED:
        manifest = _write_recoded(target, manifest, codes, FORCED[name])
    stored = manifest.storage.tensors[0]
    return f"{stored.coder}{'' if stored.sorted_axis is None else ', sorted'}"


def _write_recoded(
    target: Path, manifest: Manifest, codes: Array, coding: tuple[Coder, Alphabet, Order | None]
) -> Manifest:
    """The artifact with its one tensor coded in another way."""
    coder, alphabet, order = coding
    streams: list[tuple[Role, bytes]] = [("classes", order.classes)] if order else []
    streams += format_streams(format_ordered(codes, order), coder, alphabet)
    entries = {f"tensors/000/{number}-{role}": data for number, (role, data) in enumerate(streams)}
    described = tuple(
        Stream(role=role, entry=entry, size_bytes=len(data))
        for (role, data), entry in zip(streams, entries, strict=True)
    )
    tensor = manifest.storage.tensors[0].model_copy(
        update={
            "coder": coder,
            "alphabet": alphabet,
            "sorted_axis": order.axis if order else None,
            "streams": described,
        }
    )
    manifest = manifest.model_copy(update={"storage": manifest.storage.model_copy(update={"tensors": (tensor,)})})
    with ArchiveReader(str(target)) as archive:
        files = {name: archive.read(name, 2**20) for name in archive.entries if name.startswith("files/")}
    text = manifest.model_dump_json(by_alias=True, exclude_none=True).encode()
    with target.open("wb") as out:
        writer = ArchiveWriter(out)
        for name, data in ({MANIFEST_ENTRY: text} | entries | files).items():
            writer.write(name, deflate(data, 0))
        writer.close()
    verify(target)
    return manifest


def main() -> None:
    """Write all seeds and say what each uses."""
    CORPUS.mkdir(exist_ok=True)
    for name, (codes, step) in render_seeds().items():
        target = CORPUS / f"{name}.zip"
        coder = write_seed(name, codes, step, target)
        print(f"{target.stat().st_size:>6} bytes  {name}: {codes.dtype}, {coder}")


if __name__ == "__main__":
    main()
