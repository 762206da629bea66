"""Load on the models' Services from inside the node's namespace, which has no way out."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cluster.places import Places
from load.asking import render_predict_body
from numpy.typing import NDArray
from stages import say

E2E = Path(__file__).resolve().parents[1]


def run_inside(places: Places, *arguments: str) -> list[str]:
    """The command that runs a module of ours in the namespace."""
    return [*places.enter(), sys.executable, "-m", *arguments]


def environment() -> dict[str, str]:
    """Of a module of ours in another process."""
    return {**os.environ, "PYTHONPATH": str(E2E)}


@dataclass(frozen=True)
class Pictures:
    """What a model is asked.

    Attributes:
        inputs: .npy of uint8 images (n, height, width, channels).
        labels: file with a name a class; None where the classes have no meaning.
    """

    inputs: Path
    labels: Path | None = None

    def read_first(self) -> NDArray[np.uint8]:
        """The first image."""
        images: NDArray[np.uint8] = np.load(self.inputs, allow_pickle=False)
        return images[0]


def pictures_of_version(version: Path) -> Pictures:
    """The golden images and the labels of an unpacked version."""
    return Pictures(version / "assets.extra" / "golden" / "inputs.npy", version / "assets.extra" / "labels.txt")


def write_noise(target: Path, shape: tuple[int, int, int]) -> Pictures:
    """One picture of seeded noise, for a network that has seen no data."""
    target.parent.mkdir(parents=True, exist_ok=True)
    np.save(target, np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8))
    return Pictures(target)


def ask_once(places: Places, name: str, address: str, pictures: Pictures) -> bool:
    """One picture by REST and by gRPC; whether both gave the same class."""
    labels = [str(pictures.labels)] if pictures.labels else []
    command = run_inside(places, "demo_cluster.asking_once", name, address, str(pictures.inputs), *labels)
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment())
    for line in done.stdout.splitlines():
        say(line)
    if done.returncode != 0:
        say(f"{name}: {(done.stderr.strip().splitlines() or ['the two protocols disagree'])[-1]}")
    return done.returncode == 0


class Load:
    """An open-model load that runs in a process of its own until it is over or stopped.

    Attributes:
        lines: the generator's output so far.
    """

    def __init__(self, places: Places, folder: Path, plan: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        plan_file = folder / "plan.json"
        plan_file.write_text(json.dumps(plan, indent=2) + "\n")
        self._output = (folder / "load.jsonl").open("w+")
        self._errors = (folder / "load.log").open("w+")
        command = run_inside(places, "load.open_model", str(plan_file))
        self._process = subprocess.Popen(command, stdout=self._output, stderr=self._errors, env=environment())
        self._path = folder / "load.jsonl"

    def is_over(self) -> bool:
        """Whether the generator has ended."""
        return self._process.poll() is not None

    def latest(self) -> dict[str, Any]:
        """The generator's last line; empty before the first."""
        lines = self._path.read_text().splitlines()
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return found

    def stop(self) -> None:
        """End the generator, when it still runs."""
        if not self.is_over():
            self._process.terminate()
        self._process.wait()
        self._output.close()
        self._errors.close()


def list_failures(told: Mapping[str, Any], most_refused: float = 0.01) -> dict[str, int]:
    """What failed of a target, by its reason; none where a server told few clients to come again.

    A machine that stands still for seconds has more waiting afterwards than is answered in time, and 429 says so.

    Args:
        told: a target of the generator's last line.
        most_refused: of its requests, 0..1; more of 429 are failures like any other.
    """
    failures: dict[str, int] = dict(told["failures"])
    refused = failures.pop("HTTP 429", 0)
    requests = told["ok"] + refused + sum(failures.values())
    return failures | ({"HTTP 429": refused} if refused > most_refused * requests else {})


def write_body(pictures: Pictures, target: Path) -> Path:
    """A REST request with the first picture."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(render_predict_body(pictures.read_first()))
    return target
