"""The command line of `modelpress-bench`, and what is asked for by it."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from load.autoscaled import Metric, ScalingPlan
from load.conducting import Plan
from load.configurations import ARTIFACTS, BASELINES, NETWORKS, Limits, PlanError
from load.flask_pod import FlaskServer
from load.node_cap import DensityPlan, read_quantity
from load.profiles import PROFILES
from load.results import Protocol
from load.scenes import NAMESPACE, PROMETHEUS_SERVICE
from load.start_plan import StartupPlan

ROOT = Path(__file__).resolve().parents[2]
SHORT_SECONDS = 20.0
SHORT_SATURATION_SECONDS = 0.0
SHORT_STARTS = 2
SHORT_NODE_CPU = "500m"
LEAST_SATURATION_SECONDS = 10.0
"""Of a flat rate: at two requests a second it needs so long to say anything."""


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="modelpress-bench", description="The paper's load experiment.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|scaling|startup|density|report")
    commands.add_parser("report", help="tables and plots of a results.json", add_help=False)
    _add_run(commands.add_parser("run", help="measure", formatter_class=argparse.ArgumentDefaultsHelpFormatter))
    scaling = "whether replicas follow a load that doubles, and one with bursts of five times"
    _add_scaling(commands.add_parser("scaling", help=scaling, formatter_class=argparse.ArgumentDefaultsHelpFormatter))
    startup = "seconds from a pod's creation to Ready, with the store behind a link of 100 Mbit/s"
    _add_startup(commands.add_parser("startup", help=startup, formatter_class=argparse.ArgumentDefaultsHelpFormatter))
    density = "how many models fit on a node of 2 CPU and 4 GB and answer"
    _add_density(commands.add_parser("density", help=density, formatter_class=argparse.ArgumentDefaultsHelpFormatter))
    return parser


def _add_startup(asked: argparse.ArgumentParser) -> None:
    _add_place(asked)
    _add_pair(asked)
    asked.add_argument("--megabits", type=_positive(float), default=100.0, help="a second, of the store's link")
    asked.add_argument("--blocks", type=_positive(int), default=5, help="how often each is started over each link")
    asked.add_argument("--short", action="store_true", help="the digits network, two blocks, no baseline")


def _add_density(asked: argparse.ArgumentParser) -> None:
    _add_place(asked)
    _add_pair(asked)
    asked.add_argument("--node-cpu", default=DensityPlan.node_cpu, help="of the node that a quota stands for")
    asked.add_argument("--node-memory", default=DensityPlan.node_memory, help="likewise")
    asked.add_argument("--cpu-request", default=DensityPlan.cpu_request, help="of every server")
    asked.add_argument(
        "--headroom", type=_positive(float), default=DensityPlan.headroom_percent, help="percent of the working set"
    )
    asked.add_argument(
        "--most", type=_positive(int), default=DensityPlan.most, help="models that are tried, 999 at most"
    )
    asked.add_argument("--short", action="store_true", help="the digits network, a node of half a CPU, no baseline")


def _add_pair(asked: argparse.ArgumentParser) -> None:
    """What is compared with (1.25, 8), and how much of that is pruned as a whole."""
    asked.add_argument(
        "--channel-sparsity",
        type=_share,
        default=0.0,
        help="share of the channels that is pruned as a whole at (1.25, 8)",
    )
    asked.add_argument("--network", choices=NETWORKS, default="vgg16", help="at (0, 32) and at (1.25, 8)")
    asked.add_argument("--baselines", type=_names(("flask",), empty=True), default="flask", help="flask, or nothing")
    asked.add_argument("--flask-server", choices=get_args(FlaskServer), default="flask", help="its own, with threads")
    asked.add_argument("--flask-image", default="", help="with --context: as the cluster pulls it")


def _add_generators(asked: argparse.ArgumentParser) -> None:
    """Where the load comes from."""
    asked.add_argument(
        "--generators", choices=("here", "job"), default="here", help="job: in the cluster, from wherever this runs"
    )
    asked.add_argument(
        "--generator-image", default="", help="with --context and --generators job: as the cluster pulls it"
    )


def _add_scaling(asked: argparse.ArgumentParser) -> None:
    _add_place(asked)
    _add_generators(asked)
    asked.add_argument("--network", choices=NETWORKS, default="vgg16", help="its most compressed form is scaled")
    asked.add_argument("--metric", choices=get_args(Metric), default="cpu", help="requests: by prometheus-adapter")
    asked.add_argument("--rate", type=_positive(float), default=10.0, help="requests a second before the load rises")
    asked.add_argument("--short", action="store_true", help="the digits network, shorter loads, one burst")


def _add_run(asked: argparse.ArgumentParser) -> None:
    _add_place(asked)
    _add_generators(asked)
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
    asked.add_argument(
        "--artifacts", type=_folder, default=ARTIFACTS, help="of trained artifacts, such as vgg16-a125-b8.zip"
    )
    asked.add_argument("--prices", type=Path, help="a price list in place of the example, e2e/load/prices.json")
    asked.add_argument("--allow-noise", action="store_true", help="send noise where CIFAR-10 cannot be had")
    asked.add_argument("--report", action="store_true", help="write OUTPUT/report afterwards, however it ended")
    asked.add_argument("--down", action="store_true", help="end the embedded node afterwards")
    asked.add_argument("-o", "--output", type=Path, default=ROOT / "build" / "e2e-load")


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no folder")
    return path


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


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{text} is no share: give 0 to less than 1, such as 0.5")
    return share


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


def make_startup_plan(options: argparse.Namespace) -> StartupPlan:
    """What the arguments of `startup` ask for.

    Raises:
        PlanError: when a cluster is named whose links cannot be shaped.
    """
    if options.context:
        raise PlanError("startup shapes the link of a store beside the embedded node: leave --context out")
    return StartupPlan(
        network="digits" if options.short else options.network,
        megabits_per_second=options.megabits,
        blocks=SHORT_STARTS if options.short else options.blocks,
        baselines=() if options.short else options.baselines,
        seed=options.seed,
        limits=Limits(cpu=options.cpu, memory=options.memory),
        flask_server=options.flask_server,
        channel_sparsity=options.channel_sparsity,
    )


def make_density_plan(options: argparse.Namespace) -> DensityPlan:
    """What the arguments of `density` ask for.

    Raises:
        PlanError: when an amount is none.
    """
    plan = DensityPlan(
        network="digits" if options.short else options.network,
        node_cpu=SHORT_NODE_CPU if options.short else options.node_cpu,
        node_memory=options.node_memory,
        cpu_request=options.cpu_request,
        headroom_percent=options.headroom,
        most=options.most,
        baselines=() if options.short else options.baselines,
        limits=Limits(cpu=options.cpu, memory=options.memory),
        flask_server=options.flask_server,
        channel_sparsity=options.channel_sparsity,
    )
    for amount in (plan.node_cpu, plan.node_memory, plan.cpu_request):
        read_quantity(amount)
    return plan


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
