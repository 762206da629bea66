"""The experiment on a cluster: deploys, warms up, runs what is not there yet, and finds the rates of saturation."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from load.configurations import Limits, Planned, plan_configurations
from load.deploying import (
    Scene,
    Tell,
    deploy,
    find_digest,
    plan_image,
    read_configuration,
    read_server_image,
    require_reach,
)
from load.flask_pod import FlaskServer
from load.generating import GeneratorError
from load.journal import Journal
from load.measuring import Generate, Key, Patience, Subject, find_void, measure_run, plan_seed, plan_target, warm_up
from load.order import format_left, plan_order
from load.profiles import Profile, flat
from load.results import Network, Protocol, Run, SaturationStep
from load.samples import count_in_time, read_samples, summarise
from load.saturation import conclude, format_rate, plan_next_rate
from load.trying import Tries

SHORTEST_WINDOW_SECONDS = 60
"""The operator measures over no less."""


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes:
        networks: which.
        only: of their compressions; empty: all, see `plan_configurations`.
        profiles: over which time their load comes and goes.
        protocols: by which models are asked.
        baselines: servers beside ours.
        blocks: how often all of it is done.
        seed: of the order and of the arrivals.
        short: only the least and the most compressed configuration.
        limits: of every server.
        flask_server: what stands before Flask.
        saturation_seconds: of one flat rate; 0: rates of saturation are not looked for.
        warm_up_seconds: before each run.
        patience: after each run.
    """

    networks: tuple[Network, ...]
    profiles: tuple[Profile, ...]
    only: tuple[str, ...] = ()
    protocols: tuple[Protocol, ...] = ("rest", "grpc")
    baselines: tuple[str, ...] = ("flask",)
    blocks: int = 3
    seed: int = 0
    short: bool = False
    limits: Limits = field(default_factory=Limits)
    flask_server: FlaskServer = "flask"
    saturation_seconds: float = 0.0
    warm_up_seconds: float = 5.0
    patience: Patience = field(default_factory=Patience)

    def configurations(self) -> tuple[Planned, ...]:
        """What is deployed."""
        return plan_configurations(self.networks, self.baselines, short=self.short, only=self.only)

    def order(self) -> list[Key]:
        """The runs, in their order."""
        profiles = [profile.name for profile in self.profiles]
        return plan_order(self.configurations(), profiles, self.protocols, self.blocks, self.seed)

    @property
    def window(self) -> str:
        """Over which the operator measures: half a run, which then lies within it, but no less than it can."""
        return f"{max(SHORTEST_WINDOW_SECONDS, int(min(each.seconds for each in self.profiles) / 2))}s"

    def render_conditions(self) -> dict[str, str]:
        """What holds for every run."""
        return {
            "cpuLimit": self.limits.cpu,
            "memoryLimit": self.limits.memory,
            "cpuRequest": self.limits.cpu_request,
            "memoryRequest": self.limits.memory_request,
            "qualityOfService": "Burstable, every server alike",
            "replicas": "1 of every configuration, all side by side, one asked at a time",
            "operatorWindow": self.window,
            "flaskServer": self.flask_server,
            "warmUpSeconds": f"{self.warm_up_seconds:g}",
        }


@dataclass(frozen=True)
class Generators:
    """By what each protocol is asked.

    Attributes:
        by_protocol: the generator of the runs.
        light: the one that warms up.
        bodies: folder of the requests for each network.
        data: what is in them, in words.
    """

    by_protocol: Mapping[Protocol, Generate]
    light: Generate
    bodies: Mapping[Network, Path]
    data: str


@dataclass
class Conductor:
    """One experiment.

    Attributes:
        scene: where.
        plan: what.
        journal: what is known.
        generators: by what.
        tell: is given each line of progress.
    """

    scene: Scene
    plan: Plan
    journal: Journal
    generators: Generators
    tell: Tell
    _subjects: dict[str, Subject] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._tries = Tries(self.journal.add_trouble, self.tell, self.plan.patience.error_seconds)

    def conduct(self) -> list[Run]:
        """Do what is left of it; the runs of this time. What is known is on disk after each.

        What ends in an error is tried again, and told; what ends in one each time is left out, and the rest is done.

        Raises:
            ClusterError: when a configuration cannot be served or reached, or nothing can be measured any more.
            GeneratorError: likewise.
            SamplesError: likewise.
            ResultsError: when what is on disk does not go together with this.
        """
        planned = self.plan.configurations()
        self.journal.note_profiles(self.plan.profiles)
        if self.plan.saturation_seconds:
            self.journal.require_flat_rates(self.plan.saturation_seconds)
        self.prepare(planned)
        made = self.run_all()
        if self.plan.saturation_seconds:
            self.find_saturation(planned)
        if not self._tries.left_out:
            self.journal.finish()
        return made

    def prepare(self, planned: Sequence[Planned]) -> None:
        """Have all of them answer."""
        plan = self.plan
        server_image = read_server_image(self.scene)
        for each in planned:
            image = plan_image(each, server_image, self.scene.flask_image)
            self.journal.require_alike(each.name, image=image, digest=find_digest(self.scene, each))
        deploy(self.scene, planned, plan.limits, plan.window, tell=self.tell, flask_server=plan.flask_server)
        for each in planned:
            require_reach(self.scene, each)
            target = plan_target(self.scene, each, self.generators.bodies[each.network])
            self._subjects[each.name] = Subject(self.scene, each, target)
        self.journal.note_configurations([read_configuration(self.scene, each, plan.limits) for each in planned])

    def run_all(self) -> list[Run]:
        """The runs that are not there yet, in their order; a void one once more."""
        profiles = {profile.name: profile for profile in self.plan.profiles}
        order = self.plan.order()
        left = [key for key in order if not self.journal.has(key)]
        self.tell(f"{len(order)} runs, {len(order) - len(left)} of them known already")
        made: list[Run] = []
        begun = time.monotonic()
        for place, key in enumerate(left):
            told = "left out"
            while not self.journal.has(key):
                run = self._tries.attempt(key.name, partial(self.run, key, profiles[key.profile]))
                if run is None:
                    break
                made.append(run)
                told = format_run(run)
            seconds = (time.monotonic() - begun) / (place + 1)
            self.tell(
                f"{len(order) - len(left) + place + 1}/{len(order)} {told};"
                f" {format_left(seconds * (len(left) - place - 1))} left"
            )
        return made

    def run(self, key: Key, profile: Profile) -> Run:
        """One run, told to the journal."""
        subject = self._subjects[key.configuration]
        warm_up(subject.target, self.generators.light, self.plan.warm_up_seconds, self.journal.folder)
        run, generated = measure_run(
            subject,
            key,
            profile,
            self.generators.by_protocol[key.protocol],
            seed=self.plan.seed,
            folder=self.journal.folder,
            patience=self.plan.patience,
        )
        self.journal.note_versions(**{generated.generator: generated.version})
        self.journal.add_run(run)
        if run.void:
            self.tell(f"void: {run.void}")
        return run

    def find_saturation(self, planned: Sequence[Planned]) -> None:
        """The highest rate that each configuration bears, by each protocol."""
        for each in planned:
            for protocol in self.plan.protocols:
                if protocol in each.protocols and not self.journal.has_saturation(each.name, protocol):
                    of = f"{each.name} {protocol} saturation"
                    steps = self._tries.attempt(of, partial(self.step_up, each, protocol))
                    if steps is not None:
                        found = conclude(each.name, protocol, steps, self.plan.saturation_seconds)
                        self.journal.add_saturation(found)
                        self.tell(f"{each.name} by {protocol}, requests/s: {format_rate(found)}")

    def step_up(self, planned: Planned, protocol: Protocol) -> list[SaturationStep]:
        """Flat rates until one is too much, for the server or, twice, for the generator.

        Raises:
            GeneratorError: when the unloaded rate, against which the others are judged, is void twice.
        """
        steps: list[SaturationStep] = []
        while (rate := plan_next_rate(steps)) is not None:
            step = self.step(planned, protocol, rate)
            if step.void:
                self.tell(f"{planned.name} by {protocol}: {step.void}; once more")
                step = self.step(planned, protocol, rate)
            if step.void and not steps:
                raise GeneratorError(f"{rate:g} requests/s, the unloaded rate, are void twice: {step.void}")
            steps.append(step)
            if step.void:
                break
        return steps

    def step(self, planned: Planned, protocol: Protocol, rate: float) -> SaturationStep:
        """One flat rate."""
        profile = flat(rate, self.plan.saturation_seconds)
        key = Key(planned.name, f"{profile.name}-saturation", protocol, 0)
        generate = self.generators.by_protocol[protocol]
        target = self._subjects[planned.name].target
        generated = generate(target, profile, plan_seed(self.plan.seed, key), self.journal.folder / key.path)
        samples = read_samples(generated.samples)
        summary = summarise(samples, profile.seconds)
        return SaturationStep(
            rate=rate,
            achieved=count_in_time(samples, profile.seconds) / profile.seconds,
            p95_milliseconds=summary.p95_milliseconds,
            failures=sum(summary.failures.values()),
            void=find_void(generated, summary),
        )


def format_run(run: Run) -> str:
    """A run in one line."""
    failed = sum(run.failures.values())
    p95 = f"p95 {run.p95_milliseconds:.2f} ms" if run.p95_milliseconds is not None else "no answer"
    disagreed = [each.kpi for each in run.agreement if not each.within]
    return (
        f"{run.configuration} {run.profile} {run.protocol} block {run.block}:"
        f" {run.requests} requests, {failed} failed, {p95}, generator {run.generator_share_percent:.0f} % of the node"
        + (f", void ({run.void})" if run.void else "")
        + (f", sources disagree on {', '.join(disagreed)}" if disagreed else "")
    )
