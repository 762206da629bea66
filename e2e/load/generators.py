"""The generators of an experiment and the requests that they send: JMeter for REST, a Python one for gRPC.

They run here, in the network namespace that `enter` leads to, or as Jobs in the cluster.
"""

from collections.abc import Sequence
from pathlib import Path

from load.bodies import prepare_bodies
from load.conducting import Generators
from load.configurations import IMAGE_SHAPES
from load.deploying import Tell
from load.generating import Generator, GeneratorRun, Protocol, Target
from load.generator_job import GeneratorJobs
from load.measuring import Generate
from load.profiles import Profile
from load.results import Network


def make_generators(
    networks: Sequence[Network],
    rest: Generator,
    folder: Path,
    enter: Sequence[str],
    tell: Tell,
    *,
    allow_noise: bool = False,
    jobs: GeneratorJobs | None = None,
) -> Generators:
    """The generators, and a folder of requests for each network.

    Args:
        networks: what is asked.
        rest: what asks over REST.
        folder: gets the requests.
        enter: the command prefix by which a generator gets to where the servers are.
        tell: is given each line of progress.
        allow_noise: whether noise will do where CIFAR-10 cannot be had.
        jobs: the cluster in which they run; None: they run here.

    Raises:
        GeneratorError: when one cannot be had here, or CIFAR-10 cannot.
    """
    bodies, told = {}, []
    for network in networks:
        bodies[network] = folder / "bodies" / network
        told.append(f"{network}: {prepare_bodies(bodies[network], IMAGE_SHAPES[network], allow_noise=allow_noise)}")
    if jobs is not None:
        by_jobs = {"rest": jobs.generate_by(rest, "rest"), "grpc": jobs.generate_by("python", "grpc")}
        return Generators(by_jobs, jobs.generate_by("python", "rest"), bodies, "; ".join(told))
    light = _by_python("rest", enter)
    by_rest = light if rest == "python" else _by_jmeter(enter, tell)
    return Generators({"rest": by_rest, "grpc": _by_python("grpc", enter)}, light, bodies, "; ".join(told))


def _by_python(protocol: Protocol, enter: Sequence[str]) -> Generate:
    from load.grpc_open_model import run_plan

    def generate(target: Target, profile: Profile, seed: int, out: Path) -> GeneratorRun:
        out.parent.mkdir(parents=True, exist_ok=True)
        return run_plan(target, profile, seed, out, enter, protocol=protocol)

    return generate


def _by_jmeter(enter: Sequence[str], tell: Tell) -> Generate:
    from load.jmeter import run_plan
    from load.jmeter_home import make_home

    make_home(tell)

    def generate(target: Target, profile: Profile, seed: int, out: Path) -> GeneratorRun:
        out.parent.mkdir(parents=True, exist_ok=True)
        return run_plan(target, profile, seed, out, enter)

    return generate
