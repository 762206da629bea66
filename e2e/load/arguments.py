"""The command line of `modelpress-bench`, and what is asked for by it."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from load.autoscaled import Metric, ScalingPlan
from load.conducting import Plan
from load.configurations import BASELINES, NETWORKS, Limits
from load.flask_pod import FlaskServer
from load.profiles import PROFILES
from load.results import Protocol
from load.scenes import NAMESPACE, PROMETHEUS_SERVICE

ROOT = Path(__file__).resolve().parents[2]
SHORT_SECONDS = 20.0
SHORT_SATURATION_SECONDS = 0.0
LEAST_SATURATION_SECONDS = 10.0
"""Of a flat rate: at two requests a second it needs so long to say anything."""


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="modelpress-bench", description="The paper's load experiment.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|scaling|report")
    commands.add_parser("report", help="tables and plots of a results.json", add_help=False)
    _add_run(commands.add_parser("run", help="measure", formatter_class=argparse.ArgumentDefaultsHelpFormatter))
    scaling = "whether replicas follow a load that doubles, and one with bursts of five times"
    _add_scaling(commands.add_parser("scaling", help=scaling, formatter_class=argparse.ArgumentDefaultsHelpFormatter))
    return parser


def _add_scaling(asked: argparse.ArgumentParser) -> None:
    _add_place(asked)
    asked.add_argument("--network", choices=NETWORKS, default="vgg16", help="its most compressed form is scaled")
    asked.add_argument("--metric", choices=get_args(Metric), default="cpu", help="requests: by prometheus-adapter")
    asked.add_argument("--rate", type=_positive(float), default=10.0, help="requests a second before the load rises")
    asked.add_argument("--short", action="store_true", help="the digits network, shorter loads, one burst")


def _add_run(asked: argparse.ArgumentParser) -> None:
    _add_place(asked)
    asked.add_argument("--networks", type=_names(NETWORKS), default="vgg16,cnn", help=", ".join(NETWORKS))
    asked.add_argument(
        "--configurations",
        type=_parts,
        default=(),
        help="of each network: a0-b32,a125-b8, names, or patterns such as '*-b8'; a0-b32 must be among them",
    )
    asked.add_argument("--protocols", type=_names(get_args(Protocol)), default="rest,grpc")
    asked.add_argument("--baselines", type=_names(BASELINES, empty=True), default="flask", help=", ".join(BASELINES))
    asked.add_argument("--profiles", type=_names(tuple(PROFILES)), default=",".join(PROFILES))
    asked.add_argument("--blocks", type=_positive(int), default=3, help="how often all of it is done")
    asked.add_argument("--seconds", type=_positive(float), default=120.0, help="of a run")
    asked.add_argument(
        "--saturation-seconds", type=_saturation_seconds, default=20.0, help="of each flat rate; 0: leave it out"
    )
    asked.add_argument("--short", action="store_true", help="two configurations of a network, n75 for 20 s, one block")
    asked.add_argument("--flask-server", choices=get_args(FlaskServer), default="flask", help="its own, with threads")
    asked.add_argument("--flask-image", default="", help="with --context: as the cluster pulls it")


def _add_place(asked: argparse.ArgumentParser) -> None:
    """What every measuring command takes."""
    place = asked.add_mutually_exclusive_group()
    place.add_argument("--context", help="a context of kubectl, or `current`; no node is made")
    place.add_argument("--state", type=Path, default=ROOT / "build" / "cluster", help="the embedded node's folder")
    asked.add_argument("--namespace", default=NAMESPACE, help="with --context: has a store, see docs/load-tests.md")
    asked.add_argument(
        "--prometheus", default=f"modelpress-system/{PROMETHEUS_SERVICE}", help="with --context: NAMESPACE/SERVICE:PORT"
    )
    asked.add_argument("--rest-generator", choices=("jmeter", "python"), default="jmeter")
    asked.add_argument("--cpu", default=Limits.cpu, help="limit of every server")
    asked.add_argument("--memory", default=Limits.memory, help="limit of every server")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--prices", type=Path, help="a price list in place of the example, e2e/load/prices.json")
    asked.add_argument("--allow-noise", action="store_true", help="send noise where CIFAR-10 cannot be had")
    asked.add_argument("--report", action="store_true", help="write OUTPUT/report afterwards, however it ended")
    asked.add_argument("--down", action="store_true", help="end the embedded node afterwards")
    asked.add_argument("-o", "--output", type=Path, default=ROOT / "build" / "e2e-load")


def _parts(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _names(allowed: Sequence[str], *, empty: bool = False) -> Callable[[str], tuple[str, ...]]:
    """A parser of names with commas between them."""

    def parse(text: str) -> tuple[str, ...]:
        found = _parts(text)
        unknown = [name for name in found if name not in allowed]
        if unknown or not (found or empty):
            raise argparse.ArgumentTypeError(f"{text!r} must be of {', '.join(allowed)}, with commas between them")
        return found

    return parse


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    """A parser of numbers above 0."""

    def parse(text: str) -> float:
        number = kind(text)
        if not number > 0:
            raise argparse.ArgumentTypeError(f"{text} must be above 0")
        return number

    parse.__name__ = "number"
    return parse


def _saturation_seconds(text: str) -> float:
    seconds = float(text)
    if seconds != 0 and not seconds >= LEAST_SATURATION_SECONDS:
        raise argparse.ArgumentTypeError(f"{text} must be 0, or at least {LEAST_SATURATION_SECONDS:g}")
    return seconds


def make_scaling_plan(options: argparse.Namespace) -> ScalingPlan:
    """What the arguments of `scaling` ask for."""
    return ScalingPlan(
        network="digits" if options.short else options.network,
        metric=options.metric,
        requests_per_second=options.rate,
        short=options.short,
        seed=options.seed,
        limits=Limits(cpu=options.cpu, memory=options.memory),
    )


def make_plan(options: argparse.Namespace) -> Plan:
    """What the arguments of `run` ask for.

    Raises:
        PlanError: when the configurations are none that can be compared.
    """
    seconds = SHORT_SECONDS if options.short else options.seconds
    profiles = [name for name in options.profiles if not options.short or name == options.profiles[0]]
    plan = Plan(
        networks=options.networks,
        profiles=tuple(PROFILES[name].lasting(seconds) for name in profiles),
        only=options.configurations,
        protocols=options.protocols,
        baselines=options.baselines,
        blocks=1 if options.short else options.blocks,
        seed=options.seed,
        short=options.short,
        limits=Limits(cpu=options.cpu, memory=options.memory),
        flask_server=options.flask_server,
        saturation_seconds=SHORT_SATURATION_SECONDS if options.short else options.saturation_seconds,
    )
    plan.configurations()
    return plan
