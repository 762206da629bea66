"""The artifact that a model serves: where it is, what is known of it, and whether pods could verify it. Pure."""

from dataclasses import dataclass

from model_artifact.errors import ArtifactError
from model_artifact.recipe import Recipe
from model_artifact.summary import ArtifactSummary, parse_failure, parse_summary
from model_operator import names
from model_operator.api.v1alpha1 import ArtifactSource, CompressedModel
from model_operator.observation import BuildAttempt, Observation, Pod
from model_operator.planning.decision import Object, Reference
from model_operator.planning.job import recipe_label
from model_operator.planning.reasons import Reason
from model_operator.planning.store import (
    format_missing_claim,
    format_missing_secret,
    format_place,
    lacks_secret,
    split_claim,
)
from model_operator.planning.verdict import Course, Verdict, format_sentence
from model_operator.settings import Settings

# Exit codes of `model-artifact unpack`, docs/exit-codes.md.
_EXIT_MISSING = 2
_EXIT_MISMATCH = (3, 4)
_EXIT_STORE = 6
_EXIT_SIGNATURE_INVALID = 7
_EXIT_SIGNATURE_MISSING = 8
_REASONS = {
    _EXIT_MISSING: Reason.ARTIFACT_MISSING,
    **dict.fromkeys(_EXIT_MISMATCH, Reason.ARTIFACT_MISMATCH),
    _EXIT_STORE: Reason.STORE_UNAVAILABLE,
    _EXIT_SIGNATURE_INVALID: Reason.SIGNATURE_INVALID,
    _EXIT_SIGNATURE_MISSING: Reason.SIGNATURE_MISSING,
}

BUILDING_SECONDS = 5.0
WAITING_SECONDS = 10.0


@dataclass(frozen=True)
class Artifact:
    """One artifact in a store."""

    digest: str
    uri: str
    """Where it is: pvc://CLAIM/PATH or s3://BUCKET/KEY."""
    summary: ArtifactSummary | None = None
    """None where its facts are not known."""


@dataclass(frozen=True)
class ArtifactDecision:
    """How far the artifact is, and what to do for it."""

    verdict: Verdict
    """Of the condition ArtifactReady."""
    course: Course
    artifact: Artifact | None = None
    """The spec's artifact; None until it is known."""
    deployable: bool = False
    """Whether pods may be given it."""
    attempt: BuildAttempt | None = None
    """The build that `status.build` tells of."""
    create: tuple[Object, ...] = ()
    adopt: tuple[Reference, ...] = ()
    reasons: tuple[str, ...] = ()
    requeue_after_seconds: float | None = None


def plan_given(
    model: CompressedModel, observation: Observation, settings: Settings, given: ArtifactSource
) -> ArtifactDecision:
    """An artifact that the spec names: pods verify it, and say what it is."""
    uri, digest = given.uri, given.digest
    facts = _find_facts(observation, digest)
    artifact = Artifact(digest, uri, facts)
    problem = find_problem(model, observation, settings, artifact)
    if problem is not None:
        return problem
    # A pod that is ready has verified it, even where what it said cannot be read.
    verified = any(pod.ready and pod.revision == digest for pod in observation.pods)
    known = verified or facts is not None or (observation.status.get("artifact") or {}).get("digest") == digest
    if known:
        return plan_known(artifact, Verdict("True", Reason.VERIFIED, f"{uri} is the artifact {digest}."))
    message = f"The first pod verifies that {uri} is the artifact {digest}."
    verdict = Verdict("Unknown", Reason.VERIFYING, message)
    return ArtifactDecision(verdict, "Reconciling", artifact, deployable=True)


def plan_known(artifact: Artifact, verdict: Verdict) -> ArtifactDecision:
    """Nothing is left to do for the artifact."""
    return ArtifactDecision(verdict, "Settled", artifact, deployable=True)


def find_problem(
    model: CompressedModel, observation: Observation, settings: Settings, artifact: Artifact
) -> ArtifactDecision | None:
    """What keeps a known artifact from being served: no store, no file, or another file; None when nothing does."""
    missing = _find_missing_store(model, observation, settings, artifact)
    if missing is not None:
        return missing
    failed = next((pod for pod in observation.pods if _is_unverified(pod, artifact.digest)), None)
    if failed is None or failed.unpack_exit_code is None:
        return None
    code = failed.unpack_exit_code
    verdict = Verdict("False", _REASONS[code], _format_verification(model, artifact, failed))
    # A store that refuses or does not answer may be mended without anything of ours being changed.
    course: Course = "Reconciling" if code == _EXIT_STORE else "Stalled"
    return ArtifactDecision(verdict, course, artifact, deployable=True, requeue_after_seconds=WAITING_SECONDS)


def _find_missing_store(
    model: CompressedModel, observation: Observation, settings: Settings, artifact: Artifact
) -> ArtifactDecision | None:
    """The claim of a built artifact, or the Secret that a pod waits for."""
    in_claim = split_claim(artifact.uri)
    if observation.store is not None and in_claim is not None and is_lacking(observation.store):
        message = format_missing_claim(in_claim[0], observation.store.phase, model.metadata.namespace)
        verdict = Verdict("False", Reason.STORE_MISSING, message)
        return ArtifactDecision(verdict, "Reconciling", artifact, requeue_after_seconds=WAITING_SECONDS)
    waiting = [pod for pod in observation.pods if pod.revision == artifact.digest and not pod.ready]
    if any(lacks_secret(settings, pod.message) for pod in waiting):
        verdict = Verdict("False", Reason.STORE_MISSING, format_missing_secret(model, settings))
        return ArtifactDecision(
            verdict, "Reconciling", artifact, deployable=True, requeue_after_seconds=WAITING_SECONDS
        )
    return None


def is_lacking(claim: object) -> bool:
    """Whether a claim cannot be used. One that is pending can: many are bound only when a pod asks for them."""
    return getattr(claim, "phase", None) in {"Missing", "Lost"}


def _find_facts(observation: Observation, digest: str) -> ArtifactSummary | None:
    """The summary that a pod's verification left."""
    for pod in observation.pods:
        if pod.revision == digest and pod.unpack_exit_code == 0:
            try:
                return parse_summary(pod.unpack_message)
            except ArtifactError:
                continue
    return None


def _is_unverified(pod: Pod, digest: str) -> bool:
    return pod.revision == digest and not pod.ready and not pod.terminating and pod.unpack_exit_code in _REASONS


def _format_verification(model: CompressedModel, artifact: Artifact, pod: Pod) -> str:
    """Which file of which store is wrong, that it is never served, and how to go on."""
    failure = parse_failure(pod.unpack_message)
    cause = format_sentence(failure.error if failure is not None else pod.unpack_message or "the pod did not say why")
    if pod.unpack_exit_code == _EXIT_STORE:
        return f"{cause} Pods try again by themselves."
    place = format_place(artifact.uri)
    if pod.unpack_exit_code in {_EXIT_SIGNATURE_INVALID, _EXIT_SIGNATURE_MISSING}:
        return f"{place} is not signed by a trusted key, so it is never served: {cause} {_format_signing(model)}"
    missing = pod.unpack_exit_code == _EXIT_MISSING
    what = "could not be read" if missing else f"is not the intact artifact {artifact.digest}"
    return f"{place} {what}, so it is never served: {cause} {_format_remedy(model, artifact)}"


def _format_remedy(model: CompressedModel, artifact: Artifact) -> str:
    recipe = model.recipe()
    if recipe is None:
        return "Put the right file there, or state the uri and digest of another one in spec.source.artifact."
    namespace = model.metadata.namespace
    return f"Delete {format_place(artifact.uri)}, then have it built again: {_format_rebuilding(namespace, recipe)}"


def _format_signing(model: CompressedModel) -> str:
    recipe = model.recipe()
    if recipe is None:
        return (
            "Sign it with such a key if you know who made it, or state the uri and digest of another one in "
            "spec.source.artifact."
        )
    return (
        "Sign it with such a key if you know who made it, or have it built again by builds that sign: "
        f"{_format_rebuilding(model.metadata.namespace, recipe)}"
    )


def _format_rebuilding(namespace: str, recipe: Recipe) -> str:
    """The command that has the operator forget what it knows of a recipe."""
    return f"kubectl -n {namespace} delete configmap,job -l {names.LABEL_RECIPE}={recipe_label(recipe.digest)}"
