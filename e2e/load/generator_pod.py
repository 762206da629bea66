"""`python -m load.generator_pod ORDER`: what a Job of the load experiment does in its pod; the answer is in its log.

ORDER is JSON, see `Order`; without a profile the pod says on which machine it is and sends nothing. A log is all that a
pod leaves for whoever may read pods, so the samples stand in it as base64, in lines that are counted and have a digest:
a log that was cut is refused.
"""

import argparse
import base64
import dataclasses
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from load.bodies import Pictures, write_bodies
from load.generating import Generator, GeneratorError, GeneratorRun, Protocol, Target
from load.machine import Machine, read_machine
from load.profiles import Profile, parse_profile

IMAGES_FOLDER = "/images"
IMAGES = "images.npy"
_ANSWER, _PART = "modelpress-generator: ", "modelpress-samples: "
_PART_CHARACTERS = 8000
"""Container runtimes keep lines of up to 16 KiB in one piece."""


@dataclass(frozen=True)
class Order:
    """One run.

    Attributes:
        target: what is asked; its folder of requests is made in the pod, from the images.
        profile: when.
        seed: the same seed sends at the same times.
        protocol: by which.
        generator: "jmeter" asks over REST alone.
    """

    target: Target
    profile: Profile
    seed: int
    protocol: Protocol
    generator: Generator

    def render(self) -> str:
        """As an argument."""
        told = dataclasses.asdict(self)
        del told["target"]["bodies"]
        return json.dumps(told)


def parse_order(text: str, bodies: Path) -> Order | None:
    """What `Order.render` wrote, with its requests in that folder; None of an order that names no profile."""
    told: dict[str, Any] = json.loads(text)
    if "profile" not in told:
        return None
    return Order(
        target=Target(**told["target"], bodies=bodies),
        profile=parse_profile(told["profile"]),
        seed=told["seed"],
        protocol=told["protocol"],
        generator=told["generator"],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was ordered; 0 with the answer in the log, 1 with one sentence in it."""
    parser = argparse.ArgumentParser(prog="load.generator_pod", description="One run of a load generator in a pod.")
    parser.add_argument("order")
    parser.add_argument("--images", type=Path, default=Path(IMAGES_FOLDER), help=f"folder of {IMAGES}")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="modelpress-generator-") as name:
        folder = Path(name)
        order = parse_order(options.order, folder / "bodies")
        if order is None:
            print(_ANSWER + json.dumps(dataclasses.asdict(read_machine())), flush=True)
            return 0
        try:
            write_bodies(order.target.bodies, read_pictures(options.images / IMAGES))
            run = carry_out(order, folder / "samples.csv.gz")
        except (GeneratorError, OSError) as error:
            print(f"load.generator_pod: {error}", file=sys.stderr)
            return 1
        print("\n".join(render_answer(run)), flush=True)
    return 0


def read_pictures(file: Path) -> Pictures:
    """The images that the experiment gave.

    Raises:
        GeneratorError: when the file is none.
    """
    try:
        images = np.load(file, allow_pickle=False)
    except ValueError as error:
        raise GeneratorError(f"{file} is no array of images ({error})") from error
    return Pictures(images, np.full(len(images), -1), "images of the experiment")


def carry_out(order: Order, out: Path) -> GeneratorRun:
    """The run by the generator that was ordered.

    Raises:
        GeneratorError: when it cannot be run.
    """
    if order.generator == "jmeter":
        from load import jmeter

        return jmeter.run_plan(order.target, order.profile, order.seed, out)
    from load import grpc_open_model

    return grpc_open_model.run_plan(order.target, order.profile, order.seed, out, protocol=order.protocol)


def render_answer(run: GeneratorRun) -> list[str]:
    """The lines of a log that tell a run and its samples."""
    samples = run.samples.read_bytes()
    text = base64.b64encode(samples).decode()
    parts = [text[place : place + _PART_CHARACTERS] for place in range(0, len(text), _PART_CHARACTERS)]
    told = dataclasses.asdict(run) | {"parts": len(parts), "sha256": hashlib.sha256(samples).hexdigest()}
    del told["samples"]
    return [*(_PART + part for part in parts), _ANSWER + json.dumps(told)]


def parse_answer(log: str, out: Path) -> GeneratorRun:
    """The run that a log tells, with its samples in the file.

    Raises:
        GeneratorError: when the log holds no whole answer.
    """
    told = _find_answer(log)
    parts = [line.removeprefix(_PART) for line in log.splitlines() if line.startswith(_PART)]
    number, digest = told.pop("parts", None), told.pop("sha256", None)
    samples = base64.b64decode("".join(parts)) if len(parts) == number else b""
    if hashlib.sha256(samples).hexdigest() != digest:
        raise GeneratorError(
            f"the generator's log holds {len(parts)} of {number} parts of its samples: raise the kubelet's"
            " containerLogMaxSize, or see what else writes to the pod's log"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(samples)
    return GeneratorRun(samples=out, **told)


def parse_machine(log: str) -> Machine:
    """The machine that a log tells of.

    Raises:
        GeneratorError: when it tells of none.
    """
    return Machine(**_find_answer(log))


def _find_answer(log: str) -> dict[str, Any]:
    lines = log.splitlines()
    answer = next((line for line in reversed(lines) if line.startswith(_ANSWER)), None)
    if answer is None:
        raise GeneratorError(f"the generator's pod gave no answer; it said last: {' | '.join(lines[-3:]) or 'nothing'}")
    found: dict[str, Any] = json.loads(answer.removeprefix(_ANSWER))
    return found


if __name__ == "__main__":
    sys.exit(main())
