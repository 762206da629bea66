"""Sizes and speeds of other coders on one tensor of int8 codes, as JSON on stdout.

usage: python e2e/bench/artifact_rivals.py CODES.npy STEP [iso]

With `iso`, the coder of ISO/IEC 15938-17 alone. Runs in whatever environment is at hand: a coder whose package is
missing is null. The float32 values are code * STEP.
"""

import json
import lzma
import sys
import time
import zlib
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

Encode = Callable[[bytes], bytes]
_UNARY_LENGTH = 10
"""The ISO coder's own default, as its search for the best start of each model is."""


def zlib_9(data: bytes) -> bytes:
    """Deflate as the paper's zip has it."""
    return zlib.compress(data, 9)


def xz_6(data: bytes) -> bytes:
    """The default preset of xz."""
    return lzma.compress(data)


def load_others() -> dict[str, Encode | None]:
    """The coders of other packages by name and release, None where one is not installed."""
    found: dict[str, Encode | None] = {}
    for name, package, make in (
        ("zstd-19", "zstandard", lambda module: module.ZstdCompressor(level=19).compress),
        ("libdeflate-12", "deflate", lambda module: lambda data: module.deflate_compress(data, 12)),
        ("zopfli-15", "zopfli", lambda _: lambda data: import_module("zopfli.zlib").compress(data, numiterations=15)),
    ):
        try:
            found[f"{name} ({version(package)})"] = make(import_module(package))
        except ImportError:
            found[name] = None
    return found


def code_by_iso(codes: Any) -> bytes:
    """One layer by the entropy coder of ISO/IEC 15938-17, with NNCodec's default settings."""
    coder = import_module("deepCABAC")
    empty_rows = (~codes.any(axis=1)).astype(np.int32)
    encoder = coder.Encoder()
    encoder.initCtxModels(_UNARY_LENGTH, 1)
    off = coder.HdspMode.AlwaysOff, np.zeros(2, np.int8)
    encoder.encodeLayer(codes.astype(np.int32), 0, 0, 1, 0, 0, empty_rows, *off, 0, 0)
    return bytes(encoder.finish())


def load_iso() -> str | None:
    """The release of NNCodec, whose compiled part alone is used: the rest of it wants PyTorch."""
    try:
        release = version("nncodec")
    except ImportError:
        return None
    sys.path.extend(str(Path(place) / "nncodec/extensions") for place in sys.path if place.endswith("site-packages"))
    return release


def measure(encode: Callable[[], bytes]) -> dict[str, float]:
    """Bytes and processor seconds of one call."""
    begin = time.process_time()
    size = len(encode())
    return {"bytes": size, "seconds": time.process_time() - begin}


def measure_iso(codes: Any) -> dict[str, dict[str, float] | None]:
    """The ISO coder's result by its name and release."""
    release = load_iso()
    name = "ISO 15938-17 (NNCodec)" if release is None else f"ISO 15938-17 (NNCodec {release})"
    return {name: None if release is None else measure(lambda: code_by_iso(codes))}


def main(path: str, step: str, only: str = "") -> None:
    """Measure every coder that is here, or the ISO coder alone."""
    codes = np.load(path)
    results: dict[str, Any] = {}
    if not only:
        raw, values = codes.tobytes(), (codes.astype(np.float32) * np.float32(step)).tobytes()
        results["zlib-9, float32"] = measure(lambda: zlib_9(values))
        results["zlib-9, codes"] = measure(lambda: zlib_9(raw))
        results["xz-6, codes"] = measure(lambda: xz_6(raw))
        for name, encode in load_others().items():
            results[f"{name}, codes"] = None if encode is None else measure(lambda encode=encode: encode(raw))
    print(json.dumps(results | measure_iso(codes)))


if __name__ == "__main__":
    main(*sys.argv[1:])
