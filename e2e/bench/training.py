"""How long a training step takes with and without prune-then-quantise, side by side in one run.

usage: python e2e/bench/training.py [--networks CNN VGG16] [--batch 64] [--steps 10] [--repeats 5] [--seed 0]
       [--recipe Strong] [--library-layers]

Runs on the backend that Keras runs on (KERAS_BACKEND=jax: on JAX, on a GPU where there is one), on random images. Each
line is one setting. Settings of one precision take turns, so that a drift of the machine meets all alike, and medians
are given. CPU seconds are those of all threads of this process: they mean something on a machine that others load, too.
On TensorFlow the whole step is measured as compiled by XLA as well.
"""

import argparse
import datetime as dt
import json
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import keras
import numpy as np

from model_artifact.recipe import Compression, Recipe, Training
from model_builder.engine import Engine, Steps, make_engine
from model_builder.machine import read_commit, read_hardware
from model_builder.schedule import Pruning, whole_pruning
from model_builder.step import plan_step
from model_builder.training import build_model, build_step_network

IMAGES = 2048
PLAIN = "uncompressed"
RULES: dict[str, dict[str, Any]] = {
    PLAIN: {"alpha": 0, "bits": 32},
    "Floor": {"alpha": 1.25, "bits": 8},
    "OffsetRound": {"alpha": 0.375, "bits": 8, "rule": "OffsetRound"},
    "Shadow": {"alpha": 1.25, "bits": 8, "rule": "Shadow"},
    "Shadow by channel": {"alpha": 1.25, "bits": 8, "rule": "Shadow", "granularity": "Channel"},
    "Shadow, half of the channels": {"alpha": 1.25, "bits": 8, "rule": "Shadow", "channel_sparsity": 0.5},
}


@dataclass
class Subject:
    """One setting and what was measured of it: seconds a step."""

    network: str
    rule: str
    precision: str
    compiled_by_xla: bool
    take: Callable[[int], None]
    wall_seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)

    def measure(self, steps: int) -> None:
        """Take that many steps and note how long each took."""
        cpu, wall = _read_cpu_seconds(), time.perf_counter()
        self.take(steps)
        self.wall_seconds.append((time.perf_counter() - wall) / steps)
        self.cpu_seconds.append((_read_cpu_seconds() - cpu) / steps)


def _read_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def make_subject(
    network: str, rule: str, precision: str, options: argparse.Namespace, *, compiled_by_xla: bool
) -> Subject:
    """A training of the network on random images, its functions compiled."""
    recipe = Recipe(
        compression=Compression(**RULES[rule]),
        training=Training(
            architecture=network, dataset="CIFAR10", precision=precision, recipe=options.recipe, seed=options.seed
        ),  # type: ignore[arg-type]
    )
    random = np.random.default_rng(options.seed)
    images = random.integers(0, 256, (IMAGES, 32, 32, 3)).astype(np.uint8)
    labels = random.integers(0, 10, IMAGES).astype(np.int32)
    step = plan_step(build_step_network(build_model(recipe, (32, 32, 3), 10), recipe), recipe)
    engine = _make_engine(step, images, labels, compiled_by_xla=compiled_by_xla)

    def take(steps: int) -> None:
        batches = random.integers(0, IMAGES, (steps, options.batch)).astype(np.int32)
        rates = np.full(steps, 1e-3, np.float32)
        prunings = Pruning(*(np.full(steps, part, np.float32) for part in whole_pruning(recipe.compression)))
        for begin in range(0, steps, engine.steps_a_call):
            part = slice(begin, begin + engine.steps_a_call)
            engine.run(Steps(batches[part], None, rates[part], Pruning(*(whole[part] for whole in prunings))))
        engine.read_sums()

    take(options.steps)
    return Subject(network, rule, precision, compiled_by_xla, take)


def _make_engine(step: Any, images: Any, labels: Any, *, compiled_by_xla: bool) -> Engine:
    if not compiled_by_xla or keras.backend.backend() == "jax":
        return make_engine(step, images, labels)
    from model_builder.tensorflow_engine import TensorFlowEngine

    return TensorFlowEngine(step, images, labels, jit_compile=True)


def plan_groups(options: argparse.Namespace) -> list[tuple[str, bool, list[str]]]:
    """What takes turns: precision, whether XLA compiles the whole step, and the rules."""
    on_jax = keras.backend.backend() == "jax"
    groups = [(precision, on_jax, list(options.rules)) for precision in options.precisions]
    whole = [] if on_jax or not options.xla else [("Float32", True, [PLAIN, "Floor"])]
    return groups + whole


def measure_group(
    network: str, precision: str, rules: list[str], options: argparse.Namespace, *, compiled_by_xla: bool
) -> list[Subject]:
    """The rules of a group, measured in turns."""
    subjects = [make_subject(network, rule, precision, options, compiled_by_xla=compiled_by_xla) for rule in rules]
    for _ in range(options.repeats):
        for subject in subjects:
            subject.measure(options.steps)
    return subjects


def render_line(subject: Subject, subjects: list[Subject]) -> str:
    """Medians, and what the rule costs over the same setting uncompressed."""
    plain = next(other for other in subjects if other.rule == PLAIN)
    wall, cpu = statistics.median(subject.wall_seconds), statistics.median(subject.cpu_seconds)
    over_wall = 100 * (wall / statistics.median(plain.wall_seconds) - 1)
    over_cpu = 100 * (cpu / statistics.median(plain.cpu_seconds) - 1)
    compiled = "XLA" if subject.compiled_by_xla else "graph"
    return (
        f"| {subject.network} | {subject.rule} | {subject.precision} | {compiled} | {1e3 * wall:.1f} |"
        f" {over_wall:+.1f} % | {1e3 * cpu:.1f} | {over_cpu:+.1f} % |"
    )


def main() -> None:
    """Measure, and print a table with where it comes from."""
    parser = argparse.ArgumentParser(description="Step time with and without prune-then-quantise.")
    parser.add_argument("--networks", nargs="+", default=["CNN", "VGG16"], choices=["SmallCNN", "CNN", "VGG16"])
    parser.add_argument("--precisions", nargs="+", default=["Float32", "BFloat16"], choices=["Float32", "BFloat16"])
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=list(RULES), help=f"{PLAIN!r} among them")
    parser.add_argument("--batch", type=int, default=64, help="images a step")
    parser.add_argument("--steps", type=int, default=10, help="steps a repeat")
    parser.add_argument("--repeats", type=int, default=5, help="whose median is given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", default="Published", choices=["Published", "Strong"])
    parser.add_argument("--library-layers", action="store_true", help="Keras' own in place of ours on TensorFlow")
    parser.add_argument("--no-xla", dest="xla", action="store_false", help="leave XLA's whole steps out")
    options = parser.parse_args()
    if options.library_layers:
        _take_library_layers()
    facts = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "commit": read_commit(),
        "hardware": read_hardware(),
        "device": _name_device(),
        "backend": keras.backend.backend(),
        "versions": {name: version(name) for name in ("keras", _package(), "numpy")},
        "python": platform.python_version(),
        "seed": options.seed,
        "recipe": options.recipe,
        "layers": "the library's" if options.library_layers else "ours",
        "n": f"{options.repeats} repeats of {options.steps} steps of {options.batch} images",
    }
    print(json.dumps(facts))
    print("| network | rule | precision | compiled as | ms a step | over | CPU ms a step | over |")
    print("|---|---|---|---|---|---|---|---|")
    for network in options.networks:
        for precision, xla, rules in plan_groups(options):
            subjects = measure_group(network, precision, rules, options, compiled_by_xla=xla)
            for subject in subjects:
                print(render_line(subject, subjects), flush=True)


def _take_library_layers() -> None:
    from model_builder import tensorflow_layers

    tensorflow_layers.SmallMapConv2D = keras.layers.Conv2D  # type: ignore[misc]
    tensorflow_layers.OnePassBatchNormalization = keras.layers.BatchNormalization  # type: ignore[misc]


def _package() -> str:
    return "jax" if keras.backend.backend() == "jax" else "tensorflow-cpu"


def _name_device() -> str:
    if keras.backend.backend() != "jax":
        return "CPU"
    import jax

    return str(jax.devices()[0].device_kind)


if __name__ == "__main__":
    main()
