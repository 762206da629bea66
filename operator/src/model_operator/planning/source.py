"""Where the model's artifact comes from: built from a recipe, or given. Pure."""

from dataclasses import replace
from datetime import datetime

from model_operator.api.v1alpha1 import CompressedModel
from model_operator.errors import InvalidModelError
from model_operator.observation import Observation
from model_operator.planning.artifact import ArtifactDecision, plan_given
from model_operator.planning.build import plan_build
from model_operator.planning.reasons import Reason
from model_operator.planning.verdict import Verdict
from model_operator.settings import Settings


def plan_artifact(
    model: CompressedModel, observation: Observation, settings: Settings, now: datetime
) -> ArtifactDecision:
    """How far the spec's artifact is, and the next step towards it; none while the model is suspended.

    Raises:
        InvalidModelError: the spec has neither source, which the API refuses.
    """
    recipe, given = model.recipe(), model.spec.source.artifact
    if recipe is not None:
        decision = plan_build(model, observation, settings, recipe, now)
    elif given is not None:
        decision = plan_given(model, observation, settings, given)
    else:
        raise InvalidModelError("spec.source states neither training nor artifact; state one of them")
    return _hold(decision) if model.spec.suspend else decision


def _hold(decision: ArtifactDecision) -> ArtifactDecision:
    """What is said of the artifact when nothing may be made for it."""
    waits = decision.course == "Reconciling" and (decision.create or decision.attempt is not None)
    if not waits or decision.artifact is not None:
        return decision
    runs = decision.attempt is not None and decision.attempt.state != "Failed" and not decision.create
    what = "is ended" if runs else "does not start"
    message = f"The build {what} while spec.suspend is true; set it to false to go on."
    verdict = Verdict("False", Reason.SUSPENDED, message)
    return replace(decision, verdict=verdict, course="Settled", attempt=None, requeue_after_seconds=None)
