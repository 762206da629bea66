"""Reads all that planning may know about one model; decides nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal, cast

from model_artifact.errors import ArtifactError
from model_artifact.summary import parse_summary
from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.build_attempt import (
    is_end_awaited,
    is_failing,
    is_left_over,
    is_outlived,
    parse_attempt,
    parse_owners,
    parse_state,
    running_pod_name,
)
from model_operator.errors import ClusterError
from model_operator.kube import Kube
from model_operator.measurement import KpiReader, parse_window_seconds
from model_operator.observation import (
    Baseline,
    BuildAttempt,
    Children,
    Claim,
    KpiProblem,
    Kpis,
    Object,
    Observation,
    Record,
)
from model_operator.planning.inputs import list_input_claims
from model_operator.planning.job import SUMMARY_KEY
from model_operator.planning.ownership import CHILD_KINDS
from model_operator.planning.rollout import parse_rollout
from model_operator.planning.store import find_store, split_claim
from model_operator.serving_pod import find_served, parse_pods, select_revision
from model_operator.settings import Settings

_MANAGED: Final = {names.LABEL_MANAGED_BY: names.MANAGED_BY}


@dataclass(frozen=True)
class Sources:
    """Where observations come from."""

    kube: Kube
    kpis: KpiReader
    settings: Settings


def observe(model: CompressedModel, body: Object, sources: Sources, now: datetime) -> Observation:
    """Everything that planning may know about the model, as it is now.

    Raises:
        ClusterError: when the API server does not answer.
        RefusedError: when it does not let the operator read.
    """
    kube, settings = sources.kube, sources.settings
    namespace, name = model.metadata.namespace, model.metadata.name
    recipe = model.recipe()
    digest = None if recipe is None else recipe.digest
    record = None if digest is None else _read_record(kube, namespace, digest)
    pods = kube.list_labelled("Pod", namespace, _server_labels(name))
    leftover, outlived = _read_earlier_builds(kube, namespace, body["metadata"]["uid"], digest)
    needs_data = recipe is not None and recipe.training.dataset is not None and settings.data_claim_name
    observation = Observation(
        uid=body["metadata"]["uid"],
        generation=body["metadata"]["generation"],
        status=body.get("status") or {},
        attempts=() if digest is None else _read_attempts(kube, namespace, digest, now, built=record is not None),
        leftover=leftover,
        outlived=outlived,
        record=record,
        store=None if digest is None else _read_store(kube, namespace, find_store(model.spec, record, settings)),
        data=_read_claim(kube, namespace, settings.data_claim_name) if needs_data and record is None else None,
        inputs=tuple(
            _read_claim(kube, namespace, claim) for claim in (list_input_claims(model.spec) if record is None else ())
        ),
        children=_read_children(kube, namespace, name),
        pods=parse_pods(pods),
    )
    # Which revision is served is decided in one place: status.serving and the numbers are of the same one.
    revision = parse_rollout(model, observation).served
    own, baseline = _observe_kpis(model, select_revision(pods, revision), sources, now)
    return replace(observation, kpis=own, baseline=baseline)


def observe_invalid(body: Object) -> Observation:
    """What is known of an object that is no CompressedModel: itself."""
    return Observation(
        uid=body["metadata"]["uid"], generation=body["metadata"]["generation"], status=body.get("status") or {}
    )


def _server_labels(model: str) -> Mapping[str, str]:
    return {names.LABEL_MODEL: model, names.LABEL_COMPONENT: names.COMPONENT_SERVER}


def _read_children(kube: Kube, namespace: str, name: str) -> Children:
    kept = {kind: kube.find_kept(kind, namespace, name) for kind, _ in CHILD_KINDS}
    return Children(
        kept={kind: found for kind, found in kept.items() if found is not None},
        deployment=kube.read("Deployment", namespace, name),
        service=kube.read("Service", namespace, name),
        autoscaler=kube.read("HorizontalPodAutoscaler", namespace, name),
        disruption_budget=kube.read("PodDisruptionBudget", namespace, name),
    )


def _read_store(kube: Kube, namespace: str, store: str) -> Claim | None:
    """The claim that is the store; None for a bucket, which only the pods themselves can see."""
    in_claim = split_claim(store)
    return None if in_claim is None else _read_claim(kube, namespace, in_claim[0])


def _read_claim(kube: Kube, namespace: str, name: str) -> Claim:
    claim = kube.read("PersistentVolumeClaim", namespace, name)
    if claim is None:
        return Claim(name, "Missing")
    phase = (claim.get("status") or {}).get("phase", "Pending")
    return Claim(name, cast("Literal['Pending', 'Bound', 'Lost']", phase))


def _read_record(kube: Kube, namespace: str, digest: str) -> Record | None:
    """The record of the recipe; one that cannot be read is none, so that the build's own summary is used."""
    found = kube.read("ConfigMap", namespace, names.record_name(digest))
    if found is None or (found["metadata"].get("labels") or {}).get(names.LABEL_MANAGED_BY) != names.MANAGED_BY:
        return None
    try:
        summary = parse_summary((found.get("data") or {}).get(SUMMARY_KEY, ""))
    except ArtifactError:
        return None
    store = (found["metadata"].get("annotations") or {}).get(names.ANNOTATION_STORE, "")
    return Record(parse_owners(found), summary, store)


def _read_attempts(kube: Kube, namespace: str, digest: str, now: datetime, *, built: bool) -> tuple[BuildAttempt, ...]:
    """The recipe's build Jobs, oldest first; their pods and logs only while there is no record."""
    labels = {**_MANAGED, names.LABEL_RECIPE: names.short_digest(digest, 32)}
    jobs = kube.list_labelled("Job", namespace, labels)
    pods = [] if built else _read_build_pods(kube, namespace, labels, jobs, now)
    kept = _list_kept_logs(kube, namespace, labels) if pods and any(map(is_failing, jobs)) else frozenset[str]()
    attempts = []
    for job in sorted(
        jobs, key=lambda each: (str(each["metadata"].get("creationTimestamp")), each["metadata"]["name"])
    ):
        own = _own_pods(job, pods)
        state = parse_state(job, own)
        waits_without_pod = state == "Pending" and not own and not built
        events = kube.list_events(namespace, "Job", job["metadata"]["name"]) if waits_without_pod else []
        unkept = is_failing(job) and names.build_log_name(job["metadata"]["name"]) not in kept
        log = _read_log(kube, namespace, own) if state == "Running" or unkept else ""
        attempts.append(parse_attempt(job, own, events, log))
    return tuple(attempts)


def _read_build_pods(
    kube: Kube, namespace: str, labels: Mapping[str, str], jobs: list[Object], now: datetime
) -> list[Object]:
    """The pods of these Jobs; no build counts as failed because what it handed over is not known here yet."""
    pods = kube.list_labelled("Pod", namespace, labels) if jobs else []
    if any(is_end_awaited(job, _own_pods(job, pods), now) for job in jobs):
        return kube.list_labelled("Pod", namespace, labels, fresh=True)
    return pods


def _own_pods(job: Object, pods: list[Object]) -> list[Object]:
    return [pod for pod in pods if _job_uid(pod) == job["metadata"]["uid"]]


def _list_kept_logs(kube: Kube, namespace: str, labels: Mapping[str, str]) -> frozenset[str]:
    """Names of the ConfigMaps with the ends of failed builds' logs."""
    kept = kube.list_labelled("ConfigMap", namespace, {**labels, names.LABEL_COMPONENT: names.COMPONENT_BUILD_LOG})
    return frozenset(str(each["metadata"]["name"]) for each in kept)


def _read_earlier_builds(
    kube: Kube, namespace: str, uid: str, digest: str | None
) -> tuple[tuple[str, ...], tuple[BuildAttempt, ...]]:
    """The model's builds of other recipes: names of those that go on, and the ended ones that nothing needs.

    A build that ended well while nobody recorded it is needed: its Job alone tells that the recipe is built.
    """
    label = None if digest is None else names.short_digest(digest, 32)
    owned = kube.list_owned("Job", namespace, uid)
    leftover = sorted(str(job["metadata"]["name"]) for job in owned if is_left_over(job, label))
    outlived = (parse_attempt(job, (), (), "") for job in owned if is_outlived(job, label))
    recipes = {job["metadata"]["name"]: _read_recipe(job) for job in owned}
    return tuple(leftover), tuple(
        attempt
        for attempt in outlived
        if attempt.state == "Failed" or _is_recorded(kube, namespace, recipes[attempt.job])
    )


def _read_recipe(job: Object) -> str:
    """Digest of the recipe that the Job builds."""
    return str((job["metadata"].get("annotations") or {}).get(names.ANNOTATION_RECIPE_DIGEST, ""))


def _is_recorded(kube: Kube, namespace: str, digest: str) -> bool:
    return bool(digest) and _read_record(kube, namespace, digest) is not None


def _job_uid(pod: Object) -> str:
    references = pod["metadata"].get("ownerReferences") or ()
    return next((str(each["uid"]) for each in references if each.get("kind") == "Job"), "")


def _read_log(kube: Kube, namespace: str, pods: list[Object]) -> str:
    """The end of the running build's log; empty where its node does not answer: progress is worth no error."""
    for pod in pods:
        name = running_pod_name(pod)
        if name is not None:
            try:
                return kube.read_log(namespace, name, names.BUILD_CONTAINER)
            except ClusterError:
                return ""
    return ""


def _observe_kpis(
    model: CompressedModel, pods: list[Object], sources: Sources, now: datetime
) -> tuple[Kpis | KpiProblem | None, Baseline | None]:
    """KPIs of the model's pods that are served, and of its baseline's over a window for which both were, in full."""
    namespace = model.metadata.namespace
    own = find_served(namespace, model.metadata.name, pods)
    wanted_seconds = parse_window_seconds(model.spec.objectives.window)
    if model.spec.baseline is None:
        return sources.kpis.read([own], wanted_seconds, now)[0], None
    name = model.spec.baseline.name
    body = sources.kube.read(names.KIND, namespace, name)
    other_pods = sources.kube.list_labelled("Pod", namespace, _server_labels(name))
    other = find_served(namespace, name, select_revision(other_pods, _read_revision(body)))
    (kpis,) = sources.kpis.read([own], wanted_seconds, now)
    compared, theirs = sources.kpis.read([own, other], wanted_seconds, now)
    baseline = parse_baseline(name, body, theirs if own else None)
    return kpis, baseline if compared == kpis else replace(baseline, compared=compared)


def _read_revision(body: Object | None) -> str | None:
    """The revision that a model's own status says is served."""
    status = (body.get("status") or {}) if body is not None else {}
    revision: str | None = (status.get("serving") or {}).get("revision")
    return revision


def parse_baseline(name: str, body: Object | None, kpis: Kpis | KpiProblem | None) -> Baseline:
    """The baseline as its own status has it."""
    if body is None:
        return Baseline(name, exists=False)
    status = body.get("status") or {}
    ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in status.get("conditions") or ())
    return Baseline(name, exists=True, ready=ready, artifact=status.get("artifact") or {}, kpis=kpis)
