"""`modelpress-bench run`: the paper's experiment on the embedded node, or on any cluster with the chart.

What is found is in OUT/results.json after each run; the same command goes on where it was ended. Exit codes: 0 all
runs are there and no request to our servers failed, 1 something is wrong, 130 ended by SIGTERM or Ctrl-C.
"""

import argparse
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from cluster.node import Node
from cluster.places import Places
from cluster.processes import ClusterError
from cluster.toolchain import binaries_folder
from stages import say

from load.conducting import Conductor, Plan
from load.configurations import BASELINES, NETWORKS, Limits
from load.deploying import Scene
from load.flask_pod import FlaskServer
from load.generating import GeneratorError
from load.generators import make_generators
from load.journal import Journal, count_failures
from load.profiles import PROFILES
from load.provenance import read_prices, read_provenance
from load.results import Protocol, ResultsError, read_results
from load.scenes import NAMESPACE, PROMETHEUS_SERVICE, bring_up, format_missing, use_context

ROOT = Path(__file__).resolve().parents[2]
SHORT_SECONDS = 20.0
SHORT_SATURATION_SECONDS = 0.0


class _EndedError(KeyboardInterrupt):
    """SIGTERM came."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what `report` takes is the report's own."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["report"]:
        from load.report.__main__ import main as report

        return int(report(given[1:]))
    options = make_parser().parse_args(given)
    signal.signal(signal.SIGTERM, _end)
    try:
        return run(options, shlex.join(["modelpress-bench", *given]))
    except (ClusterError, GeneratorError, ResultsError) as error:
        print(f"modelpress-bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say(f"ended; {options.output}/results.json has what was measured, and the same command goes on from there")
        return 130


def _end(*_: object) -> None:
    raise _EndedError


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="modelpress-bench", description="The paper's load experiment.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|report")
    commands.add_parser("report", help="tables and plots of a results.json", add_help=False)
    asked = commands.add_parser("run", help="measure", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    place = asked.add_mutually_exclusive_group()
    place.add_argument("--context", help="a context of kubectl, or `current`; no node is made")
    place.add_argument("--state", type=Path, default=ROOT / "build" / "cluster", help="the embedded node's folder")
    asked.add_argument("--namespace", default=NAMESPACE, help="with --context: has a store, see docs/load-tests.md")
    asked.add_argument(
        "--prometheus", default=f"modelpress-system/{PROMETHEUS_SERVICE}", help="with --context: NAMESPACE/SERVICE:PORT"
    )
    asked.add_argument("--networks", type=_names(NETWORKS), default="vgg16,cnn", help=", ".join(NETWORKS))
    asked.add_argument("--protocols", type=_names(get_args(Protocol)), default="rest,grpc")
    asked.add_argument("--baselines", type=_names(BASELINES, empty=True), default="flask", help=", ".join(BASELINES))
    asked.add_argument("--profiles", type=_names(tuple(PROFILES)), default=",".join(PROFILES))
    asked.add_argument("--blocks", type=_positive(int), default=3, help="how often all of it is done")
    asked.add_argument("--seconds", type=_positive(float), default=120.0, help="of a run")
    asked.add_argument("--saturation-seconds", type=float, default=20.0, help="of each flat rate; 0: leave it out")
    asked.add_argument("--short", action="store_true", help="two configurations of a network, n75 for 20 s, one block")
    asked.add_argument("--rest-generator", choices=("jmeter", "python"), default="jmeter")
    asked.add_argument("--flask-server", choices=get_args(FlaskServer), default="flask", help="its own, with threads")
    asked.add_argument("--flask-image", default="", help="with --context: as the cluster pulls it")
    asked.add_argument("--cpu", default=Limits.cpu, help="limit of every server")
    asked.add_argument("--memory", default=Limits.memory, help="limit of every server")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--prices", type=Path, help="a price list such as e2e/load/prices.json")
    asked.add_argument("--down", action="store_true", help="end the embedded node afterwards")
    asked.add_argument("-o", "--output", type=Path, default=ROOT / "build" / "e2e-load")
    return parser


def _names(allowed: Sequence[str], *, empty: bool = False) -> Callable[[str], tuple[str, ...]]:
    """A parser of names with commas between them."""

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(name for name in text.split(",") if name)
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


def make_plan(options: argparse.Namespace) -> Plan:
    """What the arguments ask for."""
    seconds = SHORT_SECONDS if options.short else options.seconds
    profiles = [name for name in options.profiles if not options.short or name == options.profiles[0]]
    return Plan(
        networks=options.networks,
        profiles=tuple(PROFILES[name].lasting(seconds) for name in profiles),
        protocols=options.protocols,
        baselines=options.baselines,
        blocks=1 if options.short else options.blocks,
        seed=options.seed,
        short=options.short,
        limits=Limits(cpu=options.cpu, memory=options.memory),
        flask_server=options.flask_server,
        saturation_seconds=SHORT_SATURATION_SECONDS if options.short else options.saturation_seconds,
    )


def run(options: argparse.Namespace, command: str) -> int:
    """The experiment; 0 when all runs are there and none that counts has a failed request."""
    plan = make_plan(options)
    prices = read_prices(options.prices)
    path = options.output / "results.json"
    if path.exists():  # looked at before minutes go into a cluster
        read_results(path)
    scene = find_scene(options, plan)
    if missing := format_missing(sorted({each.kind for each in plan.configurations()}), scene):
        raise ClusterError(missing)
    try:
        generators = make_generators(plan.networks, options.rest_generator, options.output, scene.enter, say)
        provenance = read_provenance(
            command,
            plan.seed,
            scene.client,
            cluster=scene.description,
            data=generators.data,
            conditions={**plan.render_conditions(), "restGenerator": options.rest_generator},
        )
        journal = Journal(path, provenance, prices)
        Conductor(scene, plan, journal, generators, say).conduct()
    finally:
        if options.down and scene.enter:
            Node(Places(options.state.resolve(), binaries_folder())).down(say)
    return conclude(journal, path)


def find_scene(options: argparse.Namespace, plan: Plan) -> Scene:
    """The cluster that the arguments name."""
    if options.context:
        return use_context(options.context, options.namespace, options.prometheus, options.flask_image)
    return bring_up(options.state, options.output, with_flask="flask" in plan.baselines, tell=say)


def conclude(journal: Journal, path: Path) -> int:
    """Say what is there; 1 when requests to our own servers failed in a run that counts."""
    results = journal.results
    ours = {each.name for each in results.configurations if each.kind == "modelpress"}
    failed = {
        own: count_failures([run for run in results.runs if (run.configuration in ours) == own])
        for own in (True, False)
    }
    void = [run for run in results.runs if run.void]
    disagreed = [run for run in results.runs if any(not each.within for each in run.agreement)]
    say(
        f"{len(results.runs)} runs in {path}: {len(void)} void, {len(disagreed)} in which sources disagree; failed"
        f" requests: ours {dict(failed[True]) or 'none'}, baselines {dict(failed[False]) or 'none'}"
    )
    return 1 if failed[True] else 0


if __name__ == "__main__":
    sys.exit(main())
