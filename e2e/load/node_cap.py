"""How many models fit on a node of a stated size: what each asks for, how it stands, and what is counted. Pure.

The node of the size is a cap: a ResourceQuota on what the pods of a namespace request. A pod requests the larger of
what its containers ask for together and what its largest init container asks for, as the scheduler counts.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from load.configurations import Limits, PlanError, Planned, plan_compression
from load.flask_pod import FlaskServer
from load.results import Network, require_facts
from load.start_plan import PLAIN, SMALLEST, TARGET_NETWORK
from model_operator.planning.quantity import parse_quantity

QUOTA = "modelpress-density"
MORE_AT_LEAST = 6.0
MEBIBYTE = 2**20
RESOURCES = ("cpu", "memory")

State = Literal["ready", "waiting", "refused"]


@dataclass(frozen=True)
class Amounts:
    """Of CPU and memory."""

    cpu_cores: Decimal
    memory_bytes: Decimal

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(self.cpu_cores + other.cpu_cores, self.memory_bytes + other.memory_bytes)


NOTHING = Amounts(Decimal(0), Decimal(0))


@dataclass(frozen=True)
class DensityPlan:
    """What is to be counted.

    Attributes:
        network: of the models, all of one configuration at a time.
        node_cpu: of the node that is stood for.
        node_memory: likewise.
        cpu_request: of every server.
        headroom_percent: beyond the measured working set, for the memory request.
        most: models of one configuration that are tried.
        batch: how many are applied at once.
        baselines: servers beside ours.
        limits: of each pod; its requests are not used.
        flask_server: what stands before Flask.
        requests_before: that a model answers before its working set is read.
        settle_seconds: from then on, until the kubelet's figures are in.
        ready_seconds: that a batch may take.
        error_seconds: after an error, until the next try.
        channel_sparsity: share of the channels that is pruned as a whole at (1.25, 8).
    """

    network: Network
    node_cpu: str = "2"
    node_memory: str = "4G"
    cpu_request: str = "20m"
    headroom_percent: float = 25.0
    most: int = 60
    batch: int = 4
    baselines: tuple[str, ...] = ("flask",)
    limits: Limits = field(default_factory=Limits)
    flask_server: FlaskServer = "flask"
    requests_before: int = 20
    settle_seconds: float = 35.0
    ready_seconds: float = 180.0
    error_seconds: float = 10.0
    channel_sparsity: float = 0.0

    @property
    def ours(self) -> Planned:
        """What the others are compared with."""
        return plan_compression(self.network, *SMALLEST, self.channel_sparsity)

    def kinds(self) -> tuple[Planned, ...]:
        """The configurations, the baseline first, as the experiment names them."""
        found = [Planned(f"{self.network}-flask", self.network, *PLAIN, "flask")] if "flask" in self.baselines else []
        return (*found, plan_compression(self.network, *PLAIN), self.ours)

    @property
    def cap(self) -> Amounts:
        """The node's."""
        return Amounts(read_quantity(self.node_cpu), read_quantity(self.node_memory))

    def describe_cap(self) -> str:
        """In words."""
        return f"a ResourceQuota of {self.node_cpu} CPU and {self.node_memory} memory, requested"


def read_quantity(text: str) -> Decimal:
    """A quantity of Kubernetes.

    Raises:
        PlanError: when it is none.
    """
    found = parse_quantity(text)
    if found is None or found < 0:
        raise PlanError(f"{text!r} is no amount: write it as Kubernetes does, such as 500m or 4G")
    return Decimal(found)


def plan_names(planned: Planned, first: int, count: int) -> list[str]:
    """Of the models, numbered from 1."""
    return [f"{planned.name}-n{number:03}" for number in range(first, first + count)]


def plan_memory_request(working_set_bytes: float, headroom_percent: float) -> str:
    """The working set and its headroom, in whole mebibytes."""
    return f"{math.ceil(working_set_bytes * (1 + headroom_percent / 100) / MEBIBYTE)}Mi"


def find_pod_requests(spec: Mapping[str, Any]) -> Amounts:
    """What the scheduler, and a quota, count of a pod."""
    init = [_find_requests(each) for each in spec.get("initContainers", ())]
    together = sum((_find_requests(each) for each in spec["containers"]), NOTHING)
    return Amounts(
        max((each.cpu_cores for each in (*init, together)), default=Decimal(0)),
        max((each.memory_bytes for each in (*init, together)), default=Decimal(0)),
    )


def _find_requests(container: Mapping[str, Any]) -> Amounts:
    stated = container.get("resources", {}).get("requests", {})
    cpu, memory = (read_quantity(str(stated.get(name, "0"))) for name in RESOURCES)
    return Amounts(cpu, memory)


def add_requests(pods: Iterable[Mapping[str, Any]]) -> Amounts:
    """Of all pods that did not end for good: what a quota has used already."""
    living = [pod for pod in pods if pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}]
    return sum((find_pod_requests(pod["spec"]) for pod in living), NOTHING)


def plan_fit(pod: Amounts, cap: Amounts) -> tuple[int, str]:
    """How many such pods the cap has room for, and which resource is the first to end."""
    counts = {
        "CPU": int(cap.cpu_cores / pod.cpu_cores) if pod.cpu_cores else None,
        "memory": int(cap.memory_bytes / pod.memory_bytes) if pod.memory_bytes else None,
    }
    known = {name: count for name, count in counts.items() if count is not None}
    if not known:
        raise PlanError("a pod that requests nothing fits any number of times: state requests")
    name = min(known, key=lambda each: known[each])
    return known[name], name


def render_quota(namespace: str, amounts: Amounts) -> dict[str, Any]:
    """The cap, as an object."""
    hard = {"requests.cpu": f"{int(amounts.cpu_cores * 1000)}m", "requests.memory": str(int(amounts.memory_bytes))}
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": QUOTA, "namespace": namespace},
        "spec": {"hard": hard},
    }


def is_enforced(quota: Mapping[str, Any]) -> bool:
    """Whether Kubernetes counts by it already."""
    return "requests.memory" in quota.get("status", {}).get("used", {})


@dataclass(frozen=True)
class Standing:
    """How a model stands.

    Attributes:
        state: see there.
        why: it does not go on, in Kubernetes' words.
    """

    state: State
    why: str = ""


_NO_DEPLOYMENT, _NO_POD, _NOT_READY = "it has no Deployment yet", "it has no pod yet", "its pod is not Ready yet"
_NO_ROOM = "exceeded quota"
"""What Kubernetes says of a pod that the quota has no room for, among others that cannot be made at the moment."""


def judge_standing(deployment: Mapping[str, Any] | None, pods: Sequence[Mapping[str, Any]]) -> Standing:
    """Ready; refused, when the quota or the scheduler has no room; waiting otherwise.

    Args:
        deployment: of the model; None: it is not there yet.
        pods: of the model.
    """
    if deployment is None:
        return Standing("waiting", _NO_DEPLOYMENT)
    status = deployment.get("status", {})
    if status.get("readyReplicas", 0) >= 1:
        return Standing("ready")
    told = {each["type"]: each for each in status.get("conditions", ()) if each.get("status") == "True"}
    failure = str(told.get("ReplicaFailure", {}).get("message", ""))
    if _NO_ROOM in failure:
        return Standing("refused", failure)
    for pod in pods:
        for each in pod.get("status", {}).get("conditions", ()):
            if each["type"] == "PodScheduled" and each.get("reason") == "Unschedulable":
                return Standing("refused", str(each.get("message", "")))
    return Standing("waiting", failure or (_NOT_READY if pods else _NO_POD))


def is_cut_short(entry: Mapping[str, Any]) -> bool:
    """Whether a count, of an older file, ended because a pod was not Ready in time, which says nothing of the room."""
    return entry["stoppedBy"] in {_NO_DEPLOYMENT, _NO_POD, _NOT_READY}


def render_entry(plan: DensityPlan, facts: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """One configuration, in the words of the results.

    Args:
        plan: of the scenario.
        facts: `configuration`, `weights`, `workingSetMebibytes`, `memoryRequest`, `podRequests` (Amounts).
        found: `applied`, `ready`, `answered`, `stoppedBy` (empty: the most that is tried), `usedMebibytes` (None: not
            known).
    """
    pod: Amounts = facts["podRequests"]
    room, first = plan_fit(pod, plan.cap)
    return {
        "name": facts["configuration"],
        "configuration": facts["configuration"],
        "models": found["answered"],
        "atLeast": not found["stoppedBy"],
        "ready": found["ready"],
        "applied": found["applied"],
        "stoppedBy": found["stoppedBy"] or f"{plan.most}, the most that is tried",
        "workingSetMebibytes": facts["workingSetMebibytes"],
        "headroomPercent": plan.headroom_percent,
        "memoryRequest": facts["memoryRequest"],
        "cpuRequest": plan.cpu_request,
        "podRequests": f"{int(pod.cpu_cores * 1000)}m CPU, {int(pod.memory_bytes / MEBIBYTE)}Mi",
        "roomByRequests": f"{room}, by {first}",
        "usedMebibytes": found["usedMebibytes"],
        "cap": plan.describe_cap(),
        "weights": facts["weights"],
        **_tell_server(plan, facts["configuration"]),
    }


def _tell_server(plan: DensityPlan, name: str) -> dict[str, str]:
    """What stands before Flask, of its row."""
    flask = {each.name for each in plan.kinds() if each.kind == "flask"}
    return {"flaskServer": plan.flask_server} if name in flask else {}


def require_alike(plan: DensityPlan, entries: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to put counts of different nodes, needs, or servers before Flask beside each other.

    Raises:
        ResultsError: naming what differs.
    """
    wanted = {"cap": plan.describe_cap(), "headroomPercent": plan.headroom_percent, "cpuRequest": plan.cpu_request}
    kinds = {each.name for each in plan.kinds()}
    for entry in entries:
        if entry["name"] in kinds:
            require_facts(entry, wanted | _tell_server(plan, entry["name"]), "counted")


def compare(plan: DensityPlan, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The entries, each baseline's with how many times more of (1.25, 8) answer.

    It is judged against the baseline that the target names, of VGG-16; elsewhere it is stated.
    """
    ours = plan.ours.name
    best = next((entry for entry in entries if entry["name"] == ours), None)
    kinds = {each.name: each for each in plan.kinds()}
    found = []
    for entry in entries:
        planned = kinds.get(entry["name"])
        if planned is None or planned.name == ours:
            found.append(dict(entry))
            continue
        found.append({**entry, **_tell_ratio(best, entry, judged=_is_target(plan, planned))})
    return found


def _is_target(plan: DensityPlan, planned: Planned) -> bool:
    return planned.kind == "flask" and plan.network == TARGET_NETWORK


def _tell_ratio(best: Mapping[str, Any] | None, entry: Mapping[str, Any], *, judged: bool) -> dict[str, Any]:
    """A side that ended at the most that is tried may hold more: of ours, the ratio is then at least so much."""
    if best is None or not entry["models"] or entry["atLeast"]:
        return {"smallestAreMore": None, "verdict": None}
    ratio = best["models"] / entry["models"]
    met = "met" if ratio >= MORE_AT_LEAST else "not shown" if best["atLeast"] else "missed"
    return {
        "smallestAreMore": f"{'at least ' if best['atLeast'] else ''}{ratio:.2f}x",
        "timesMore": round(ratio, 3),
        "verdict": f"{met}, at least {MORE_AT_LEAST:g}x is wanted" if judged else "stated",
    }


def list_missed(plan: DensityPlan, entries: Sequence[Mapping[str, Any]], left_out: Sequence[str]) -> list[str]:
    """What was to be reached and was not, or was not made, in words."""
    found = [f"{name}: not made" for name in left_out]
    kinds = {each.name for each in plan.kinds()}
    for entry in entries:
        if entry["name"] not in kinds:
            continue
        if entry["models"] < entry["ready"]:
            found.append(f"{entry['name']}: {entry['ready'] - entry['models']} that are Ready did not answer")
        if str(entry.get("verdict", "")).startswith(("missed", "not shown")):
            found.append(f"{entry['name']}: (1.25, 8) are {entry['smallestAreMore']} as many")
    return found
