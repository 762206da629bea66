"""`modelpress-bench scaling`: a model with an autoscaler under loads that rise, and whether replicas follow.

The autoscaler's target is fitted to the model: one pod is asked at the base rate first, and its CPU request is set so
that it then uses half of it. So the same loads mean the same to a small network and to a large one.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from cluster.client import wait_until
from cluster.processes import ClusterError

from load.conducting import Generators
from load.configurations import Limits, Planned, name_compression, render_manifest
from load.deploying import (
    Scene,
    Tell,
    find_digest,
    provide_trained,
    read_served,
    read_server_image,
    require_reach,
    wait_until_ready,
)
from load.following import Followed, find_worst, judge_rise, list_missed, list_p95
from load.generating import GeneratorRun, share_percent
from load.journal import MOST_TRIES as MOST_VOID
from load.journal import Journal
from load.kpis import Window, read_kpis
from load.measuring import Key, Watch, find_void, plan_seed, plan_target, warm_up
from load.profiles import flat
from load.results import Network, require_facts
from load.samples import Samples, read_samples, summarise
from load.scenarios import (
    MOST_PODS,
    TARGET_PERCENT,
    Scenario,
    list_steps,
    plan_cpu_request,
    plan_requests_a_pod,
    plan_scenarios,
)
from load.trying import Tries

Metric = Literal["cpu", "requests"]
METRIC_NAMES: Mapping[Metric, str] = {"cpu": "CPU", "requests": "requests a pod"}
REQUESTS_METRIC = "modelpress_requests_per_second"
ALPHA, BITS = 1.25, 8
SECONDS_BETWEEN_LOOKS = 1.0
CALIBRATING_SECONDS = 60.0
SETTLE_SECONDS = 20.0
"""After the calibration, until the kubelet's figures of all of it are in."""
READS_SECONDS = 240.0
CALM_SECONDS = 300.0
WARM_UP_SECONDS = 5.0
UNTRAINED = "initial weights, pruned and quantised without training"


@dataclass(frozen=True)
class ScalingPlan:
    """What is to be scaled, under REST: a connection of gRPC stays with the pod that it has.

    Attributes:
        network: of the configuration.
        metric: that the autoscaler follows.
        requests_per_second: before the load rises.
        short: shorter loads.
        seed: of the arrivals.
        limits: of each pod.
        error_seconds: after an error, until the next try.
    """

    network: Network
    metric: Metric
    requests_per_second: float
    short: bool = False
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    error_seconds: float = 10.0

    @property
    def planned(self) -> Planned:
        """A CompressedModel beside those of the experiment, with the same weights."""
        name = f"{name_compression(self.network, ALPHA, BITS)}-scaled"
        return Planned(name, self.network, ALPHA, BITS)

    def scenarios(self) -> tuple[Scenario, ...]:
        """The loads, in their order."""
        return plan_scenarios(self.requests_per_second, short=self.short)

    def name(self, scenario: Scenario) -> str:
        """Of an entry of the results."""
        return f"{scenario.name}, {self.planned.source} on {METRIC_NAMES[self.metric]}"


def render_scaled(
    planned: Planned, limits: Limits, autoscaling: Mapping[str, Any] | None, artifact: Mapping[str, str] | None
) -> dict[str, Any]:
    """The CompressedModel; without an autoscaler it has one pod."""
    manifest = render_manifest(planned, limits, "60s", artifact)
    spec = manifest["spec"]
    # it is compared with nothing, so that nothing else needs to be there
    spec.pop("baseline", None)
    if autoscaling is not None:
        del spec["replicas"]
        spec["autoscaling"] = dict(autoscaling)
    return manifest


def render_autoscaling(metric: Metric, requests_per_second: float) -> dict[str, Any]:
    """From one pod to the most; up at once, down after a minute."""
    found: dict[str, Any] = {
        "minReplicas": 1,
        "maxReplicas": MOST_PODS,
        "behavior": {
            "scaleUp": {"stabilizationWindowSeconds": 0},
            "scaleDown": {"stabilizationWindowSeconds": 60},
        },
    }
    if metric == "cpu":
        return found | {"targetCPUUtilizationPercentage": TARGET_PERCENT}
    target = {"type": "AverageValue", "averageValue": f"{round(1000 * plan_requests_a_pod(requests_per_second))}m"}
    return found | {"metrics": [{"type": "Pods", "pods": {"metric": {"name": REQUESTS_METRIC}, "target": target}}]}


@dataclass
class Scaling:
    """The scenarios on a cluster.

    Attributes:
        scene: where.
        plan: what.
        journal: what is known.
        generators: by what.
        tell: is given each line of progress.
    """

    scene: Scene
    plan: ScalingPlan
    journal: Journal
    generators: Generators
    tell: Tell
    _served: dict[str, str] = field(default_factory=dict)

    def conduct(self) -> list[str]:
        """Do what is left of it; what was to be reached and was not, in words.

        Raises:
            ClusterError: when the model cannot be served, scaled or reached.
            GeneratorError: when no generator can be run.
            ResultsError: when what is known is of another rate, image or artifact.
        """
        weights = find_digest(self.scene, self.plan.planned) or UNTRAINED
        self._served = {"image": read_server_image(self.scene), "weights": weights}
        self.require_alike()
        left = [each for each in self.plan.scenarios() if not self.journal.has_scaling(self.plan.name(each))]
        self.tell(f"{len(self.plan.scenarios())} loads, {len(self.plan.scenarios()) - len(left)} of them known already")
        tries = Tries(self.journal.add_trouble, self.tell, self.plan.error_seconds)
        if left:
            try:
                self.prepare()
                for each in left:
                    tries.attempt(self.plan.name(each), partial(self.run, each))
            finally:
                self.scene.client.run("delete", "cmod", self.plan.planned.name, "-n", self.scene.namespace)
        if not self.journal.results.runs and not tries.left_out:
            self.journal.finish()
        return self.list_missed(tries.left_out)

    def require_alike(self) -> None:
        """Refuse to take a load at another rate, or on another image or artifact, for one of this plan.

        Raises:
            ResultsError: naming what differs.
        """
        for each in self.plan.scenarios():
            for entry in self.journal.results.scaling:
                if entry["name"] == self.plan.name(each):
                    require_facts(entry, self.render_facts(each), "measured")

    def render_facts(self, scenario: Scenario) -> dict[str, Any]:
        """What a load's verdict depends on, as its entry tells it."""
        rate = {"requestsPerSecond": scenario.requests_per_second, "load": render_load(scenario)}
        return {**rate, **self._served}

    def list_missed(self, left_out: list[str]) -> list[str]:
        """Of all scenarios, those that were known before as well."""
        known = {entry["name"]: entry for entry in self.journal.results.scaling}
        found = [f"{name}: no run was made" for name in left_out]
        for each in self.plan.scenarios():
            entry = known.get(self.plan.name(each), {})
            told = [f"void, {entry['void']}"] if entry.get("void") else entry.get("missed", ())
            found += [f"{entry['name']}: {words}" for words in told]
        return found

    def prepare(self) -> None:
        """Have one pod with an autoscaler that reads its metric."""
        planned, plan = self.plan.planned, self.plan
        self.apply(plan.limits, autoscaling=None)
        require_reach(self.scene, planned)
        limits = plan.limits
        if plan.metric == "cpu":
            used = self.calibrate()
            limits = replace(limits, cpu_request=f"{plan_cpu_request(used)}m")
            self.tell(f"{planned.name}: {used:.0f} mCore at {plan.requests_per_second:g} requests/s;"
                      f" its request is {limits.cpu_request}")  # fmt: skip
        self.apply(limits, render_autoscaling(plan.metric, plan.requests_per_second))
        wait_until(self.read_autoscaler, is_active, READS_SECONDS, f"the autoscaler of {planned.name}")

    def apply(self, limits: Limits, autoscaling: Mapping[str, Any] | None) -> None:
        """Have the model ready so."""
        planned = self.plan.planned
        self.scene.apply(render_scaled(planned, limits, autoscaling, provide_trained(self.scene, planned)))
        wait_until_ready(self.scene, [planned.name], self.tell)

    def calibrate(self) -> float:
        """What one pod uses at the base rate, in millicores.

        Raises:
            ClusterError: when Prometheus does not know.
        """
        plan, served = self.plan, read_served(self.scene, self.plan.planned)
        profile = flat(plan.requests_per_second, CALIBRATING_SECONDS)
        folder = self.journal.folder
        generated = self.generators.by_protocol["rest"](
            self.target(), profile, plan.seed, folder / "calibration.csv.gz"
        )
        generated.samples.unlink()
        window = Window(generated.started_unix, generated.started_unix + profile.seconds)
        time.sleep(max(0.0, window.end_unix + SETTLE_SECONDS - time.time()))
        kpis = read_kpis(self.scene.client, self.scene.prometheus, served, window)
        if not kpis.cpu_millicores:
            raise ClusterError(
                f"Prometheus tells no CPU of {plan.planned.name}: see that it scrapes the kubelet (docs/install.md)"
            )
        return kpis.cpu_millicores

    def target(self) -> Any:
        """Where the model answers."""
        return plan_target(self.scene, self.plan.planned, self.generators.bodies[self.plan.network])

    def read_autoscaler(self) -> Mapping[str, Any]:
        """The HorizontalPodAutoscaler's status."""
        status: Mapping[str, Any] = self.scene.read("hpa", self.plan.planned.name).get("status", {})
        return status

    def read_deployment(self) -> Mapping[str, Any]:
        """The model's Deployment, which knows of its pods before the CompressedModel does."""
        found: Mapping[str, Any] = self.scene.read("deployment", self.plan.planned.name)
        return found

    def read_ready(self) -> tuple[int, Mapping[str, Any]]:
        """How many pods are ready, and the Deployment that says so."""
        found = self.read_deployment()
        return int(found.get("status", {}).get("readyReplicas", 0)), found

    def run(self, scenario: Scenario) -> dict[str, Any]:
        """One load, told to the journal; a void one once more.

        Raises:
            ClusterError: when there is not one pod before it.
        """
        entry: dict[str, Any] = {}
        for _ in range(MOST_VOID):
            wait_until(self.read_deployment, is_calm, CALM_SECONDS, f"one pod of {self.plan.planned.name} and no other")
            entry = self.measure(scenario)
            if not entry["void"]:
                break
            self.tell(f"void: {entry['void']}")
        self.journal.add_scaling(entry | self.render_facts(scenario))
        return entry

    def measure(self, scenario: Scenario) -> dict[str, Any]:
        """One load, and what became of it, as the results tell it."""
        plan, target = self.plan, self.target()
        warm_up(target, self.generators.light, WARM_UP_SECONDS, self.journal.folder)
        key = Key(plan.planned.name, scenario.name, "rest", 0)
        out = self.journal.folder / key.path
        watch = Watch(self.scene, plan.planned, seconds_between_looks=SECONDS_BETWEEN_LOOKS, read=self.read_ready)
        with watch:
            generated = self.generators.by_protocol["rest"](
                target, scenario.make_profile(), plan_seed(plan.seed, key), out
            )
        self.journal.note_versions(**{generated.generator: generated.version})
        replicas = [(round(at - generated.started_unix, 1), ready) for at, ready in watch.looks]
        entry = render_entry(scenario, replicas, read_samples(out), generated)
        entry |= {"name": plan.name(scenario), "configuration": plan.planned.source}
        entry |= {"metric": METRIC_NAMES[plan.metric], "samples": key.path}
        self.tell(format_entry(entry))
        return entry


def render_load(scenario: Scenario) -> list[list[float]]:
    """The load over time, as results hold it."""
    return [list(point) for point in scenario.load()]


def is_calm(deployment: Mapping[str, Any]) -> bool:
    """Whether one pod of what is asked for now is ready, and there is no other, that goes or comes."""
    status = deployment.get("status", {})
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
    seen = status.get("observedGeneration") == deployment.get("metadata", {}).get("generation")
    return bool(seen and counts == [1, 1, 1])


def is_active(status: Mapping[str, Any]) -> bool:
    """Whether an autoscaler reads its metric."""
    told = {each["type"]: each["status"] for each in status.get("conditions", ())}
    return told.get("ScalingActive") == "True"


def render_entry(
    scenario: Scenario, replicas: list[tuple[float, int]], samples: Samples, generated: GeneratorRun
) -> dict[str, Any]:
    """What a scenario's run found, in the words of the results; pure."""
    rises = [judge_rise(rise, replicas, samples) for rise in scenario.list_rises()]
    summary = summarise(samples, scenario.seconds)
    failures = sum(summary.failures.values())
    return {
        "load": render_load(scenario),
        "replicas": list_steps([(at, ready) for at, ready in replicas if 0 <= at <= scenario.seconds]),
        "p95": list_p95(samples, scenario.seconds),
        "requests": summary.requests,
        "failures": failures,
        "followedSeconds": find_worst([each.followed_seconds for each in rises]),
        "cameBackSeconds": find_worst([each.came_back_seconds for each in rises]),
        "recoveredRatio": find_worst([each.recovered_ratio for each in rises]),
        "rises": [_render_rise(each) for each in rises],
        "generatorSharePercent": share_percent(generated),
        "void": find_void(generated, summary),
        "missed": list_missed(rises, failures),
    }


def _render_rise(found: Followed) -> dict[str, Any]:
    return {
        "pods": found.pods,
        "followedSeconds": found.followed_seconds,
        "cameBackSeconds": found.came_back_seconds,
        "recoveredRatio": found.recovered_ratio,
    }


def format_entry(entry: Mapping[str, Any]) -> str:
    """In one line."""
    missed = "; ".join(entry["missed"]) or "replicas followed, came back, and p95 recovered"
    return f"{entry['name']}: {entry['requests']} requests, {entry['failures']} failed; {missed}"
