"""What was found in the cluster and in Prometheus for one model: frozen facts, no client, no decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from model_artifact.summary import ArtifactSummary, BuildProgress, Failure

Object = Mapping[str, Any]
"""A Kubernetes object as JSON."""


@dataclass(frozen=True)
class BuildAttempt:
    """One build Job of the model's recipe, and how it stands."""

    job: str
    owners: frozenset[str]
    """UIDs of the models that own it."""
    build_hash: str
    """Its LABEL_BUILD."""
    attempt: int
    state: Literal["Pending", "Suspended", "Running", "Succeeded", "Failed"]
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: BuildProgress | None = None
    summary: ArtifactSummary | None = None
    """Of a build that succeeded."""
    failure: Failure | None = None
    """Of a build that failed and could say why."""
    reason: str = ""
    """Kubernetes' own word: OOMKilled, DeadlineExceeded, Evicted, Unschedulable, ImagePullBackOff, FailedCreate, …"""
    message: str = ""
    """What Kubernetes or the end of the log said; one line."""
    store: str = ""
    """URI of the store that it builds into; empty where its Job does not say."""
    ending: bool = False
    """Its Job is being deleted, and stays until its pods are gone."""
    uid: str = ""
    """Of its Job."""
    image: str = ""
    """Of its builder; empty where its Job does not say."""
    log: str = ""
    """The end of the log of a build that fails, as long as it is not kept in a ConfigMap."""


@dataclass(frozen=True)
class Record:
    """The ConfigMap that keeps what a recipe's build gave."""

    owners: frozenset[str]
    summary: ArtifactSummary
    store: str = ""
    """URI of the store that holds the artifact; empty in a record that does not say."""


@dataclass(frozen=True)
class Claim:
    """A PersistentVolumeClaim."""

    name: str
    phase: Literal["Missing", "Pending", "Bound", "Lost"]


@dataclass(frozen=True)
class Pod:
    """One serving pod."""

    name: str
    template_hash: str
    """Its pod-template-hash label."""
    revision: str
    """Content digest of the artifact (ANNOTATION_REVISION)."""
    ready: bool
    terminating: bool
    reason: str = ""
    """Why it does not run: CrashLoopBackOff, ImagePullBackOff, Unschedulable, OOMKilled, …; empty when all is well."""
    message: str = ""
    container: str = ""
    """The container that `reason` is of; empty where it is the whole pod's, or there is none."""
    unpack_exit_code: int | None = None
    """Of the last ended unpack container: 0 done, 3 corrupt, 4 other digest (docs/exit-codes.md)."""
    unpack_message: str = ""
    """Its termination message: an ArtifactSummary when it ended well, a Failure or log lines otherwise."""


@dataclass(frozen=True)
class Children:
    """The live objects of the model's name, whoever made them; None where there is none."""

    deployment: Object | None = None
    service: Object | None = None
    autoscaler: Object | None = None
    disruption_budget: Object | None = None
    kept: Mapping[str, str] = field(default_factory=dict)
    """By kind, what an admission policy made of the last apply (`hash_change`), as long as it is remembered."""


@dataclass(frozen=True)
class Kpis:
    """What Prometheus measured over one window, of the pods of one revision; None where it has no data."""

    window_seconds: int
    measured_at: datetime
    pods: int
    """Pods that were scraped in the whole window."""
    unread: bool = False
    """Prometheus was not asked yet since the operator started, or since the model serves: nothing is said."""
    requests: float | None = None
    """That succeeded."""
    tried_requests: float | None = None
    """Those and the ones that failed."""
    requests_per_second: float | None = None
    requests_per_second_per_pod: float | None = None
    """Of those pods."""
    p95_latency_milliseconds: float | None = None
    """From the finest buckets that there are."""
    p95_standard_milliseconds: float | None = None
    """From TensorFlow Serving's, which every server has."""
    p95_is_fine: bool = False
    """Whether `p95_latency_milliseconds` comes from finer ones."""
    cpu_millicores: float | None = None
    """Mean of a pod."""
    memory_mebibytes: float | None = None
    """Working set, mean of a pod."""
    cpu_milliseconds_per_request: float | None = None
    error_percent: float | None = None


@dataclass(frozen=True)
class KpiProblem:
    """Why there are no KPIs."""

    reason: Literal["PrometheusNotConfigured", "PrometheusUnavailable"]
    message: str


@dataclass(frozen=True)
class Baseline:
    """The model that savings are measured against."""

    name: str
    exists: bool
    ready: bool = False
    artifact: Object = field(default_factory=dict)
    """Its `status.artifact`."""
    kpis: Kpis | KpiProblem | None = None
    """Over a window that the compared model was served for as well; None where either serves nothing."""
    compared: Kpis | KpiProblem | None = None
    """The compared model's own over that window; None where those are its KPIs."""


@dataclass(frozen=True)
class Observation:
    """Everything that planning for one model may know."""

    uid: str
    generation: int
    status: Object
    """The model's status as it was last written."""
    attempts: tuple[BuildAttempt, ...] = ()
    """Of the model's recipe, oldest first."""
    leftover: tuple[str, ...] = ()
    """Names of unfinished build Jobs of other recipes that the model still owns."""
    outlived: tuple[BuildAttempt, ...] = ()
    """Finished builds of other recipes that the model still owns: those that failed, or whose artifact is recorded."""
    record: Record | None = None
    store: Claim | None = None
    """The store's claim; None when the model needs no store of ours, or one that is no claim."""
    data: Claim | None = None
    """None when no data claim is configured, or nothing is to be built."""
    inputs: tuple[Claim, ...] = ()
    """The claims that hold the model and the data of `spec.source.model`; empty when nothing is to be built."""
    children: Children = Children()
    pods: tuple[Pod, ...] = ()
    kpis: Kpis | KpiProblem | None = None
    """None while nothing is served."""
    baseline: Baseline | None = None
    """None when the spec names none."""
