"""`make bench-operator`: the operator with many models on a real API server, beside a bare loop of the same writes.

usage: PYTHONPATH=e2e:e2e/apiserver python -m bench.operator_scale [--models 1000] [--reconciles 20000] [--changes 100]

Each model has its artifact (a record), a Deployment, Service, HorizontalPodAutoscaler, PodDisruptionBudget and one pod;
no controller runs beside. First a loop of four threads does the writes that the operator does for one model, for every
model and nothing else; then, on an API server of its own, the operator starts before the same models. Every number goes
to build/bench-operator.json, and the targets stand in the table with what was reached.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import urllib3
from bench.operator_cluster import BenchCluster, read_page, read_samples
from bench.operator_numbers import (
    Target,
    fit_slope,
    format_targets,
    percentile,
    read_memory_mebibytes,
    read_processor_seconds,
)
from cluster.apiserver import ApiServer
from cluster.client import wait_until
from cluster.toolchain import build_programs
from operator_play import ROOT, OperatorProcess, write_operator_kubeconfig

CRD = ROOT / "crds" / "compressedmodels.yaml"
OUT = ROOT / "build" / "bench-operator.json"
QUIET_SECONDS = 5.0
STEADY_SECONDS = 3600.0
WRITES = {"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}
POINTS = 40


def main() -> int:
    """Measure and print; 1 when a target of 1,000 models is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--namespaces", type=int, default=10)
    parser.add_argument("--reconciles", type=int, default=20_000, help="passes that memory is followed over; 0: none")
    parser.add_argument("--changes", type=int, default=100, help="changes whose time to the Deployment is taken")
    parser.add_argument("--idle-seconds", type=float, default=120.0)
    options = parser.parse_args()
    document: dict[str, Any] = {"run": describe_run(options)}
    print(json.dumps(document["run"]), flush=True)
    binaries = build_programs(lambda message: print(message, file=sys.stderr))
    with api_server(binaries, options) as (_, cluster):
        loop_seconds, writes = run_bare_loop(cluster)
    document["bare loop"] = {"seconds": loop_seconds, "writes for a model": writes}
    print(f"bare loop: {loop_seconds:.1f} s for {writes} writes of each model", flush=True)
    with api_server(binaries, options) as (server, cluster):
        measured = run_operator(server, cluster, options)
    document |= measured
    targets = plan_targets(options, loop_seconds, measured)
    document["targets"] = [asdict(target) | {"verdict": target.verdict} for target in targets]
    print(f"\n| {options.models} models | measured | target | |\n|---|---|---|---|\n{format_targets(targets)}")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(document, indent=2) + "\n")
    print(f"every number: {OUT.relative_to(ROOT)}")
    return int(any(target.verdict == "NOT reached" for target in targets))


@contextmanager
def api_server(binaries: Path, options: argparse.Namespace) -> Iterator[tuple[ApiServer, BenchCluster]]:
    """An API server with the CRD and the namespaces, and who works on it."""
    with ApiServer(binaries) as server:
        server.apply_crd(CRD.read_text())
        cluster = BenchCluster(server.kubeconfig, options.models, options.namespaces)
        try:
            cluster.make_namespaces()
            yield server, cluster
        finally:
            cluster.close()


def run_bare_loop(cluster: BenchCluster) -> tuple[float, int]:
    """Seconds of the loop, and how many writes a model has."""
    cluster.each(cluster.make_model, cluster.keys)
    uid, writes = cluster.record_writes()
    return cluster.each(lambda key: cluster.replay(key, uid, writes), cluster.keys), len(writes)


def run_operator(server: ApiServer, cluster: BenchCluster, options: argparse.Namespace) -> dict[str, Any]:
    """Start the operator before all models and measure it in each of its states."""
    cluster.each(cluster.make_model, cluster.keys)
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = write_operator_kubeconfig(server, Path(folder))
        with OperatorProcess(kubeconfig, Path(folder) / "log") as operator:
            try:
                return measure_operator(operator, cluster, options)
            except BaseException:
                print(operator.words(), file=sys.stderr)
                raise


def measure_operator(operator: OperatorProcess, cluster: BenchCluster, options: argparse.Namespace) -> dict[str, Any]:
    """One state after the other."""
    process = operator.process.pid
    seconds = wait_until_steady(operator.metrics_port, 6 * options.models)
    print(f"all children applied: {seconds:.1f} s", flush=True)
    memory = {"children applied": read_memory_mebibytes(process), "most at the start": read_most(process)}
    cluster.each(cluster.serve, cluster.keys)
    wait_until(
        lambda: read_metrics(operator.metrics_port).get(("modelpress_models", "true"), 0),
        lambda ready: ready == options.models,
        STEADY_SECONDS,
        "models that are ready",
    )
    wait_until_steady(operator.metrics_port, 0)
    memory |= {"pods ready": read_memory_mebibytes(process), "most so far": read_most(process)}
    print(f"memory: {memory}", flush=True)
    idle = measure_idle(operator, cluster, options.idle_seconds)
    print(f"idle: {idle}", flush=True)
    chance = random.Random(1)  # noqa: S311 - no secret
    changes = [cluster.change(chance.choice(cluster.keys), number) for number in range(options.changes)]
    print(f"changes: median {percentile(changes, 50):.3f} s, p95 {percentile(changes, 95):.3f} s", flush=True)
    memory["after the changes"] = read_memory_mebibytes(process)
    points = follow_memory(operator, cluster, options.reconciles)
    return {
        "seconds to steady": seconds,
        "memory MiB": memory,
        "idle": idle,
        "seconds from change to Deployment": changes,
        "memory MiB over reconciles": points,
        "cached": {
            kind: count
            for (name, kind), count in read_metrics(operator.metrics_port).items()
            if name == "modelpress_cached_objects"
        },
        "healthz": read_page(operator.health_port, "healthz"),
    }


def read_most(process: int) -> float:
    """The most memory that it ever held, MiB."""
    return read_memory_mebibytes(process, "VmHWM")


def read_metrics(port: int) -> dict[tuple[str, str], float]:
    """The operator's samples by name and verb, or their only label; those that differ in others are added up."""
    found: dict[tuple[str, str], float] = {}
    for sample in read_samples(read_page(port, "metrics")):
        place = sample.name, sample.labels.get("verb", next(iter(sample.labels.values()), ""))
        found[place] = found.get(place, 0) + sample.value
    return found


def count_writes(metrics: dict[tuple[str, str], float]) -> float:
    """Writes that the operator has made."""
    return sum(metrics.get(("modelpress_api_requests_total", verb), 0) for verb in ("create", "patch", "delete"))


def wait_until_steady(port: int, least_writes: int) -> float:
    """Seconds from now to the last write before a while without any."""
    begun = last = time.monotonic()
    seen = -1.0

    def look() -> float:
        nonlocal seen, last
        try:
            now = count_writes(read_metrics(port))
        except urllib3.exceptions.HTTPError:
            now = seen  # it has just been started
        if now != seen:
            seen, last = now, time.monotonic()
        return seen if time.monotonic() - last >= QUIET_SECONDS else -1.0

    wait_until(look, lambda writes: writes >= least_writes, STEADY_SECONDS, "writes that ended")
    return last - begun


def measure_idle(operator: OperatorProcess, cluster: BenchCluster, seconds: float) -> dict[str, Any]:
    """Requests and processor time while nothing changes."""
    process = operator.process.pid
    counts, used = cluster.count_requests(), read_processor_seconds(process)
    reconciles = read_metrics(operator.metrics_port)["modelpress_reconciles_total", "done"]
    begun = time.monotonic()
    time.sleep(seconds)
    taken = time.monotonic() - begun
    passes = read_metrics(operator.metrics_port)["modelpress_reconciles_total", "done"] - reconciles
    processor = read_processor_seconds(process) - used
    after = cluster.count_requests()
    by_verb: dict[str, float] = {}
    for place, count in after.items():
        by_verb[place[0]] = by_verb.get(place[0], 0) + count - counts.get(place, 0)
    return {
        "seconds": taken,
        "requests": {verb: count for verb, count in by_verb.items() if count},
        "writes": sum(count for verb, count in by_verb.items() if verb in WRITES),
        "requests a second": sum(by_verb.values()) / taken,
        "passes": passes,
        "millicores": 1000 * processor / taken,
    }


def follow_memory(operator: OperatorProcess, cluster: BenchCluster, reconciles: int) -> list[tuple[float, float]]:
    """Memory, in MiB, after so many passes, each from an event about a child."""
    points: list[tuple[float, float]] = []
    if not reconciles:
        return points

    def count() -> float:
        return read_metrics(operator.metrics_port)["modelpress_reconciles_total", "done"]

    first = done = count()
    following = 0.0
    while done - first < reconciles:
        keys = random.sample(cluster.keys, min(len(cluster.keys), 500))
        expected = done + len(keys)
        cluster.each(cluster.touch, keys)
        done = wait_until(
            count, lambda now, expected=expected: now >= expected, STEADY_SECONDS, "passes over what was touched"
        )
        if done - first >= following:
            points.append((done - first, read_memory_mebibytes(operator.process.pid)))
            print(f"memory after {points[-1][0]:.0f} passes: {points[-1][1]:.1f} MiB", flush=True)
            following += reconciles / POINTS
    return points


def plan_targets(options: argparse.Namespace, loop_seconds: float, measured: dict[str, Any]) -> list[Target]:
    """What should be reached with 1,000 models; with others the same is told without a bound."""
    bound = (lambda value: value) if options.models == 1000 else (lambda _: None)
    memory, idle, points = measured["memory MiB"], measured["idle"], measured["memory MiB over reconciles"]
    changes = measured["seconds from change to Deployment"]
    found = [
        Target("memory, all children applied and pods ready", memory["pods ready"], "MiB", bound(160.0)),
        Target("most memory until then", memory["most so far"], "MiB"),
        Target("start to steady, over the bare loop", measured["seconds to steady"] / loop_seconds, "", bound(3.0)),
        Target("one change to its Deployment, p95", percentile(changes, 95), "s", bound(1.0)),
        Target("one change to its Deployment, median", percentile(changes, 50), "s"),
        Target("idle: writes to models and children", idle["writes"], "", bound(0.0)),
        Target("idle: requests", idle["requests a second"], "a second", bound(1.0)),
        Target("idle: processor", idle["millicores"], "millicores"),
    ]
    if points:
        half = points[len(points) // 2 :]
        found += [
            Target(f"memory over {points[-1][0]:.0f} passes", 1024 * fit_slope(points) * 1000, "KiB a 1000 passes"),
            Target("its second half", 1024 * fit_slope(half) * 1000, "KiB a 1000 passes"),
            Target("memory at its end", points[-1][1], "MiB"),
        ]
    return found


def describe_run(options: argparse.Namespace) -> dict[str, Any]:
    """What a number stands on."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "options": vars(options),
        "processor": processor,
        "cores": os.cpu_count(),
        "load before": os.getloadavg()[0],
        "python": platform.python_version(),
        "kopf": version("kopf"),
        "kubernetes client": version("kubernetes"),
        "commit": commit.stdout.strip(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


if __name__ == "__main__":
    sys.exit(main())
