"""Whether a recipe must be built, and which attempt is next. Pure.

A recipe with a record is never built again. Else one build of it runs at a time: an attempt that runs, or is about to,
is waited for, whoever made it. One that cannot start under the settings of another model alone is no hindrance; should
both come to run, the oldest is waited for and the others are left. Failed attempts count only under the settings that
they were made with. The operator's own image for builds is none of these: a release changes it for all.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from model_artifact.recipe import Recipe
from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.observation import BuildAttempt, Observation, Record
from model_operator.planning import failure
from model_operator.planning.artifact import (
    BUILDING_SECONDS,
    WAITING_SECONDS,
    Artifact,
    ArtifactDecision,
    find_problem,
    is_lacking,
    plan_known,
)
from model_operator.planning.decision import Reference
from model_operator.planning.job import hash_build, is_same_build, render_job, render_record
from model_operator.planning.pending import IMAGE_REASONS, format_pending
from model_operator.planning.reasons import Reason
from model_operator.planning.store import (
    CLAIM_SCHEME,
    choose_store,
    format_missing_claim,
    format_missing_secret,
    join_store,
    lacks_secret,
    split_claim,
)
from model_operator.planning.verdict import Verdict, format_sentence
from model_operator.settings import Settings

_FIRST_DELAY_SECONDS = 10
_LONGEST_DELAY_SECONDS = 300
_OF_THE_IMAGE: Final = IMAGE_REASONS | {"CreateContainerError", "ContainerCannotRun", "RunContainerError", "StartError"}
"""Kubernetes' words for an image that does not come, or is none that builds."""


@dataclass(frozen=True)
class _Case:
    """What every step of the decision looks at."""

    model: CompressedModel
    observation: Observation
    settings: Settings
    recipe: Recipe
    build_hash: str


def plan_build(
    model: CompressedModel, observation: Observation, settings: Settings, recipe: Recipe, now: datetime
) -> ArtifactDecision:
    """The artifact of a recipe: known, or the next step towards it."""
    case = _Case(model, observation, settings, recipe, hash_build(recipe, model.spec, settings))
    known = _plan_built(case)
    if known is not None:
        return known
    active = _find_active(case)
    if active is not None:
        return _plan_active(case, active)
    ending = next((attempt for attempt in observation.attempts if attempt.ending), None)
    if ending is not None:
        return _plan_after_end(ending)
    stuck = next((attempt for attempt in observation.attempts if _is_ours_alone(case, attempt)), None)
    if stuck is not None:
        return _plan_after_leaving(stuck)
    failed = [attempt for attempt in observation.attempts if _is_counted(case, attempt)]
    if not failed:
        return _plan_start(case, 0)
    return _plan_after_failure(case, failed, now)


def _plan_built(case: _Case) -> ArtifactDecision | None:
    """The recipe's artifact where a record, or else a build that ended well, tells of it."""
    observation, record = case.observation, case.observation.record
    built = next((attempt for attempt in reversed(observation.attempts) if _is_built(attempt)), None)
    summary = record.summary if record is not None else built.summary if built is not None else None
    if summary is None:
        return None
    store = _find_built_store(case, record, built)
    artifact = Artifact(summary.digest, join_store(store, summary.path), summary)
    verdict = Verdict("True", Reason.BUILT, f"{artifact.uri} is the artifact {artifact.digest} of the spec's recipe.")
    decision = find_problem(case.model, observation, case.settings, artifact) or plan_known(artifact, verdict)
    digest = case.recipe.digest
    if record is None:
        gave = f"create ConfigMap {names.record_name(digest)}: the build gave {artifact.digest}"
        create = (render_record(case.model, observation.uid, digest, summary, store),)
        return replace(decision, attempt=built, create=create, reasons=(gave,))
    adopt = _plan_adoption(case, record.owners, Reference("ConfigMap", names.record_name(digest)))
    # Pods are not looked at where there is a record; until it is left, the Job alone tells which build it was.
    finished = [each for each in observation.attempts if each.state == "Succeeded" and not each.ending]
    ended = finished[-1] if finished else None
    return replace(decision, attempt=ended, adopt=adopt, reasons=_format_adoption(adopt))


def _find_built_store(case: _Case, record: Record | None, built: BuildAttempt | None) -> str:
    """Where the record or the Job says that the artifact is; those that do not say are older than other stores."""
    stated = record.store if record is not None else built.store if built is not None else ""
    return stated or f"{CLAIM_SCHEME}{case.settings.store_claim_name}"


def _plan_adoption(case: _Case, owners: frozenset[str], reference: Reference) -> tuple[Reference, ...]:
    return () if case.observation.uid in owners else (reference,)


def _format_adoption(adopt: tuple[Reference, ...]) -> tuple[str, ...]:
    return tuple(f"own {reference.kind} {reference.name} too: another model made it" for reference in adopt)


def _is_built(attempt: BuildAttempt) -> bool:
    return attempt.state == "Succeeded" and attempt.summary is not None


def _find_active(case: _Case) -> BuildAttempt | None:
    """The build to wait for; one under other settings that cannot start is left behind, so that a remedy works."""

    def rank(attempt: BuildAttempt) -> tuple[bool, bool]:
        # Of two that run all models wait for the same one, the oldest, and leave the other.
        running = attempt.state == "Running"
        return running, running or _is_alike(case, attempt)

    def is_awaited(attempt: BuildAttempt) -> bool:
        starting = attempt.state == "Pending" and not attempt.reason
        waiting = attempt.state in {"Pending", "Suspended"} and _is_counted(case, attempt)
        return not attempt.ending and (attempt.state == "Running" or starting or waiting)

    return max(filter(is_awaited, case.observation.attempts), key=rank, default=None)


def _is_alike(case: _Case, attempt: BuildAttempt) -> bool:
    return is_same_build(attempt, case.recipe, case.model.spec, case.settings)


def _is_counted(case: _Case, attempt: BuildAttempt) -> bool:
    """Whether it is one of those that the spec asks for: under the same settings, whatever image the operator now has.

    Another image is a remedy for one alone that could not begin because of its own.
    """
    if attempt.build_hash == case.build_hash:
        return True
    return _is_alike(case, attempt) and (attempt.failure is not None or attempt.reason not in _OF_THE_IMAGE)


def _is_ours_alone(case: _Case, attempt: BuildAttempt) -> bool:
    """Whether it goes on as long as this model asks for it, and no longer."""
    return attempt.state not in {"Succeeded", "Failed"} and attempt.owners == {case.observation.uid}


def _plan_after_leaving(stuck: BuildAttempt) -> ArtifactDecision:
    """Nothing but to leave it: it could begin to run beside the next one."""
    message = f"Job {stuck.job} cannot start, has other settings than the spec and is ended; then the next one is made."
    verdict = Verdict("False", Reason.BUILD_PENDING, message)
    return ArtifactDecision(verdict, "Reconciling", requeue_after_seconds=BUILDING_SECONDS)


def _plan_after_end(ending: BuildAttempt) -> ArtifactDecision:
    """Nothing, until the pods of a build that was ended are gone: what they save is gone on with."""
    message = f"Job {ending.job} is being ended; the next one is made when its pods are gone."
    verdict = Verdict("False", Reason.BUILD_PENDING, message)
    return ArtifactDecision(verdict, "Reconciling", attempt=ending, requeue_after_seconds=BUILDING_SECONDS)


def _plan_active(case: _Case, attempt: BuildAttempt) -> ArtifactDecision:
    adopt = _plan_adoption(case, attempt.owners, Reference("Job", attempt.job))
    waiting = attempt.state != "Running"
    return ArtifactDecision(
        (_find_missing_claim(case) or _find_missing_secret(case, attempt) if waiting else None)
        or _format_active(case, attempt),
        "Reconciling",
        attempt=attempt,
        adopt=adopt,
        reasons=_format_adoption(adopt),
        requeue_after_seconds=WAITING_SECONDS if waiting else BUILDING_SECONDS,
    )


def _format_active(case: _Case, attempt: BuildAttempt) -> Verdict:
    job = f"Job {attempt.job}"
    said = f"{attempt.reason} {attempt.message}".strip()
    why = f": {said}" if said else ""
    if attempt.state == "Suspended":
        queue = case.model.spec.build.queue_name
        waits = f"waits in the queue {queue}" if queue else "is suspended; set its spec.suspend to false"
        return Verdict("False", Reason.BUILD_QUEUED, format_sentence(f"{job} {waits}{why}"))
    if attempt.state == "Pending":
        return Verdict("False", *format_pending(attempt, case.model.spec.build))
    progress = attempt.progress
    phase = f": {progress.phase}" if progress is not None else ""
    epoch = f", epoch {progress.epoch} of {progress.epochs}" if progress is not None and progress.epoch else ""
    return Verdict("False", Reason.BUILDING, f"{job} runs{phase}{epoch}.")


def _plan_after_failure(case: _Case, failed: Sequence[BuildAttempt], now: datetime) -> ArtifactDecision:
    """The next attempt when its time has come; none after a failure that would come again, or after the last.

    Args:
        case: of the model.
        failed: the attempts that count, oldest first; at least one.
        now: the time.
    """
    build = case.model.spec.build
    last = max(reversed(failed), key=lambda attempt: attempt.attempt)
    ended = f"Attempt {last.attempt + 1} of {build.retries + 1} failed: {failure.format_cause(last, build)}"
    adopt = _plan_adoption(case, last.owners, Reference("Job", last.job))
    final = last.failure is not None and last.failure.permanent
    if final or last.attempt >= build.retries:
        why = "It would fail again" if final else "No attempt is left"
        message = f"{ended} {why}: {_format_restart(case, failed)}"
        return ArtifactDecision(Verdict("False", Reason.BUILD_FAILED, message), "Stalled", attempt=last, adopt=adopt)
    delay = min(_FIRST_DELAY_SECONDS * 2**last.attempt, _LONGEST_DELAY_SECONDS)
    due = (last.finished_at or now) + timedelta(seconds=delay)
    if last.finished_at is None or now >= due:
        return _plan_start(case, last.attempt + 1)
    message = f"{ended} The next attempt starts at {due:%Y-%m-%dT%H:%M:%SZ}."
    return ArtifactDecision(
        Verdict("False", Reason.BUILD_FAILED, message),
        "Reconciling",
        attempt=last,
        adopt=adopt,
        requeue_after_seconds=max(1.0, (due - now).total_seconds()),
    )


def _format_restart(case: _Case, failed: Sequence[BuildAttempt]) -> str:
    hashes = sorted({attempt.build_hash for attempt in failed})
    selector = f"={hashes[0]}" if len(hashes) == 1 else f" in ({','.join(hashes)})"
    stated = f"{names.LABEL_BUILD}{selector}"
    return (
        "change spec.build or spec.source, or delete the Jobs to begin anew: kubectl -n "
        f"{case.model.metadata.namespace} delete job -l {shlex.quote(stated)}"
    )


def _plan_start(case: _Case, attempt: int) -> ArtifactDecision:
    """Make the Job, once what it mounts is there."""
    missing = _find_missing_claim(case)
    if missing is not None:
        return ArtifactDecision(missing, "Reconciling", requeue_after_seconds=WAITING_SECONDS)
    job = render_job(case.model, case.observation.uid, case.recipe, case.settings, attempt)
    name = job["metadata"]["name"]
    return ArtifactDecision(
        Verdict("False", Reason.BUILD_PENDING, f"Job {name} is being made."),
        "Reconciling",
        attempt=BuildAttempt(name, frozenset({case.observation.uid}), case.build_hash, attempt, "Pending"),
        create=(job,),
        reasons=(f"create Job {name}: attempt {attempt + 1} at the recipe {case.recipe.digest}",),
        requeue_after_seconds=BUILDING_SECONDS,
    )


def _find_missing_claim(case: _Case) -> Verdict | None:
    store, in_claim = case.observation.store, split_claim(choose_store(case.model.spec, case.settings))
    if store is not None and in_claim is not None and is_lacking(store):
        message = format_missing_claim(in_claim[0], store.phase, case.model.metadata.namespace)
        return Verdict("False", Reason.STORE_MISSING, message)
    data = case.observation.data
    if data is not None and is_lacking(data):
        message = (
            f"The PersistentVolumeClaim {data.name} with the data sets does not exist in the namespace "
            f"{case.model.metadata.namespace}; make and fill it, or set the operator's data claim to none, so that "
            "builds download what they need."
        )
        return Verdict("False", Reason.DATA_MISSING, message)
    return _find_missing_input(case)


def _find_missing_input(case: _Case) -> Verdict | None:
    """A claim with the user's own files that is not there."""
    lacking = next((claim for claim in case.observation.inputs if is_lacking(claim)), None)
    if lacking is None:
        return None
    namespace = case.model.metadata.namespace
    found = "has lost its volume" if lacking.phase == "Lost" else "does not exist"
    message = (
        f"The PersistentVolumeClaim {lacking.name}, in which spec.source.model says that files are, {found} in the"
        f" namespace {namespace}; make it and put them there, or correct the uri. The build then begins by itself."
    )
    return Verdict("False", Reason.DATA_MISSING, message)


def _find_missing_secret(case: _Case, attempt: BuildAttempt) -> Verdict | None:
    """The Secret that the build's pod waits for; Kubernetes starts it when that is there."""
    if not lacks_secret(case.settings, attempt.message):
        return None
    return Verdict("False", Reason.STORE_MISSING, format_missing_secret(case.model, case.settings))
