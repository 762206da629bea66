"""The whole chain on this machine: train, pack, unpack, serve, ask, measure, and print the table.

Writes below build/local: artifacts by recipe digest (a known recipe is not trained again), unpacked models, logs, and
results.json with provenance. Ends every process that it started.
"""

import argparse
import json
import os
import platform
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np
from load.asking import grpc_asker, rest_asker
from local_measure import measure
from local_servers import ROOT, Server, ServerError
from local_table import Row, format_picture, format_rows, format_savings
from stages import format_stages, say, timed

from model_artifact.inspection import ArtifactFacts, inspect
from model_artifact.recipe import Recipe, parse_recipe
from model_artifact.summary import parse_progress
from model_artifact.unpacking import unpack
from model_builder.machine import read_processor

OUT = ROOT / "build" / "local"
PAIRS = {"CIFAR10": ("cnn-a125-b8", "cnn-a0-b32"), "Digits": ("digits-a125-b8", "digits-a0-b32")}
SHAPES = ("vgg16-untrained-a125-b8", "vgg16-untrained-a0-b32")
REQUESTS, SHAPE_REQUESTS = 500, 200
SILENCE_SECONDS = 8
EXIT_DATA = 5


class DemoError(Exception):
    """A step that failed; its own output stands above."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chain; 0 when the tables stand."""
    parser = argparse.ArgumentParser(prog="demo.py", description="The whole chain on this machine.")
    parser.add_argument("--first-table", action="store_true", help="the trained pair only, without VGG-16's shape")
    parser.add_argument("--digits", action="store_true", help="scikit-learn's digits, also where CIFAR-10 is known")
    options = parser.parse_args(arguments)
    stages: dict[str, float] = {}
    try:
        with timed(stages, "first table"):
            rows = run_trained_pair(stages, takes_digits=options.digits)
        if not options.first_table:
            with timed(stages, "VGG-16 shape"):
                rows += run_pair(SHAPES, SHAPE_REQUESTS, stages)
    except (DemoError, ServerError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    if not options.first_table:
        print_tables(rows)
    say(format_stages(stages))
    write_results(rows, stages)
    if not options.first_table:
        print_next_commands(rows[0])
    return 0


def run_trained_pair(stages: dict[str, float], *, takes_digits: bool) -> list[Row]:
    """The CNN pair on CIFAR-10 or, where that is not wanted or cannot be had, the digits pair; saying which."""
    rows = None if takes_digits else run_cifar10_pair(stages)
    if rows is None:
        say("going on with the digits of scikit-learn in place of CIFAR-10")
        rows = run_pair(PAIRS["Digits"], REQUESTS, stages)
    print_tables(rows)
    return rows


def run_cifar10_pair(stages: dict[str, float]) -> list[Row] | None:
    """The CNN pair; None where its data cannot be had."""
    try:
        return run_pair(PAIRS["CIFAR10"], REQUESTS, stages)
    except DemoError as error:
        if error.code != EXIT_DATA:
            raise
    say("CIFAR-10 cannot be had here")
    return None


def run_pair(names: tuple[str, str], requests: int, stages: dict[str, float]) -> list[Row]:
    """Build, unpack, serve, ask and measure a compressed model and its baseline."""
    facts = []
    for name in names:
        with timed(stages, f"build {name}"):
            facts.append(build(name))
    with ExitStack() as running:
        core = max(os.sched_getaffinity(0))
        servers = [
            running.enter_context(Server(name, unpack_model(name, found), core, OUT / f"{name}.log"))
            for name, found in zip(names, facts, strict=True)
        ]
        image = read_golden_image(servers[0])
        for server, found in zip(servers, facts, strict=True):
            ask_once(server, found, image)
        say(f"measuring both servers on core {core}, in alternating blocks, {requests} requests each by REST and gRPC")
        with timed(stages, "measure"):
            measured = measure(servers, image, requests, say)
    return [Row(*row) for row in zip(names, facts, measured, strict=True)]


def read_recipe(name: str) -> Recipe:
    """One of the examples."""
    path = ROOT / "examples" / "recipes" / f"{name}.json"
    return parse_recipe(path.read_text(), str(path))


def build(name: str) -> ArtifactFacts:
    """The artifact of an example recipe, trained unless it is here already."""
    artifact = artifact_path(name)
    if artifact.exists():
        say(f"{name}: known recipe, {artifact.relative_to(ROOT)} is used again (make clean trains anew)")
    else:
        say(f"{name}: building")
        recipe = ROOT / "examples" / "recipes" / f"{name}.json"
        run_with_progress(
            [sys.executable, "-m", "model_builder", "build", str(recipe), "-o", str(artifact.parent), "--resume"]
        )
    facts = inspect(artifact)
    say(f"{name}: {facts.size_bytes:,} bytes, {facts.zeros_percent:.1f} % zeros, {facts.digest}")
    return facts


def artifact_path(name: str) -> Path:
    """Where the artifact of a recipe is kept: in the folder of its build, by the recipe's digest."""
    digest = read_recipe(name).digest.removeprefix("sha256:")
    return OUT / "artifacts" / f"{name}-{digest[:12]}" / "artifact.zip"


def run_with_progress(command: list[str]) -> None:
    """Show the command's lines as they come, and a sign of life when none came for a while.

    Raises:
        DemoError: with its exit code.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None  # noqa: S101
    last, since = "started", time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(SILENCE_SECONDS):
                say(f"  … {last} ({time.monotonic() - since:.0f} s)")
                continue
            line = process.stdout.readline()
            if not line:
                break
            last, since = format_line(line.decode(errors="replace").strip()), time.monotonic()
            say(f"  {last}")
    if process.wait() != 0:
        raise DemoError(f"{' '.join(command[1:])} failed (exit {process.returncode})", process.returncode)


def format_line(line: str) -> str:
    """What a line of progress says to a person; other lines as they are."""
    progress = parse_progress(line)
    return progress.message if progress else line


def unpack_model(name: str, facts: ArtifactFacts) -> Path:
    """Unpack into a version folder, verified against the digest; the folder above it."""
    base = OUT / "models" / name
    shutil.rmtree(base, ignore_errors=True)
    begun = time.monotonic()
    unpack(artifact_path(name), base / "1", digest=facts.digest)
    say(f"{name}: unpacked and verified {facts.unpacked_bytes:,} bytes in {time.monotonic() - begun:.1f} s")
    return base


def read_golden_image(server: Server) -> np.ndarray:
    """The first of the model's golden images."""
    images: np.ndarray = np.load(server.base / "1" / "assets.extra" / "golden" / "inputs.npy", allow_pickle=False)
    return images[0]


def ask_once(server: Server, facts: ArtifactFacts, image: np.ndarray) -> None:
    """Ask one picture by REST and by gRPC and show label, time and digest."""
    labels_file = server.base / "1" / "assets.extra" / "labels.txt"
    labels = labels_file.read_text().split() if labels_file.exists() else None
    if labels and sys.stdout.isatty():
        print(format_picture(image))
    for protocol, asker in (("REST", rest_asker), ("gRPC", grpc_asker)):
        with asker(server, image) as ask:
            ask()
            begun = time.perf_counter()
            answer = ask()
            took = 1000 * (time.perf_counter() - begun)
        best = int(answer.argmax())
        label = labels[best] if labels else f"class {best} (untrained)"
        say(f"{server.name} by {protocol}: {label}, {100 * answer[best]:.1f} %, {took:.2f} ms, artifact {facts.digest}")


def print_tables(rows: list[Row]) -> None:
    """The rows, the savings of each pair, and what the numbers are."""
    print(f"\n{format_rows(rows)}\n")
    for compressed, baseline in zip(rows[::2], rows[1::2], strict=True):
        print(format_savings(compressed, baseline))
    for row in rows:
        provenance = row.facts.manifest.content.provenance
        if provenance is not None and provenance.dataset is not None:
            training = provenance.recipe.training
            print(f"{row.name}: {provenance.dataset.name}, {training.epochs} epochs, seed {training.seed}")
    if any(row.name in SHAPES for row in rows):
        print("vgg16-untrained: random weights, pruned and quantised; untrained: size, speed and memory only")
    print(f"servers on one core each in turn, one client that waits; {describe_machine()}\n", flush=True)


def describe_machine() -> str:
    """CPU, cores and Python, as a result carries them."""
    return f"{read_processor()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"


def write_results(rows: list[Row], stages: dict[str, float]) -> None:
    """results.json: every number with where it came from."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    document = {
        "command": "make demo-local",
        "commit": commit.stdout.strip() or "not a git checkout",
        "machine": describe_machine(),
        "seconds": stages,
        "rows": [
            {
                "name": row.name,
                "digest": row.facts.digest,
                "sizeBytes": row.facts.size_bytes,
                "bitsPerWeight": row.facts.bits_per_weight,
                "entropyBitsPerWeight": row.facts.entropy_bits_per_weight,
                "zerosPercent": row.facts.zeros_percent,
                "measured": asdict(row.measured),
                "content": row.facts.manifest.content.model_dump(mode="json", by_alias=True),
            }
            for row in rows
        ],
    }
    (OUT / "results.json").write_text(json.dumps(document, indent=2) + "\n")
    say(f"every number with its provenance: {(OUT / 'results.json').relative_to(ROOT)}")


def print_next_commands(row: Row) -> None:
    """What to type next; nothing is left running."""
    base = (OUT / "models" / row.name).relative_to(ROOT)
    artifact = artifact_path(row.name).relative_to(ROOT)
    print(
        f"""
Nothing is left running. To go on:
  .venv/bin/model-artifact inspect {artifact}
  .envs/server/bin/model-server --model_name=m --model_base_path=$PWD/{base} --rest_api_port=8501
  curl http://127.0.0.1:8501/v1/models/m/metadata
  make clean        # remove all of it"""
    )


if __name__ == "__main__":
    sys.exit(main())
