"""Whether what is desired is what is served, and whether anything is served at all. Pure."""

from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.planning.artifact import ArtifactDecision
from model_operator.planning.reasons import Reason
from model_operator.planning.rollout import Rollout, is_pending
from model_operator.planning.serving import ServingDecision
from model_operator.planning.trouble import format_trouble
from model_operator.planning.verdict import Course, Verdict, format_sentence

_QUOTA_WORDS = "exceeded quota"


def plan_ready(
    model: CompressedModel, artifact: ArtifactDecision, serving: ServingDecision, rollout: Rollout
) -> tuple[Verdict, Course]:
    """The condition Ready, and whether work goes on; what hinders first is told."""
    hindrance = (
        _find_conflict(serving)
        or ((serving.unsuitable, "Stalled") if serving.unsuitable is not None else None)
        or _find_artifact_hindrance(artifact)
        or _find_write(model, artifact, serving)
        or _find_rollout_hindrance(model, rollout)
    )
    if hindrance is not None:
        return hindrance
    if rollout.replicas == 0:
        return Verdict("True", Reason.SCALED_TO_ZERO, "Nothing answers: the model has no replicas."), "Settled"
    return Verdict("True", Reason.SERVING, _format_serving(model, rollout)), "Settled"


def _format_serving(model: CompressedModel, rollout: Rollout) -> str:
    """What is served, and which pod more than what must answer waits."""
    if rollout.failing is None:
        return f"Revision {rollout.served} is served."
    enough = f"Revision {rollout.served} is served, by as many pods as the spec asks for at least"
    return f"{enough}; another waits: {format_trouble(model, rollout.failing)}"


def plan_available(model: CompressedModel, artifact: ArtifactDecision, rollout: Rollout) -> Verdict:
    """The condition Available: at least one pod, of whichever revision, answers."""
    if rollout.ready_pods:
        counts = f"{rollout.ready_pods} of {rollout.replicas} pods ready"
        wanted = names.short_digest(artifact.artifact.digest) if artifact.artifact is not None else None
        if wanted == rollout.served:
            return Verdict("True", Reason.SERVING, f"Revision {rollout.served} answers, {counts}.")
        message = f"The previous revision {rollout.served} answers, {counts}; the spec asks for another."
        return Verdict("True", Reason.PREVIOUS_REVISION, message)
    if rollout.exists and rollout.replicas == 0:
        return Verdict("False", Reason.SCALED_TO_ZERO, "Nothing answers: the model has no replicas.")
    if rollout.exists:
        return Verdict("False", Reason.NO_READY_PODS, f"None of {rollout.replicas} pods is ready.")
    return Verdict("False", Reason.NOT_SERVING, f"There is no Deployment {model.metadata.name} of this model yet.")


def plan_reconciling(ready: Verdict, course: Course) -> Verdict:
    """The condition Reconciling: work goes on by itself."""
    if course == "Reconciling":
        return Verdict("True", ready.reason, ready.message)
    if course == "Stalled":
        return Verdict("False", ready.reason, "It does not go on by itself; the condition Stalled says why.")
    if ready.reason is Reason.SUSPENDED:
        return Verdict("False", ready.reason, ready.message)
    return Verdict("False", Reason.SETTLED, "Nothing is left to do.")


def plan_stalled(ready: Verdict, course: Course) -> Verdict:
    """The condition Stalled: it does not go on without a change."""
    if course == "Stalled":
        return Verdict("True", ready.reason, ready.message)
    return Verdict("False", Reason.NOT_STALLED, "Nothing needs a change.")


def find_refusal_reason(message: str) -> Reason:
    """A quota's refusal may pass; others need a change of whatever refuses."""
    return Reason.QUOTA_EXCEEDED if _QUOTA_WORDS in message else Reason.REFUSED


def _find_conflict(serving: ServingDecision) -> tuple[Verdict, Course] | None:
    if not serving.conflicts:
        return None
    conflict = min(serving.conflicts, key=lambda conflict: conflict.predecessor)
    thing = f"{conflict.reference.kind} {conflict.reference.name}"
    if conflict.predecessor:
        message = f"The {thing} belongs to an earlier model of this name; it goes with that one, and this one goes on."
        return Verdict("False", Reason.NAME_CONFLICT, message), "Reconciling"
    message = (
        f"There is a {thing} that this model does not control, so it is left alone; "
        "delete or rename that object, or create the model under another name."
    )
    return Verdict("False", Reason.NAME_CONFLICT, message), "Stalled"


def _find_artifact_hindrance(artifact: ArtifactDecision) -> tuple[Verdict, Course] | None:
    """An artifact that only waits to be verified is no hindrance of its own: the rollout verifies it."""
    if artifact.verdict.status != "False":
        return None
    return Verdict("False", artifact.verdict.reason, artifact.verdict.message), artifact.course


def _find_write(
    model: CompressedModel, artifact: ArtifactDecision, serving: ServingDecision
) -> tuple[Verdict, Course] | None:
    """What is written in this pass is not in place yet; while the model is suspended it stays so."""
    if not (serving.writes or artifact.create):
        return None
    if model.spec.suspend:
        message = "There are changes to make, and spec.suspend is true; set it to false to go on."
        return Verdict("False", Reason.SUSPENDED, message), "Settled"
    kinds = [str(applied["kind"]) for applied in serving.apply] or ["what the spec asks for"]
    return Verdict("False", Reason.APPLYING, f"Writing {', '.join(kinds)}."), "Reconciling"


def _find_rollout_hindrance(model: CompressedModel, rollout: Rollout) -> tuple[Verdict, Course] | None:
    trouble = format_trouble(model, rollout.failing)
    if rollout.stuck and not rollout.complete:
        message = f"{format_sentence(rollout.stuck)} {trouble}".strip()
        return Verdict("False", Reason.ROLLOUT_STUCK, message), "Stalled"
    if rollout.refusal:
        reason = find_refusal_reason(rollout.refusal)
        return Verdict("False", reason, f"Pods are refused: {format_sentence(rollout.refusal)}"), "Reconciling"
    # What an autoscaler asks for besides may wait; a pod that fails by itself is told, however many others answer.
    if rollout.failing is not None and not (rollout.complete and is_pending(rollout.failing)):
        reason = Reason.PODS_PENDING if is_pending(rollout.failing) else Reason.PODS_FAILING
        return Verdict("False", reason, trouble), "Reconciling"
    if not rollout.complete:
        revision = names.short_digest(rollout.artifact.digest) if rollout.artifact is not None else "unknown"
        message = f"Revision {revision} is being rolled out, {rollout.ready_pods} of {rollout.replicas} pods ready."
        return Verdict("False", Reason.ROLLING_OUT, message), "Reconciling"
    return None
