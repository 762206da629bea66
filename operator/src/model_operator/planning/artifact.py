"""The artifact that a model serves: where it is, what is known of it, and whether pods could verify it. Pure."""

from dataclasses import dataclass

from model_artifact.errors import ArtifactError
from model_artifact.summary import ArtifactSummary, parse_failure, parse_summary
from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.observation import BuildAttempt, Observation, Pod
from model_operator.planning.decision import Object, Reference
from model_operator.planning.job import recipe_label
from model_operator.planning.reasons import Reason
from model_operator.planning.verdict import Course, Verdict, format_sentence

_SCHEME = "pvc://"
# Exit codes of `model-artifact unpack`, docs/exit-codes.md.
_EXIT_MISSING = 2
_EXIT_MISMATCH = (3, 4)

BUILDING_SECONDS = 5.0
WAITING_SECONDS = 10.0


@dataclass(frozen=True)
class Artifact:
    """One artifact in a claim."""

    digest: str
    claim: str
    path: str
    """Below the root of the claim."""
    summary: ArtifactSummary | None = None
    """None where its facts are not known."""

    @property
    def uri(self) -> str:
        """Where it is: pvc://CLAIM/PATH."""
        return f"{_SCHEME}{self.claim}/{self.path}"


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


def parse_artifact(uri: str, digest: str) -> Artifact:
    """The artifact at pvc://CLAIM/PATH."""
    claim, _, path = uri.removeprefix(_SCHEME).partition("/")
    return Artifact(digest, claim, path)


def plan_given(model: CompressedModel, observation: Observation, uri: str, digest: str) -> ArtifactDecision:
    """An artifact that the spec names: pods verify it, and say what it is."""
    artifact = parse_artifact(uri, digest)
    facts = _find_facts(observation, digest)
    artifact = Artifact(digest, artifact.claim, artifact.path, facts)
    problem = find_problem(model, observation, artifact)
    if problem is not None:
        return problem
    # A pod that is ready has verified it, even where what it said cannot be read.
    verified = any(pod.ready and pod.revision == digest for pod in observation.pods)
    known = verified or facts is not None or (observation.status.get("artifact") or {}).get("digest") == digest
    if known:
        return plan_known(artifact, Verdict("True", Reason.VERIFIED, f"{uri} is the artifact {digest}."))
    message = f"The first pod verifies that {uri} is the artifact {digest}."
    verdict = Verdict("Unknown", Reason.VERIFYING, message)
    return ArtifactDecision(verdict, "Reconciling", artifact, deployable=True, requeue_after_seconds=BUILDING_SECONDS)


def plan_known(artifact: Artifact, verdict: Verdict) -> ArtifactDecision:
    """Nothing is left to do for the artifact."""
    return ArtifactDecision(verdict, "Settled", artifact, deployable=True)


def find_problem(model: CompressedModel, observation: Observation, artifact: Artifact) -> ArtifactDecision | None:
    """What keeps a known artifact from being served: no claim, no file, or another file; None when nothing does."""
    if is_lacking(observation.store):
        verdict = Verdict("False", Reason.STORE_MISSING, format_missing_store(model, observation, artifact.claim))
        return ArtifactDecision(verdict, "Reconciling", artifact, requeue_after_seconds=WAITING_SECONDS)
    failed = next((pod for pod in observation.pods if _is_unverified(pod, artifact.digest)), None)
    if failed is None:
        return None
    missing = failed.unpack_exit_code == _EXIT_MISSING
    reason = Reason.ARTIFACT_MISSING if missing else Reason.ARTIFACT_MISMATCH
    verdict = Verdict("False", reason, _format_verification(model, artifact, failed, missing=missing))
    return ArtifactDecision(verdict, "Stalled", artifact, deployable=True, requeue_after_seconds=WAITING_SECONDS)


def is_lacking(claim: object) -> bool:
    """Whether a claim cannot be used. One that is pending can: many are bound only when a pod asks for them."""
    return getattr(claim, "phase", None) in {"Missing", "Lost"}


def format_missing_store(model: CompressedModel, observation: Observation, claim: str) -> str:
    """What is missing, and the command that makes it."""
    phase = observation.store.phase if observation.store is not None else "Missing"
    found = "does not exist" if phase == "Missing" else "has lost its volume; delete it first"
    namespace = model.metadata.namespace
    body = (
        f'{{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{{"name":"{claim}"}},"spec":{{"accessModes":'
        '["ReadWriteOnce"],"resources":{"requests":{"storage":"20Gi"}}}}'
    )
    return (
        f"The PersistentVolumeClaim {claim} {found}. Make it (ReadWriteMany where pods run on several nodes): "
        f"echo '{body}' | kubectl apply -n {namespace} -f -"
    )


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
    return (
        pod.revision == digest
        and not pod.ready
        and not pod.terminating
        and pod.unpack_exit_code in {_EXIT_MISSING, *_EXIT_MISMATCH}
    )


def _format_verification(model: CompressedModel, artifact: Artifact, pod: Pod, *, missing: bool) -> str:
    """Which file of which claim is wrong, that it is never served, and how to go on."""
    failure = parse_failure(pod.unpack_message)
    cause = format_sentence(failure.error if failure is not None else pod.unpack_message or "the pod did not say why")
    what = "could not be read" if missing else f"is not the intact artifact {artifact.digest}"
    return (
        f"{artifact.path} in the claim {artifact.claim} {what}, so it is never served: "
        f"{cause} {_format_remedy(model, artifact)}"
    )


def _format_remedy(model: CompressedModel, artifact: Artifact) -> str:
    recipe = model.recipe()
    if recipe is None:
        return "Put the right file there, or state the uri and digest of another one in spec.source.artifact."
    namespace = model.metadata.namespace
    return (
        f"Delete the file {artifact.path} from the claim, then have it built again: kubectl -n {namespace} delete "
        f"configmap,job -l {names.LABEL_RECIPE}={recipe_label(recipe.digest)}"
    )
