"""How far a minute's CPU is from what it should be: by `increase`, and by two samples' difference over their times.

`python -m bench.window_forms RESULTS.json`, after `make e2e-load`, while its node is up: for each run of ours, each
second, CPU a request over the minute before, over the median of the run's seconds at its height, where at least 97 % of
the most requests came. All samples are long known, so that only the form makes a difference.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from bench.window_end import PROMETHEUS, format_spread
from cluster.client import Client
from cluster.places import Places
from cluster.toolchain import binaries_folder
from load.scenes import NAMESPACE
from numpy.typing import NDArray

SECONDS = 60
FIRST_SECONDS = SECONDS + 5
HEIGHT = 0.97
FAR = 0.1


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each form, at the height of the load and over all of it."""
    parser = argparse.ArgumentParser(prog="bench.window_forms", description="Two ways to tell a minute's CPU.")
    parser.add_argument("results", type=Path, help="results.json of the load experiment")
    parser.add_argument("--state", type=Path, default=Path("build/cluster"), help="the node's folder")
    options = parser.parse_args(arguments)
    places = Places(options.state.resolve(), binaries_folder())
    client = Client(places.binaries, places.kubeconfig)
    runs = [run for run in json.loads(options.results.read_text())["runs"] if run["operator"]]
    for form, render in {"increase": render_increase, "difference": render_difference}.items():
        found = [measure(client, run, render(render_pods(run))) for run in runs]
        for part, place in (("at its height", 0), ("all of it", 1)):
            print(f"{form}, {part}: {format_spread(np.concatenate([each[place] for each in found]), FAR)}")
    return 0


def render_pods(run: Mapping[str, Any]) -> str:
    """The labels of the run's pods."""
    return f'namespace="{NAMESPACE}",pod=~"{run["configuration"]}-[a-z0-9]+-[a-z0-9]{{5}}"'


def render_increase(pods: str) -> str:
    """What the operator asks."""
    return f"sum(increase({render_usage(pods)}[{SECONDS}s]))"


def render_difference(pods: str) -> str:
    """From the last sample before the minute to the last within it, taken to a minute; else as the operator asks."""
    end, start = render_usage(pods), f"{render_usage(pods)} offset {SECONDS}s"
    seconds = f"timestamp({end}) - timestamp({start}) > {0.75 * SECONDS}"
    ended = f"resets({end}[{2 * SECONDS}s]) > 0"
    return f"sum(({end} - {start}) * {SECONDS} / ({seconds}) unless {ended} or increase({end}[{SECONDS}s]))"


def render_usage(pods: str) -> str:
    """The kubelet's counter."""
    return f'container_cpu_usage_seconds_total{{container="server",{pods}}}'


def measure(client: Client, run: Mapping[str, Any], usage: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """CPU a request over the median at the height of the load: there, and over all of the run."""
    counter = f'{{__name__=":tensorflow:serving:request_latency_count",API!="",{render_pods(run)}}}'
    requests = ask(client, f"sum(increase({counter}[{SECONDS}s]))", run)
    each = ask(client, usage, run) / requests
    high = requests > HEIGHT * requests.max()
    ratios = each / np.median(each[high])
    return ratios[high], ratios


def ask(client: Client, query: str, run: Mapping[str, Any]) -> NDArray[np.float64]:
    """The query's value at each second of the run whose minute lies within it."""
    window = {"start": run["startedUnix"] + FIRST_SECONDS, "end": run["endedUnix"], "step": 1}
    service = f"/api/v1/namespaces/{PROMETHEUS.namespace}/services/{PROMETHEUS.service}"
    path = f"{service}/proxy/api/v1/query_range?{urlencode({'query': query, **window})}"
    (series,) = json.loads(client.kubectl("get", "--raw", path))["data"]["result"]
    return np.array([float(value) for _, value in series["values"]])


if __name__ == "__main__":
    sys.exit(main())
