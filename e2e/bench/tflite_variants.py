"""Times one VGG-16 (paper 000, table I, random weights) in the forms that it could be served in.

usage: python e2e/bench/tflite_variants.py [N]    (N calls each, 60 by default)

Each variant runs in a process of its own, pinned to the last core, batch 1, one thread; one run, one after the other.
This is the table of docs/decisions/0001-int8-weights-float-activations.md.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

VARIANTS = ("float32", "dynamic", "integer", "tensorflow")
SHAPE = (1, 32, 32, 3)


def write_variants(folder: Path) -> None:
    """The same network in every form."""
    import keras
    import tensorflow as tf

    from model_builder.architectures import build_network

    keras.utils.set_random_seed(0)
    model = keras.Model(*build_network("VGG16", SHAPE[1:], 10))
    model.export(str(folder / "saved"), verbose=False)
    for name in VARIANTS[:3]:
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
        if name != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if name == "integer":
            converter.representative_dataset = samples
        (folder / f"{name}.tflite").write_bytes(converter.convert())


def samples() -> Iterator[list[Any]]:
    """Calibration images."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        yield [rng.uniform(0, 255, SHAPE).astype(np.float32)]


def load(variant: str, folder: Path) -> Callable[[Any], Any]:
    """A function from image to answer."""
    if variant == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        loaded = tf.saved_model.load(str(folder / "saved"))
        signature = loaded.signatures["serving_default"]
        name = next(iter(signature.structured_input_signature[1]))
        return lambda image: next(iter(signature(**{name: tf.constant(image)}).values())).numpy()
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / f"{variant}.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    answer = interpreter.get_output_details()[0]["index"]

    def call(image: Any) -> Any:
        interpreter.set_tensor(source, image)
        interpreter.invoke()
        return interpreter.get_tensor(answer)

    return call


def time_variant(variant: str, folder: Path, calls: int) -> None:
    """Print the median and the resident memory of one variant."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    image = np.random.default_rng(1).uniform(0, 255, SHAPE).astype(np.float32)
    call = load(variant, folder)
    times = []
    for _ in range(calls):
        begun = time.perf_counter()
        call(image)
        times.append(time.perf_counter() - begun)
    resident = int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024
    print(f"{variant:12} p50 {1000 * np.median(times):6.2f} ms   RSS {resident:5.0f} MiB   n {calls}", flush=True)


def main(arguments: list[str]) -> None:
    """Write the variants and time each in a process of its own."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if len(arguments) == 3:
        time_variant(arguments[0], Path(arguments[1]), int(arguments[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_variants(Path(folder))
        for variant in VARIANTS:
            subprocess.run([sys.executable, __file__, variant, folder, arguments[0] if arguments else "60"], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
