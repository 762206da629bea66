# ruff: noqa: INP001
"""CPU time of one item at several batch sizes, in one interpreter with one thread: whether batching pays for a model.

The sizes take turns, so that a machine that slows down slows all of them.

    .venv/bin/python model_server/bench/measure_batching.py MODEL.tflite [SECONDS]
"""

import sys
import time
from pathlib import Path

import numpy as np

from model_server.engines import load_engine

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
ROUNDS = 5


def main() -> None:
    """Print a table."""
    model_file = Path(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    engine = load_engine("litert", model_file, workers=1, threads=1)
    (signature, *_) = engine.signatures
    ((name, tensor),) = engine.signatures[signature].inputs.items()
    random = np.random.default_rng(0)
    inputs = {size: {name: random.random((size, *tensor.shape[1:])).astype(tensor.dtype)} for size in BATCH_SIZES}
    spent = dict.fromkeys(BATCH_SIZES, (0.0, 0))
    for size in BATCH_SIZES:
        engine.run(signature, inputs[size])
    for _ in range(ROUNDS):
        for size in BATCH_SIZES:
            begun, items = time.process_time(), 0
            while time.process_time() - begun < seconds / ROUNDS / len(BATCH_SIZES):
                engine.run(signature, inputs[size])
                items += size
            total, count = spent[size]
            spent[size] = total + time.process_time() - begun, count + items
    print("| batch | CPU ms an item |\n|---|---|")
    for size, (total, count) in spent.items():
        print(f"| {size} | {total / count * 1e3:.2f} |")


if __name__ == "__main__":
    main()
