"""What other ways to code the weights of an artifact would give, in bytes: none that is listed here is in the format.

usage: python e2e/bench/artifact_ideas.py [ARTIFACT...]

For each int8 tensor of at least 20,000 weights: its order-0 entropy, the streams as they are, and what each idea makes
of them. Contexts are given as conditional entropies, with half a logarithm (base 2) of the number of weights for each
free number of their tables; what Huffman codes lose would come on top.
"""

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from model_artifact.archive_reader import ArchiveReader
from model_artifact.blocks import deflate_huffman
from model_artifact.choice import choose_coding
from model_artifact.container import deflate
from model_artifact.manifest_reader import read_manifest
from model_artifact.streams import entropy_bits, find_nonzero, format_gaps
from model_artifact.unpacking import read_tensor

ARTIFACTS = Path("build/local/artifacts")
SMALLEST = 20_000
CLASSES = 16
Codes = np.ndarray[Any, np.dtype[Any]]


def conditional_bytes(contexts: Codes, symbols: Codes) -> float:
    """Bytes of the symbols, each coded by the statistics of its context, with what these cost to learn."""
    _, places = np.unique(np.broadcast_to(contexts, symbols.shape), return_inverse=True)
    keys = places.reshape(-1) * 256 + symbols.reshape(-1).view(np.uint8)
    table = np.bincount(keys, minlength=256 * (places.max() + 1)).reshape(-1, 256)
    shares = np.where(table, table / table.sum(axis=1, keepdims=True), 1.0)
    free = np.count_nonzero(table) - len(table)
    return float(-(table * np.log2(shares)).sum() + free * np.log2(symbols.size) / 2) / 8


def rank_classes(values: Codes) -> Codes:
    """Each value's class, by rank, of `CLASSES` of equal size."""
    return np.argsort(np.argsort(values, axis=None), axis=None).reshape(values.shape) * CLASSES // values.size


def size(data: bytes) -> int:
    """Bytes by Huffman codes alone."""
    return len(deflate_huffman(data).payload)


def list_ideas(codes: Codes) -> Iterator[tuple[str, float]]:
    """Each idea and the bytes it takes."""
    magnitudes = np.abs(codes.astype(np.int16))
    for axis in range(codes.ndim):
        others = tuple(other for other in range(codes.ndim) if other != axis)
        classes = rank_classes(magnitudes.mean(axis=others, keepdims=True))
        yield f"contexts: magnitude along axis {axis}", conditional_bytes(classes, codes)
    if codes.ndim == 2:
        both = np.log(magnitudes.mean(axis=1, keepdims=True) + 0.01) + np.log(magnitudes.mean(axis=0) + 0.01)
        yield "contexts: magnitude along both axes", conditional_bytes(rank_classes(both), codes)
    for axis, name in ((0, "before it on axis 0"), (codes.ndim - 1, "before it on the last axis")):
        neighbours = np.roll(magnitudes, 1, axis)
        yield f"contexts: weight {name}", conditional_bytes((neighbours > 0) * 1 + (neighbours > 20), codes)
    sparse = find_nonzero(codes.reshape(-1))
    gaps, values = format_gaps(sparse), sparse.joined_values()
    of_values = np.abs(values.astype(np.int16)).astype(np.uint8)
    signs = np.packbits(values < 0).tobytes()
    yield "signs apart", size(gaps) + size(of_values.tobytes()) + len(signs)
    by_zlib = [len(deflate(data, zlib.Z_HUFFMAN_ONLY).payload) for data in (gaps, values.tobytes())]
    yield "blocks where zlib ends them", sum(by_zlib)
    before = np.r_[0, of_values[:-1]] > np.median(of_values)
    parts = sum(size(values[before == which].tobytes()) for which in (False, True))
    yield "values in two streams, by the one before", size(gaps) + parts


def print_artifact(path: Path) -> None:
    """The table of one artifact."""
    with ArchiveReader(str(path)) as archive:
        tensors = {stored.name: read_tensor(archive, stored) for stored in read_manifest(archive).storage.tensors}
    print(f"\n{path.name}")
    all_gaps, all_values, apart = b"", b"", 0
    for name, codes in tensors.items():
        if codes.dtype != np.int8:
            continue
        sparse = find_nonzero(codes.reshape(-1))
        gaps, values = format_gaps(sparse), sparse.joined_values().tobytes()
        all_gaps, all_values, apart = all_gaps + gaps, all_values + values, apart + size(gaps) + size(values)
        if codes.size >= SMALLEST:
            print_tensor(name, codes)
    if all_gaps:
        together = size(all_gaps) + size(all_values)
        print(f"  split, a pair of streams for each tensor: {apart:,}; one pair for all: {together:,}")


def print_tensor(name: str, codes: Codes) -> None:
    """The lines of one tensor."""
    coding = choose_coding(codes)
    ours = sum(len(data.payload) for _, data in coding.streams)
    entropy = entropy_bits(codes.reshape(-1)) * codes.size / 8
    print(f"  {name} {codes.shape}: entropy {entropy:,.0f} bytes; ours, {coding.coder}: {ours:,}, {ours / entropy:.4f}")
    for idea, taken in list_ideas(codes):
        print(f"    {idea:44}{taken:11,.0f}{taken / entropy:9.4f}")


def main() -> None:
    """Print the table of each artifact."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path, nargs="*", default=sorted(ARTIFACTS.glob("cnn-a125-*.zip")))
    for path in parser.parse_args().artifact:
        print_artifact(path)


if __name__ == "__main__":
    main()
