"""How much of a window's CPU Prometheus knows when it is asked at the window's end, and how much some seconds later.

`python -m bench.window_end --state build/cluster MODEL…`, after `make demo`: 15 requests/s of 32 x 32 noise go to each
of these models, and every three seconds Prometheus is asked for the CPU of their pods over a minute that ended 0, 5, …
seconds before. The same questions are asked again when all of it is long known; what is told is the first answer over
the second.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from cluster.client import Client
from cluster.places import Places
from cluster.toolchain import binaries_folder
from demo_cluster.__main__ import NAMESPACE, OUT, REQUESTS_PER_SECOND
from demo_cluster.installation import SYSTEM_NAMESPACE
from demo_cluster.loading import Load, write_body, write_noise
from load.kpis import PrometheusPlace, parse_answer
from load.scenes import PROMETHEUS_SERVICE
from numpy.typing import NDArray

PROMETHEUS = PrometheusPlace(SYSTEM_NAMESPACE, PROMETHEUS_SERVICE)
WINDOW_SECONDS = 60
AGO_SECONDS = (0, 5, 10, 15, 20, 25)
EVERY_SECONDS = 3
KNOWN_AFTER_SECONDS = 60
FAR = 0.05

Answers = dict[tuple[str, str], float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a line for each end of the window."""
    parser = argparse.ArgumentParser(prog="bench.window_end", description="What a window lacks that ends now.")
    parser.add_argument("models", nargs="+", help="names of models of 32 x 32 colour images")
    parser.add_argument("--state", type=Path, default=Path("build/cluster"), help="the node's folder")
    parser.add_argument("--seconds", type=int, default=300, help="for how long to ask")
    options = parser.parse_args(arguments)
    places = Places(options.state.resolve(), binaries_folder())
    client = Client(places.binaries, places.kubeconfig)
    query = render_query(options.models)
    load = start_load(places, client, options.models, options.seconds + 3 * WINDOW_SECONDS)
    try:
        time.sleep(WINDOW_SECONDS + max(AGO_SECONDS))
        first = []
        until = time.monotonic() + options.seconds
        while time.monotonic() < until:
            at = time.time()
            first.append((at, ask(client, query, at)))
            time.sleep(max(0.0, at + EVERY_SECONDS - time.time()))
    finally:
        load.stop()
    time.sleep(KNOWN_AFTER_SECONDS)
    print_ratios([(answers, ask(client, query, at)) for at, answers in first])
    return 0


def render_query(models: Sequence[str]) -> str:
    """A value for each container's life and each end."""
    pods = "|".join(f"{model}-.+" for model in models)
    usage = f'container_cpu_usage_seconds_total{{namespace="{NAMESPACE}",container="server",pod=~"{pods}"}}'
    each = [f"increase({usage}[{WINDOW_SECONDS}s] offset {ago}s)" for ago in AGO_SECONDS]
    return " or ".join(
        f'label_replace(max by (pod) ({increase}), "ago", "{ago}", "", "")'
        for ago, increase in zip(AGO_SECONDS, each, strict=True)
    )


def start_load(places: Places, client: Client, models: Sequence[str], seconds: int) -> Load:
    """As the demo's."""
    body = write_body(write_noise(OUT / "noise.npy", (32, 32, 3)), OUT / "load" / "noise.json")
    targets = []
    for name in models:
        address = client.read("service", name, "-n", NAMESPACE)["spec"]["clusterIP"]
        url = f"http://{address}:8501/v1/models/{name}:predict"
        targets.append({"name": name, "url": url, "body": str(body), "rate": REQUESTS_PER_SECOND})
    return Load(places, OUT / "load", {"seconds": seconds, "targets": targets})


def ask(client: Client, query: str, at_unix: float) -> Answers:
    """The answers as of a time, by pod and end."""
    samples = parse_answer(client.kubectl("get", "--raw", PROMETHEUS.render_path(query, at_unix)))
    return {(each.labels["pod"], each.labels["ago"]): each.value for each in samples}


def print_ratios(pairs: Sequence[tuple[Answers, Answers]]) -> None:
    """A line for each end, of all pods and moments."""
    ratios: dict[str, list[float]] = defaultdict(list)
    for then, later in pairs:
        for key, value in then.items():
            if later.get(key):
                ratios[key[1]].append(value / later[key])
    for ago in map(str, AGO_SECONDS):
        print(f"ended {ago} s before: {format_spread(np.array(ratios[ago] or [np.nan]), FAR)}")


def format_spread(ratios: NDArray[np.float64], far: float) -> str:
    """How many there are, five quantiles, and how many are further from 1 than `far`."""
    quantiles = json.dumps([round(float(each), 3) for each in np.quantile(ratios, (0, 0.05, 0.5, 0.95, 1))])
    beyond = int((abs(ratios - 1) > far).sum())
    return f"n={ratios.size} least, 5 %, half, 95 %, most {quantiles}; {beyond} over {100 * far:g} % off"


if __name__ == "__main__":
    sys.exit(main())
