"""`modelpress-bench run`, `scaling`, `startup`, `density`: the paper's experiment on the embedded node or any cluster.

A cluster needs the chart; `startup` shapes a link, which only the embedded node has. What is found is in
OUT/results.json after each run; the same command goes on where it was ended. Exit codes: 0 all runs are there, count,
and none of our servers failed a request, no target was missed; 1 something is wrong; 130 ended by SIGTERM or Ctrl-C.
With --report the report of what there is is written in each of these cases.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cluster.node import Node
from cluster.places import Places
from cluster.processes import ClusterError
from cluster.toolchain import binaries_folder
from demo_cluster.provisioning import end_by
from stages import say
from store.errors import StoreServerError
from store.programs import build_server

from load.arguments import make_density_plan, make_parser, make_plan, make_scaling_plan, make_startup_plan
from load.autoscaled import Scaling
from load.bodies import prepare_bodies
from load.conducting import Conductor, Generators, Plan
from load.configurations import IMAGE_SHAPES, PlanError, find_trained
from load.density import Density
from load.deploying import Scene, plan_image
from load.estimating import expect, format_expected, format_minutes
from load.generating import GeneratorError
from load.generator_job import GeneratorJobs
from load.generators import make_generators
from load.journal import Journal, count_failures, find_missing, require_alike
from load.machine import Machine
from load.node_cap import DensityPlan
from load.provenance import read_prices, read_provenance
from load.results import Network, ResultsError, read_results
from load.samples import SamplesError
from load.scenes import bring_up, format_missing, use_context
from load.start_plan import StartupPlan
from load.starting import STORE_SECRET, Startup
from load.store_link import StoreLink

SECONDS_A_START = 20.0
"""With the end of the pod, of which most is the wait before its server goes."""


class _EndedError(KeyboardInterrupt):
    """SIGTERM or SIGHUP came."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what `report` takes is the report's own."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["report"]:
        return write_report(given[1:])
    options = make_parser().parse_args(given)
    end_by(_end)
    status = run_to_its_end(options, shlex.join(["modelpress-bench", *given]))
    if options.report:
        status = write_report([str(options.output / "results.json")]) or status
    return status


def run_to_its_end(options: argparse.Namespace, command: str) -> int:
    """The experiment's exit code, whatever becomes of it."""
    try:
        return run(options, command)
    except (ClusterError, GeneratorError, PlanError, ResultsError, SamplesError, StoreServerError) as error:
        print(f"modelpress-bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say(f"ended; {options.output}/results.json has what was measured, and the same command goes on from there")
        return 130


def write_report(arguments: Sequence[str]) -> int:
    """The report, whose drawing is loaded only where there is something to draw."""
    from load.report.__main__ import main as report

    return int(report(arguments))


def _end(*_: object) -> None:
    raise _EndedError


def run(options: argparse.Namespace, command: str) -> int:
    """What was asked for; 0 when all of it is there and none of our servers failed a request that counts."""
    path = options.output / "results.json"
    if path.exists():  # looked at before minutes go into a cluster
        read_results(path)
    commands = {"run": run_load, "scaling": run_scaling, "startup": run_startup, "density": run_density}
    return commands[options.command](options, command, path)


def run_load(options: argparse.Namespace, command: str, path: Path) -> int:
    """The experiment; 0 when all runs are there and none that counts has a failed request."""
    plan = make_plan(options)
    say(format_expected(expect(plan, options.rest_generator)))
    check = partial(check_images, path, plan, options.artifacts)
    with_jobs = require_generators(options)
    with ended_afterwards(options):
        scene = find_scene(options, with_flask="flask" in plan.baselines, with_jobs=with_jobs, check=check)
        if missing := format_missing(sorted({each.kind for each in plan.configurations()}), scene):
            raise ClusterError(missing)
        generators, machine = prepare_generators(options, scene, plan.networks)
        setting = Setting(scene, generators.data, plan.render_conditions(), machine)
        journal = open_journal(options, command, path, setting)
        Conductor(scene, plan, journal, generators, say).conduct()
    return conclude(journal, plan, path)


def run_scaling(options: argparse.Namespace, command: str, path: Path) -> int:
    """The loads that an autoscaler has to follow; 0 when it did, and no request failed."""
    plan = make_scaling_plan(options)
    minutes = format_minutes(sum(each.seconds for each in plan.scenarios()))
    say(f"at least {minutes} of load, once all is deployed: {len(plan.scenarios())} loads")
    with_jobs = require_generators(options)
    with ended_afterwards(options):
        scene = find_scene(options, with_flask=False, with_jobs=with_jobs)
        generators, machine = prepare_generators(options, scene, (plan.network,))
        conditions = {"cpuLimit": plan.limits.cpu, "memoryLimit": plan.limits.memory}
        setting = Setting(scene, generators.data, conditions, machine)
        journal = open_journal(options, command, path, setting, scenarios=True)
        missed = Scaling(scene, plan, journal, generators, say).conduct()
    return tell_missed(missed)


def run_startup(options: argparse.Namespace, command: str, path: Path) -> int:
    """Pods that start over a shaped link and an unshaped one; 0 when the target was met, or none was asked of these."""
    plan = make_startup_plan(options)
    starts = len(plan.order())
    say(f"about {format_minutes(starts * SECONDS_A_START)}: {starts} starts, once all is deployed")
    with ended_afterwards(options):
        scene = find_scene(options, with_flask="flask" in plan.baselines, values={"store.secretName": STORE_SECRET})
        bodies, journal = open_scenario(options, command, path, scene, plan)
        namespace = Places(options.state.resolve(), binaries_folder()).namespace
        with StoreLink(namespace, build_server(say), options.output / "store") as link:
            missed = Startup(scene, plan, journal, link, bodies, say).conduct()
    return tell_missed(missed)


def run_density(options: argparse.Namespace, command: str, path: Path) -> int:
    """Models on a node of a stated size; 0 when the target was met, or none was asked of these."""
    plan = make_density_plan(options)
    say(f"{len(plan.kinds())} configurations on {plan.describe_cap()}, {plan.most} models of each at most")
    with ended_afterwards(options):
        scene = find_scene(options, with_flask="flask" in plan.baselines)
        if missing := format_missing(sorted({each.kind for each in plan.kinds()}), scene):
            raise ClusterError(missing)
        bodies, journal = open_scenario(options, command, path, scene, plan)
        missed = Density(scene, plan, journal, bodies, say).conduct()
    return tell_missed(missed)


def open_scenario(
    options: argparse.Namespace, command: str, path: Path, scene: Scene, plan: StartupPlan | DensityPlan
) -> tuple[Path, Journal]:
    """The folder of the network's requests, and the file of results."""
    bodies = options.output / "bodies" / plan.network
    source = prepare_bodies(bodies, IMAGE_SHAPES[plan.network], allow_noise=options.allow_noise)
    conditions = {"cpuLimit": plan.limits.cpu, "memoryLimit": plan.limits.memory}
    setting = Setting(scene, f"{plan.network}: {source}", conditions)
    return bodies, open_journal(options, command, path, setting, scenarios=True)


def tell_missed(missed: Sequence[str]) -> int:
    """Say what was missed; the exit code."""
    for words in missed:
        say(f"missed: {words}")
    return 1 if missed else 0


@dataclass(frozen=True)
class Setting:
    """What provenance tells of an experiment: where, with what data, under which conditions, on which machine."""

    scene: Scene
    data: str
    conditions: Mapping[str, str]
    machine: Machine | None = None


def open_journal(
    options: argparse.Namespace, command: str, path: Path, setting: Setting, *, scenarios: bool = False
) -> Journal:
    """The file of results, gone on with or begun."""
    provenance = read_provenance(
        command,
        options.seed,
        setting.scene.client,
        cluster=setting.scene.description,
        data=setting.data,
        conditions={**setting.conditions, **name_generators(options)},
        machine=setting.machine,
    )
    return Journal(path, provenance, read_prices(options.prices) if options.prices else None, scenarios=scenarios)


def name_generators(options: argparse.Namespace) -> dict[str, str]:
    """Conditions: which program sends by REST, and whether it runs here or as a Job, where a command sends a load."""
    named = {"restGenerator": options.rest_generator}
    return named | ({"generators": options.generators} if "generators" in options else {})


def require_generators(options: argparse.Namespace) -> bool:
    """Whether the generators run as Jobs.

    Raises:
        PlanError: when the cluster would have no image of them.
    """
    if options.generators == "job" and options.context and not options.generator_image:
        raise PlanError(
            "Jobs need an image of the generators: push it (python -m images load-generator --push PREFIX) and name it"
            " with --generator-image"
        )
    return bool(options.generators == "job")


def prepare_generators(
    options: argparse.Namespace, scene: Scene, networks: Sequence[Network]
) -> tuple[Generators, Machine | None]:
    """The generators that the arguments name, with their requests, and the machine that they run on; None is this."""
    jobs = GeneratorJobs(scene, scene.generator_image) if scene.generator_image else None
    place = options.output, scene.enter, say
    machine = jobs.read_machine() if jobs else None
    return make_generators(
        networks, options.rest_generator, *place, allow_noise=options.allow_noise, jobs=jobs
    ), machine


@contextmanager
def ended_afterwards(options: argparse.Namespace) -> Iterator[None]:
    """The embedded node ends with this block, where that was asked for, however far it was brought up."""
    try:
        yield
    finally:
        places = Places(options.state.resolve(), binaries_folder())
        if options.down and not options.context and places.state.exists():
            Node(places).down(say)


def check_images(path: Path, plan: Plan, artifacts: Path, server_image: str, flask_image: str) -> None:
    """Refuse images and trained weights that the file's runs were not made with, where it has any.

    Raises:
        ResultsError: naming the first configuration that would be another.
    """
    if not path.exists():
        return
    results = read_results(path)
    for each in plan.configurations():
        trained = find_trained(each, artifacts)
        digest = trained.digest if trained else None
        require_alike(path, results, each.name, image=plan_image(each, server_image, flask_image), digest=digest)


def find_scene(
    options: argparse.Namespace,
    *,
    with_flask: bool,
    with_jobs: bool = False,
    check: Callable[[str, str], None] | None = None,
    values: Mapping[str, Any] | None = None,
) -> Scene:
    """The cluster that the arguments name."""
    if options.context:
        flask_image = options.flask_image if with_flask else ""
        generator_image = options.generator_image if with_jobs else ""
        scene = use_context(options.context, options.namespace, options.prometheus, flask_image, generator_image)
    else:
        scene = bring_up(
            options.state,
            options.output,
            with_flask=with_flask,
            with_generators=with_jobs,
            tell=say,
            check=check,
            values=values,
        )
    return replace(scene, trained=options.artifacts)


def conclude(journal: Journal, plan: Plan, path: Path) -> int:
    """Say what is there; 1 when requests to our own servers failed, or a planned run is not there or void each time."""
    results = journal.results
    ours = {each.name for each in results.configurations if each.kind == "modelpress"}
    failed = {
        own: count_failures([run for run in results.runs if (run.configuration in ours) == own])
        for own in (True, False)
    }
    void = [run for run in results.runs if run.void]
    disagreed = [run for run in results.runs if any(not each.within for each in run.agreement)]
    missing = find_missing(results, plan.order())
    say(
        f"{len(results.runs)} runs in {path}: {len(void)} void, {len(disagreed)} in which sources disagree,"
        f" {len(results.troubles)} tries ended in an error; failed requests: ours {dict(failed[True]) or 'none'},"
        f" baselines {dict(failed[False]) or 'none'}"
    )
    if missing:
        say(f"no run counts of {len(missing)} of {len(plan.order())}: {', '.join(key.name for key in missing)}")
    return 1 if failed[True] or missing else 0


if __name__ == "__main__":
    sys.exit(main())
