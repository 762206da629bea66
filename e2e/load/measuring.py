"""One run: load on one configuration while all others stand idle beside it, and what everybody says of it."""

import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cluster.processes import ClusterError

from load.agreement import ClientView, judge_operator, judge_run
from load.configurations import Planned
from load.deploying import Scene, read_address, read_ready, read_served
from load.generating import NOT_SENT, GeneratorRun, Target, judge_generator, judge_lateness, judge_sent, share_percent
from load.kpis import (
    OperatorKpis,
    Window,
    choose_status,
    complete_by_client,
    parse_status,
    read_kpis,
)
from load.profiles import Profile, flat
from load.results import Agreement, PrometheusKpis, Protocol, Run
from load.samples import Samples, Summary, percentile, read_samples, summarise
from model_operator import names
from model_operator.serving_pod import Served

SECONDS_BETWEEN_LOOKS = 5.0
WARM_UP_RATE = 4.0

Generate = Callable[[Target, Profile, int, Path], GeneratorRun]


@dataclass(frozen=True)
class Key:
    """What a run is of; one that counts is enough for each."""

    configuration: str
    profile: str
    protocol: Protocol
    block: int

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.configuration} {self.profile} {self.protocol} block {self.block}"

    @property
    def path(self) -> str:
        """Of its samples, from the folder of the results."""
        return f"samples/{self.configuration}-{self.profile}-{self.protocol}-{self.block}.csv.gz"


@dataclass(frozen=True)
class Subject:
    """A configuration that answers.

    Attributes:
        scene: where it stands.
        planned: what it is.
        target: where it answers.
    """

    scene: Scene
    planned: Planned
    target: Target


@dataclass(frozen=True)
class Patience:
    """How long is waited for what comes late.

    Attributes:
        settle_seconds: after a run, until all scrapes of its window are in.
        status_seconds: after a run that is shorter than the operator's window, for a status that covers it.
        error_seconds: after an error, until the next try.
    """

    settle_seconds: float = 15.0
    status_seconds: float = 75.0
    error_seconds: float = 10.0


def plan_seed(seed: int, key: Key) -> int:
    """Of the arrivals: the same for all configurations of a block, so that they are compared under the same load."""
    return zlib.crc32(f"{seed}/{key.block}/{key.profile}/{key.protocol}".encode())


@dataclass
class Watch:
    """Looks at a configuration every few seconds, in a thread of its own, while the block runs.

    Attributes:
        scene: where it stands.
        planned: what it is.
        seconds_between_looks: from one look to the next.
        read: tells how many pods are ready, and the object that says so; None: by `read_ready`.
        looks: (unix time, pods that are ready).
        statuses: what the operator said, each once.
    """

    scene: Scene
    planned: Planned
    seconds_between_looks: float = SECONDS_BETWEEN_LOOKS
    read: Callable[[], tuple[int, Mapping[str, Any]]] | None = None
    looks: list[tuple[float, int]] = field(default_factory=list)
    statuses: list[OperatorKpis] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            begun = time.monotonic()
            self.look()
            self._over.wait(max(0.0, begun + self.seconds_between_looks - time.monotonic()))

    def look(self) -> None:
        """Note how it stands; a look that fails is left out."""
        try:
            ready, found = self.read() if self.read else read_ready(self.scene, self.planned)
        except ClusterError:
            return
        self.looks.append((time.time(), ready))
        status = None if self.planned.kind == "flask" else parse_status(found)
        if status is not None and (not self.statuses or status != self.statuses[-1]):
            self.statuses.append(status)


def plan_target(scene: Scene, planned: Planned, bodies: Path) -> Target:
    """Where the configuration answers."""
    return Target(planned.name, read_address(scene, planned), names.HTTP_PORT, names.GRPC_PORT, bodies)


def warm_up(target: Target, generate: Generate, seconds: float, folder: Path) -> None:
    """Ask for some seconds and keep nothing: the first requests fill caches that the later ones find full."""
    generate(target, flat(WARM_UP_RATE, seconds), 0, folder / "warm-up.csv.gz").samples.unlink()


def measure_run(
    subject: Subject,
    key: Key,
    profile: Profile,
    generate: Generate,
    *,
    seed: int,
    folder: Path,
    patience: Patience,
) -> tuple[Run, GeneratorRun]:
    """The run, and what the generator says of itself.

    Raises:
        ClusterError: when the configuration does not answer.
        GeneratorError: when the generator could not run.
    """
    scene, planned = subject.scene, subject.planned
    served = read_served(scene, planned)
    with Watch(scene, planned) as watch:
        generated = generate(subject.target, profile, plan_seed(seed, key), folder / key.path)
    window = Window(generated.started_unix, generated.started_unix + profile.seconds)
    time.sleep(max(0.0, window.end_unix + patience.settle_seconds - time.time()))
    samples = read_samples(folder / key.path)
    told = listen(subject, served, Seen(samples, window, watch, profile.peak_requests_per_second), patience)
    summary = summarise(samples, profile.seconds)
    run = Run(
        configuration=planned.name,
        profile=key.profile,
        protocol=key.protocol,
        generator=generated.generator,
        block=key.block,
        started_unix=round(window.begin_unix, 3),
        ended_unix=round(window.end_unix, 3),
        samples=key.path,
        requests=summary.requests,
        failures=summary.failures,
        requests_per_second=int(samples.ok.sum()) / profile.seconds,
        p50_milliseconds=summary.p50_milliseconds,
        p95_milliseconds=summary.p95_milliseconds,
        p99_milliseconds=summary.p99_milliseconds,
        generator_cpu_seconds=generated.cpu_seconds,
        node_cpu_seconds=generated.node_cpu_seconds,
        generator_share_percent=share_percent(generated),
        void=find_void(generated, summary),
        prometheus=told.prometheus,
        operator=told.operator,
        agreement=told.agreement,
        replicas=[(round(at - window.begin_unix, 1), ready) for at, ready in watch.looks],
    )
    return run, generated


def find_void(generated: GeneratorRun, summary: Summary) -> str | None:
    """Why what a generator sent says nothing of the server; None when it counts."""
    return (
        judge_generator(generated)
        or judge_sent(summary.requests, summary.failures.get(NOT_SENT, 0))
        or judge_lateness(summary.late_p99_milliseconds)
    )


@dataclass(frozen=True)
class Told:
    """What the cluster says of a run, and whether it fits what the client saw."""

    prometheus: PrometheusKpis
    operator: dict[str, object] | None
    agreement: list[Agreement]


@dataclass(frozen=True)
class Seen:
    """What was seen of a run from outside."""

    samples: Samples
    window: Window
    watch: Watch
    peak_rate: float


def listen(subject: Subject, served: Served, seen: Seen, patience: Patience) -> Told:
    """Prometheus over the run's window; for a model also the operator's status, beside Prometheus over its window."""
    scene, window = subject.scene, seen.window
    prometheus = read_kpis(scene.client, scene.prometheus, served, window)
    client = view(seen.samples, window, window)
    if subject.planned.kind == "flask":
        return Told(complete_by_client(prometheus, client.answered, window.seconds), None, [])
    scrape = scene.prometheus.scrape_seconds
    agreement = judge_run(client, prometheus, window, scrape)
    status = wait_for_status(seen.watch, window, patience)
    if status is None:
        return Told(prometheus, None, agreement)
    beside = read_kpis(scene.client, scene.prometheus, served, status.window)
    part = view(seen.samples, window, status.window)
    known = judge_run(part, beside, status.window, scrape) if window.holds(status.window) else []
    later = read_kpis(scene.client, scene.prometheus, served, status.window.move(1))
    agreement += judge_operator(status.stated, beside, known, seen.peak_rate, later)
    return Told(prometheus, dict(status.stated), agreement)


def wait_for_status(watch: Watch, window: Window, patience: Patience) -> OperatorKpis | None:
    """The last status whose window lies within the run; where the operator's is longer, one that holds a part of it."""
    deadline = time.monotonic() + patience.status_seconds
    while (chosen := choose_status(watch.statuses, window)) is None and time.monotonic() < deadline:
        time.sleep(1)
        watch.look()
    return chosen


def view(samples: Samples, run: Window, part: Window) -> ClientView:
    """What the client saw of a part of the run."""
    chosen = samples.during(part.begin_unix - run.begin_unix, part.end_unix - run.begin_unix)
    return ClientView(int(chosen.ok.sum()), percentile(chosen.elapsed_milliseconds[chosen.ok], 95))
