"""Which mistakes of an engine the golden answers of an artifact catch, by all of its images and by eight of them.

usage: python e2e/bench/artifact_golden.py [ARTIFACT...] [--seed N]

Feeds the golden images as an engine in error would, or damages one weight tensor of model.tflite, and compares with the
golden outputs at their tolerance. The last column is the share of 1,000 random choices of eight images that catch it.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from model_artifact.tflite_weights import read_weights
from model_artifact.unpacking import unpack

ARTIFACTS = Path("build/local/artifacts")
EIGHT = 8
CHOICES = 1000
Floats = np.ndarray[Any, np.dtype[np.float32]]


def render_inputs(images: np.ndarray[Any, np.dtype[np.uint8]]) -> Iterator[tuple[str, Floats]]:
    """The images as engines in error feed them."""
    right = images.astype(np.float32)
    yield "as they are", right
    yield "channels reversed", right[..., ::-1]
    yield "two channels swapped", right[..., [0, 2, 1]]
    yield "one channel for all", np.repeat(right.mean(-1, keepdims=True), 3, -1)
    yield "channels first", right.transpose(0, 3, 1, 2).reshape(right.shape)
    yield "rows and columns swapped", right.transpose(0, 2, 1, 3)
    yield "mirrored", right[:, :, ::-1]
    yield "upside down", right[:, ::-1]
    yield "shifted by a pixel", np.roll(right, 1, 2)
    yield "pixels / 255", right / 255
    yield "pixels / 127.5 - 1", right / np.float32(127.5) - 1
    yield "pixels - 128", right - 128
    yield "bytes taken as signed", images.view(np.int8).astype(np.float32)
    yield "batch in another order", right[::-1]


def damage_model(model: bytes) -> Iterator[tuple[str, bytes]]:
    """The model with one tensor altered; each tensor in each way."""
    for tensor in read_weights(model):
        codes = tensor.codes
        if tensor.offset is None or codes.ndim < 2:
            continue
        first_two = np.r_[1, 0, 2 : len(codes)]
        for what, altered in (
            ("zero", codes * 0),
            ("negated", -codes),
            ("its outputs reversed", codes[::-1]),
            ("two outputs swapped", codes[first_two]),
        ):
            data = np.ascontiguousarray(altered.astype(codes.dtype)).tobytes()
            yield what, model[: tensor.offset] + data + model[tensor.offset + len(data) :]


def answer(model: bytes, images: Floats, resolver: OpResolverType = OpResolverType.AUTO) -> Floats:
    """What LiteRT says of the images, shape (n, outputs)."""
    engine = Interpreter(model_content=model, num_threads=2, experimental_op_resolver_type=resolver)
    place = engine.get_input_details()[0]["index"]
    engine.resize_tensor_input(place, images.shape)
    engine.allocate_tensors()
    engine.set_tensor(place, np.ascontiguousarray(images))
    engine.invoke()
    return np.array(engine.get_tensor(engine.get_output_details()[0]["index"]), np.float32)


class Judge:
    """Holds answers against the golden ones."""

    def __init__(self, golden: Path, seed: int) -> None:
        self.images = np.load(golden / "inputs.npy")
        self._outputs = np.load(golden / "outputs.npy")
        self._tolerance = json.loads((golden / "golden.json").read_text())["tolerance"]
        random = np.random.default_rng(seed)
        self._choices = [random.choice(len(self.images), EIGHT, replace=False) for _ in range(CHOICES)]

    def caught_share(self, answers: Floats) -> tuple[float, float, float]:
        """Largest difference, whether all images catch it, and the share of eights that do."""
        apart = np.abs(answers - self._outputs).max(axis=1)
        caught = apart > self._tolerance
        return float(apart.max()), float(caught.any()), float(np.mean([caught[some].any() for some in self._choices]))


def print_artifact(path: Path, seed: int) -> None:
    """The table of one artifact."""
    with tempfile.TemporaryDirectory() as place:
        unpack(path, Path(place) / "version")
        model = (Path(place) / "version/model.tflite").read_bytes()
        judge = Judge(Path(place) / "version/assets.extra/golden", seed)
    right = judge.images.astype(np.float32)
    print(f"\n{path.name}: {len(judge.images)} golden images\n  {'':34}largest   by all   by {EIGHT}")
    for name, images in render_inputs(judge.images):
        print_line(name, [judge.caught_share(answer(model, images))])
    for resolver in (OpResolverType.BUILTIN_REF, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
        print_line(f"kernels: {resolver.name.lower()}"[:34], [judge.caught_share(answer(model, right, resolver))])
    damaged: dict[str, list[tuple[float, float, float]]] = {}
    for what, altered in damage_model(model):
        damaged.setdefault(what, []).append(judge.caught_share(answer(altered, right)))
    for what, shares in damaged.items():
        print_line(f"one of {len(shares)} tensors {what}, mean", shares)


def print_line(name: str, shares: list[tuple[float, float, float]]) -> None:
    """One mistake, or the mean of several."""
    largest, by_all, by_eight = np.mean(shares, axis=0)
    print(f"  {name:34}{largest:7.3f}{100 * by_all:7.1f} %{100 * by_eight:6.1f} %")


def main() -> None:
    """Print the table of each artifact."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path, nargs="*", default=sorted(ARTIFACTS.glob("cnn-*.zip")))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for path in asked.artifact:
        print_artifact(path, asked.seed)


if __name__ == "__main__":
    main()
