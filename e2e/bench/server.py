"""`make bench-server`: the float32 SavedModel in TensorFlow, LiteRT, OpenVINO, and our server by REST and gRPC.

usage: PYTHONPATH=e2e python -m bench.server [--requests 200] [--load-seconds 6] [--networks vgg16,cnn]

One run on one core, batch 1; the subjects take turns in blocks of ten, so that a machine that drifts or is shared does
so for all of them. The client runs on another core where there is one. Then the server alone under load. Every number
with its provenance goes to build/bench-server.json, and the targets stand below the tables with what was reached.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench.server_clients import GrpcClient, RestClient
from bench.server_load import drive, saturate
from bench.server_subjects import HOST, EngineSubject, Measured, ServerProcess, Subject, WireSubject, read_image
from bench.server_targets import Target, format_targets, plan_targets, simulate_queue
from loopback import free_ports

from model_artifact.unpacking import unpack
from model_builder.machine import read_processor

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "build" / "local" / "models"
OUT = ROOT / "build" / "bench-server.json"
NETWORKS = {"vgg16": ("vgg16-untrained-a0-b32", "vgg16-untrained-a125-b8"), "cnn": ("cnn-a0-b32", "cnn-a125-b8")}
# Networks that need no data, so that the form with int8 activations is built for the comparison.
INTEGER = {"vgg16"}
BLOCK = 10
WARM_UP_BLOCKS = 2
SATURATING_CLIENTS = 8


@dataclass(frozen=True)
class UnderLoad:
    """Our server under load by one wire; latencies in milliseconds, open loads are Poisson."""

    wire: str
    saturated_requests_per_second: float
    saturated_p95: float
    p95_at_10_percent: float
    p95_at_70_percent: float
    refused_at_70_percent: int
    # How many latencies the two percentiles are of.
    answered_at_10_percent: int
    answered_at_70_percent: int


@dataclass(frozen=True)
class Saturated:
    """An engine called by as many threads as the server has clients at saturation."""

    name: str
    requests_per_second: float
    p95: float


def main() -> int:
    """Measure and print; 0 whether or not the targets are reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=200, help="to each subject")
    parser.add_argument("--load-seconds", type=float, default=6.0, help="of each load")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    options = parser.parse_args()
    document: dict[str, Any] = describe_run(options)
    targets: list[Target] = []
    for network in options.networks.split(","):
        float_folder, int8_folder = (find_model(name) for name in NETWORKS[network])
        integer_folder = find_integer_model(NETWORKS[network][1]) if network in INTEGER else None
        folders = float_folder, int8_folder, integer_folder
        measured, engines, loads = measure_network(*folders, options.requests, options.load_seconds)
        print(f"\n{network}\n{format_table(measured)}\n{format_engines(engines)}\n{format_loads(loads)}", flush=True)
        targets += plan_targets(network, {each.name: each for each in measured}, loads)
        document[network] = {
            "subjects": [render_measured(each) for each in measured],
            "saturatedEngines": [asdict(engine) for engine in engines],
            "loads": [asdict(load) for load in loads],
        }
    document["targets"] = [asdict(target) for target in targets]
    heavy, light = simulate_queue(0.7), simulate_queue(0.1)
    document["perfectQueue"] = {"overUnloaded": heavy, "over10Percent": heavy / light}
    print(f"\n{format_targets(targets)}")
    print(
        f"A server that always takes the same time, one by one: p95 at 70 % over unloaded {heavy:.2f}, over that at"
        f" 10 % {heavy / light:.2f}"
    )
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(document, indent=2) + "\n")
    print(f"every number: {OUT.relative_to(ROOT)}")
    return 0


def find_model(name: str) -> Path:
    """The version folder of an example, built and unpacked unless it is here."""
    folder = MODELS / name / "1"
    if not (folder / "model.tflite").exists():
        sys.path.insert(0, str(ROOT / "e2e" / "local"))
        import demo

        demo.unpack_model(name, demo.build(name))
    return folder


def find_integer_model(name: str) -> Path:
    """The version folder of an example with int8 activations as well, built and unpacked unless it is here."""
    folder, made = MODELS / f"{name}-integer" / "1", MODELS.parent / "integer" / name
    if not (folder / "model.tflite").exists():
        recipe = json.loads((ROOT / "examples" / "recipes" / f"{name}.json").read_text())
        recipe["export"] = {**recipe.get("export", {}), "activations": "Integer"}
        made.mkdir(parents=True, exist_ok=True)
        (made / "asked.json").write_text(json.dumps(recipe))
        build = [sys.executable, "-m", "model_builder", "build", made / "asked.json", "-o", made / "build", "--resume"]
        subprocess.run(build, check=True)
        unpack(made / "build" / "artifact.zip", folder)
    return folder


def measure_network(
    float_folder: Path, int8_folder: Path, integer_folder: Path | None, requests: int, load_seconds: float
) -> tuple[list[Measured], list[Saturated], list[UnderLoad]]:
    """All subjects in turns, then the engines alone and our server under load."""
    cores = sorted(os.sched_getaffinity(0))
    core, image = cores[-1], read_image(int8_folder)
    name = json.loads((int8_folder / "assets.extra/golden/golden.json").read_text())["input"]
    os.sched_setaffinity(0, set(cores[:-1]) or set(cores))
    with ExitStack() as running:
        server, batching, openvino = (
            running.enter_context(closing(ServerProcess(int8_folder.parent, core, find_two_ports(), *flags)))
            for flags in ((), ("--enable_batching",), ("--engine=openvino",))
        )

        def connect_rest(to: ServerProcess = server) -> RestClient:
            return RestClient(HOST, to.rest_port, "m", np.round(image.astype(np.float64), 4))

        def connect_grpc(to: ServerProcess = server) -> GrpcClient:
            return GrpcClient(HOST, to.grpc_port, "m", name, image)

        batching.wait_for_answer(lambda: connect_rest(batching).ask)
        openvino.wait_for_answer(lambda: connect_rest(openvino).ask)
        cold_start_seconds = measure_cold_start(int8_folder.parent, core, connect_rest)
        server.wait_for_answer(lambda: connect_rest().ask)
        engines = [
            EngineSubject("TensorFlow float32", "tensorflow", float_folder, core),
            EngineSubject("LiteRT float32", "litert", float_folder, core),
            EngineSubject("LiteRT int8", "litert", int8_folder, core),
            *([EngineSubject("LiteRT integer", "litert", integer_folder, core)] if integer_folder else []),
            EngineSubject("OpenVINO int8", "openvino", int8_folder, core),
        ]
        subjects: list[Subject] = [
            *engines,
            WireSubject("OpenVINO by gRPC", openvino, connect_grpc(openvino)),
            WireSubject("server by gRPC", server, connect_grpc()),
            WireSubject("server by REST", server, connect_rest()),
        ]
        for subject in subjects:
            running.enter_context(closing(subject))
        for subject in subjects[-2:]:
            subject.measured.cold_start_seconds = cold_start_seconds
        take_turns(subjects, requests)
        saturated = [measure_engine(engine, load_seconds) for engine in engines]
        loads = [
            measure_load("gRPC", connect_grpc, load_seconds),
            measure_load("REST", connect_rest, load_seconds),
            measure_load("gRPC, batching", lambda: connect_grpc(batching), load_seconds),
            measure_load("REST, batching", lambda: connect_rest(batching), load_seconds),
        ]
    os.sched_setaffinity(0, set(cores))
    return [subject.measured for subject in subjects], saturated, loads


def find_two_ports() -> tuple[int, int]:
    """Ports for gRPC and REST."""
    first, second = free_ports(2)
    return first, second


def measure_cold_start(base: Path, core: int, connect: Callable[[ServerProcess], RestClient]) -> float:
    """The median of three starts, from the process's start to the first answer; nothing else starts meanwhile."""
    seconds = []
    for _ in range(3):
        with closing(ServerProcess(base, core, find_two_ports())) as started:
            seconds.append(started.wait_for_answer(lambda each=started: connect(each).ask))  # type: ignore[misc]
    return float(np.median(seconds))


def take_turns(subjects: list[Subject], requests: int) -> None:
    """Blocks of ten requests each; the first ones do not count."""
    for number in range(WARM_UP_BLOCKS + requests // BLOCK):
        if number == WARM_UP_BLOCKS:
            for subject in subjects:
                subject.measured.milliseconds.clear()
                subject.measured.cpu_milliseconds.clear()
        for subject in subjects:
            subject.run_block(BLOCK)


def measure_load(wire: str, connect: Any, seconds: float) -> UnderLoad:
    """What it takes at most, and how long requests take at a tenth and at 70 % of that."""
    saturated = saturate(connect, SATURATING_CLIENTS, seconds)
    rate = saturated.requests_per_second
    light = drive(connect, 0.1 * rate, seconds, seed=1)
    heavy = drive(connect, 0.7 * rate, seconds, seed=2)
    percentiles = saturated.percentile(95), light.percentile(95), heavy.percentile(95)
    return UnderLoad(wire, rate, *percentiles, heavy.refused, len(light.milliseconds), len(heavy.milliseconds))


def measure_engine(engine: EngineSubject, seconds: float) -> Saturated:
    """An engine alone under as many threads as the server has clients."""
    loaded = engine.saturate(SATURATING_CLIENTS, seconds)
    return Saturated(engine.measured.name, loaded.requests_per_second, loaded.percentile(95))


def format_table(measured: list[Measured]) -> str:
    """One line for each subject."""
    lines = [f"{'':<20}{'p50 ms':>9}{'p95 ms':>9}{'CPU ms':>9}{'RSS MiB':>9}{'cold s':>9}{'n':>6}"]
    for each in measured:
        numbers = f"{each.percentile(50):>9.2f}{each.percentile(95):>9.2f}{each.cpu_per_request_milliseconds:>9.2f}"
        memory = f"{each.resident_mebibytes:>9.0f}{each.cold_start_seconds:>9.2f}{len(each.milliseconds):>6}"
        lines.append(f"{each.name:<20}{numbers}{memory}")
    return "\n".join(lines)


def format_engines(engines: list[Saturated]) -> str:
    """One line for each engine."""
    lines = [f"{f'{SATURATING_CLIENTS} threads':<20}{'requests/s':>12}{'p95 ms':>9}"]
    lines += [f"{each.name:<20}{each.requests_per_second:>12.0f}{each.p95:>9.1f}" for each in engines]
    return "\n".join(lines)


def format_loads(loads: list[UnderLoad]) -> str:
    """One line for each wire."""
    return "\n".join(
        f"server by {load.wire}: {load.saturated_requests_per_second:.0f} requests/s at saturation"
        f" (p95 {load.saturated_p95:.1f} ms); Poisson arrivals: p95 {load.p95_at_10_percent:.1f} ms at 10 %,"
        f" {load.p95_at_70_percent:.1f} ms at 70 %, {load.refused_at_70_percent} refused"
        for load in loads
    )


def render_measured(each: Measured) -> dict[str, Any]:
    """The numbers of one subject as JSON."""
    return {
        "name": each.name,
        "requests": len(each.milliseconds),
        "p50Milliseconds": each.percentile(50),
        "p95Milliseconds": each.percentile(95),
        "cpuMilliseconds": each.cpu_per_request_milliseconds,
        "residentMebibytes": each.resident_mebibytes,
        "coldStartSeconds": each.cold_start_seconds,
    }


def describe_run(options: argparse.Namespace) -> dict[str, Any]:
    """Where the numbers come from."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "command": "make bench-server",
        "options": vars(options),
        "commit": commit.stdout.strip(),
        "cpu": read_processor(),
        "cores": len(os.sched_getaffinity(0)),
        "loadAverage": os.getloadavg()[0],
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
