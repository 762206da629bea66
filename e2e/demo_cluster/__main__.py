"""`python -m demo_cluster`: the main job, in one command.

The local chain's first table while programs and images are built; then the node, the chart, the examples, one picture
asked through the Services, load until the autoscaler has scaled and the KPIs stand, and the savings. The cluster stays
up. Where no node can run, the local chain runs instead, which is said first and last.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.node import Node
from cluster.places import Places, cache_folder
from cluster.preflight import read_problems
from cluster.processes import ClusterError
from cluster.toolchain import binaries_folder
from stages import format_stages, say, timed

from demo_cluster.installation import DATA_CLAIM, Installation
from demo_cluster.loading import (
    Load,
    Pictures,
    ask_once,
    environment,
    pictures_of_version,
    write_body,
    write_noise,
)
from demo_cluster.models import Example, choose_examples, format_progress, format_savings, is_ready, is_stalled
from demo_cluster.provisioning import ROOT, Provisioning, end_by
from model_builder.dataset import DATA_VARIABLE, FOLDER

NAMESPACE = "modelpress-demo"
OUT = ROOT / "build" / "demo"
LOCAL = ROOT / "build" / "local"
READY_SECONDS = 1200
LOAD_SECONDS = 240
REQUESTS_PER_SECOND = 15.0
# savings need 1,000 requests within the examples' window of two minutes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when every model served, scaled and was measured, or the local chain did all it can."""
    parser = argparse.ArgumentParser(prog="demo_cluster", description="From kubectl apply to a measured model.")
    parser.add_argument("--state", type=Path, default=ROOT / "build" / "cluster", help="the node's folder")
    options = parser.parse_args(arguments)
    end_by(end)
    if problems := read_problems(options.state):
        return run_local_chain_instead("; ".join(problems))
    try:
        return run(options.state)
    except ClusterError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def end(number: int, *_: object) -> None:
    """A signal ends the demo as an error does, and with it what is being built."""
    sys.exit(128 + number)


def run_local_chain_instead(problem: str) -> int:
    """The chain without a cluster, saying so first and last."""
    notice = f"no Kubernetes node can run here ({problem}): this is the local chain, without operator and cluster"
    say(notice)
    status = run_local_chain()
    say(notice)
    return status


def run_local_chain(*options: str) -> int:
    """The local chain in a process of its own."""
    command = [sys.executable, str(ROOT / "e2e" / "local" / "demo.py"), *options]
    return subprocess.run(command, check=False, env=environment(), cwd=ROOT).returncode


def run(state: Path) -> int:
    """The whole job."""
    stages: dict[str, float] = {}
    with Provisioning(OUT / "provisioning.log") as provisioning:
        with timed(stages, "local chain"):
            say("the local chain first; programs and images for the node are built beside it")
            data = run_first_table()
        with timed(stages, "programs and images"):
            provisioning.wait()
    installation = Installation(Node(Places(state.resolve(), binaries_folder())), NAMESPACE, OUT / "volumes")
    with timed(stages, "node"):
        installation.node.up(say)
        installation.load_images(provisioning.images)
    with timed(stages, "chart"):
        install(installation, provisioning.images, data)
    examples = choose_examples(data is not None)
    with timed(stages, "apply to Ready"):
        apply_examples(installation, examples)
        models = wait_until_ready(installation, examples)
    pictures = choose_pictures(examples)
    with timed(stages, "asking"):
        ask_models(installation, models, pictures)
    with timed(stages, "load"):
        finished = load_until_measured(installation, examples, pictures)
    print_results(installation, examples, stages)
    return 0 if finished else 1


def run_first_table() -> Path | None:
    """The local chain's trained pair; the folder of its CIFAR-10, None where it was of the digits.

    A CNN that was trained before is used again without its data; a cluster cannot build it without.

    Raises:
        ClusterError: when the chain failed.
    """
    if "cnn-a125-b8" not in run_trained_pair():
        return None
    data = find_cifar10()
    if data is None:
        say(f"the cluster cannot build this pair: its CIFAR-10 is gone ({DATA_VARIABLE} names its folder)")
        run_trained_pair("--digits")
    return data


def run_trained_pair(*options: str) -> list[str]:
    """The local chain's trained pair: the names of its models.

    Raises:
        ClusterError: when the chain failed.
    """
    if run_local_chain("--first-table", *options) != 0:
        raise ClusterError("the local chain failed; its own words stand above")
    return [row["name"] for row in json.loads((LOCAL / "results.json").read_text())["rows"]]


def find_cifar10() -> Path | None:
    """The folder of CIFAR-10, where it is on this machine."""
    given = os.environ.get(DATA_VARIABLE)
    candidates = [Path(given) / FOLDER, Path(given)] if given else [cache_folder() / FOLDER]
    return next((folder for folder in candidates if (folder / "test_batch.bin").exists()), None)


def install(installation: Installation, images: Mapping[str, str], data: Path | None) -> None:
    """Namespaces, volumes and the chart."""
    say("installing charts/modelpress by Helm, with its Prometheus")
    installation.make_namespaces()
    installation.make_store_volume()
    if data is not None:
        installation.provide_data(data)
    installation.install_chart(images, {"data.claimName": DATA_CLAIM} if data is not None else {})


def apply_examples(installation: Installation, examples: Sequence[Example]) -> None:
    """`kubectl apply` of each."""
    for example in examples:
        say(f"kubectl apply -n {NAMESPACE} -f {example.describe()}")
        placed = installation.place_artifact(example.artifact) if example.artifact else None
        installation.client.kubectl("apply", "-n", NAMESPACE, "-f", "-", text=json.dumps(example.read_manifest(placed)))


def read_models(installation: Installation, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """The objects, in the order of the examples."""
    found = {each["metadata"]["name"]: each for each in installation.client.read("cmod", "-n", NAMESPACE)["items"]}
    return [found[example.name] for example in examples]


def wait_until_ready(installation: Installation, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """All of them Ready; says what changes.

    Raises:
        ClusterError: when one stalls, or it takes too long.
    """
    deadline = time.monotonic() + READY_SECONDS
    told: dict[str, str] = {}
    while True:
        models = read_models(installation, examples)
        for model in models:
            name, line = model["metadata"]["name"], format_progress(model)
            if told.get(name) != line:
                told[name] = line
                say(line)
        if all(is_ready(model) for model in models):
            return models
        stalled = [told[model["metadata"]["name"]] for model in models if is_stalled(model)]
        if stalled or time.monotonic() > deadline:
            waiting = [line for line in told.values() if not line.endswith(": Ready")]
            raise ClusterError("; ".join(stalled or waiting) + f" (kubectl describe cmod -n {NAMESPACE})")
        time.sleep(1)


def choose_pictures(examples: Sequence[Example]) -> dict[str, Pictures]:
    """What each model is asked: golden images of the local chain, or noise where VGG-16 saw no data."""
    found = {example.name: pictures_of_version(LOCAL / "models" / example.name / "1") for example in examples[:2]}
    has_data = examples[2].maximum_steps != 0
    asked = found[examples[1].name] if has_data else write_noise(OUT / "noise.npy", (32, 32, 3))
    found |= {example.name: asked for example in examples[2:]}
    return found


def read_service_address(installation: Installation, name: str) -> str:
    """The cluster address of a model's Service."""
    address: str = installation.client.read("service", name, "-n", NAMESPACE)["spec"]["clusterIP"]
    return address


def ask_models(
    installation: Installation, models: Sequence[Mapping[str, Any]], pictures: Mapping[str, Pictures]
) -> None:
    """One picture by REST and by gRPC, through each Service.

    Raises:
        ClusterError: when one does not answer.
    """
    for model in models:
        name = model["metadata"]["name"]
        address = read_service_address(installation, name)
        if not ask_once(installation.node.places, name, address, pictures[name]):
            raise ClusterError(f"{name} does not answer through its Service")


def load_until_measured(
    installation: Installation, examples: Sequence[Example], pictures: Mapping[str, Pictures]
) -> bool:
    """Load until an autoscaler has scaled and every comparison stands, or the time is over; whether both came."""
    targets = [
        {
            "name": example.name,
            "url": f"http://{read_service_address(installation, example.name)}:8501/v1/models/{example.name}:predict",
            "body": str(write_body(pictures[example.name], OUT / "load" / f"{example.name}.json")),
            "rate": REQUESTS_PER_SECOND,
        }
        for example in examples
    ]
    say(
        f"load: {REQUESTS_PER_SECOND:g} requests/s to each model, inside the node's namespace, {LOAD_SECONDS} s at most"
    )
    load = Load(installation.node.places, OUT / "load", {"seconds": LOAD_SECONDS, "targets": targets})
    told, finished = 0.0, False
    try:
        while not load.is_over() and not finished:
            time.sleep(2)
            models = read_models(installation, examples)
            scaled = any(model.get("status", {}).get("serving", {}).get("readyReplicas", 0) > 1 for model in models)
            finished = scaled and all(is_measured(model, models) for model in models)
            if time.monotonic() - told > 10:
                told = time.monotonic()
                say("  " + "; ".join(format_load(model) for model in models))
    finally:
        load.stop()
    for target in load.latest().get("targets", ()):
        seen = f"p95 {target['p95']} ms seen by the client, from each request's planned time" if "p95" in target else ""
        say(f"{target['name']}: {target['ok']} answers, failures: {target['failures'] or 'none'}; {seen}")
    return finished


def is_measured(model: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the KPIs stand, and the savings where the baseline is here."""
    status = model.get("status", {})
    names = {each["metadata"]["name"] for each in models}
    has_baseline = model["spec"].get("baseline", {}).get("name") in names
    return "p95LatencyMilliseconds" in status.get("kpis", {}) and ("savings" in status or not has_baseline)


def format_load(model: Mapping[str, Any]) -> str:
    """Replicas and KPIs of a model under load."""
    status = model.get("status", {})
    serving, kpis = status.get("serving", {}), status.get("kpis", {})
    numbers = f"p95 {kpis.get('p95LatencyMilliseconds', '-')} ms, {kpis.get('cpuMillicores', '-')} mCores"
    return f"{model['metadata']['name']} {serving.get('readyReplicas', 0)} replicas, {numbers}"


def print_results(installation: Installation, examples: Sequence[Example], stages: Mapping[str, float]) -> None:
    """The models as kubectl shows them, the savings, and what to do next."""
    client = installation.client
    print(f"\n{client.kubectl('get', 'cmod', '-n', NAMESPACE, '-o', 'wide')}")
    print(format_savings(read_models(installation, examples)))
    for example in examples:
        if example.maximum_steps is not None:
            print(
                f"{example.name}: {example.maximum_steps} training steps only: untrained; size, speed and memory only"
            )
    print()
    say(format_stages(dict(stages)))
    places = installation.node.places
    print(
        f"""
The cluster is up. To go on:
  export KUBECONFIG={places.kubeconfig} PATH={places.binaries}:$PATH
  kubectl get cmod -n {NAMESPACE} -o wide
  kubectl describe cmod {examples[1].name} -n {NAMESPACE}
  kubectl explain cmod.spec.compression
  make cluster-down    # ends it; known artifacts stay in {(OUT / "volumes").relative_to(ROOT)} until make clean"""
    )


if __name__ == "__main__":
    sys.exit(main())
