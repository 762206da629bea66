"""Which builds a model asks for no longer. Pure.

The owners of a build's Job are the models that ask for it; each that no longer does takes itself off them, and the last
one deletes the Job. A training that was ended so is saved where the store is a claim, and gone on with from there.

A finished Job is asked for as long as it says something: which attempts failed of what is to be built, how the artifact
was built, and, for a day, what the last build was and why one failed. Its pods and the end of its log go with it.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from model_operator.api.v1alpha1 import CompressedModel
from model_operator.observation import BuildAttempt, Observation
from model_operator.planning.artifact import ArtifactDecision
from model_operator.planning.decision import Reference
from model_operator.planning.job import is_same_build
from model_operator.settings import Settings

KEPT: Final = timedelta(days=1)
"""How long a finished build that decides nothing any more is there to be looked at."""
MOST_AT_ONCE: Final = 10
"""Finished builds that one pass leaves; each that goes brings the next pass."""
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


def plan_leaving(
    model: CompressedModel, observation: Observation, artifact: ArtifactDecision, settings: Settings, now: datetime
) -> tuple[Reference, ...]:
    """The builds to leave.

    Unfinished ones of other recipes, and of the spec's own all but the one that is waited for, if any is; and finished
    ones that are not asked for any more.
    """
    awaited = None if model.spec.suspend or artifact.attempt is None else artifact.attempt.job
    own = tuple(
        attempt.job
        for attempt in observation.attempts
        if attempt.job != awaited
        and attempt.state not in _FINISHED
        and not attempt.ending
        and observation.uid in attempt.owners
    )
    finished = _list_unneeded(model, observation, settings, now)[:MOST_AT_ONCE]
    return tuple(Reference("Job", name) for name in (*own, *observation.leftover, *finished))


def _list_unneeded(
    model: CompressedModel, observation: Observation, settings: Settings, now: datetime
) -> tuple[str, ...]:
    """Names of the finished builds that the model asks for no more, the oldest first."""
    own = [
        attempt
        for attempt in observation.attempts
        if attempt.state in _FINISHED and not attempt.ending and observation.uid in attempt.owners
    ]
    unbuilt = bool(own) and observation.record is None
    finished = sorted([*own, *observation.outlived], key=_order)

    def is_asked_for(attempt: BuildAttempt) -> bool:
        last = attempt is finished[-1]
        if attempt in own and unbuilt:
            needed = attempt.state == "Succeeded" or _is_of_spec(attempt, model, settings)
        else:
            needed = attempt in own and attempt.state == "Succeeded" and last
        is_fresh = now - _end(attempt) < KEPT
        return needed or (is_fresh and (last or (attempt in own and attempt.state == "Failed")))

    return tuple(attempt.job for attempt in finished if not is_asked_for(attempt))


def _is_of_spec(attempt: BuildAttempt, model: CompressedModel, settings: Settings) -> bool:
    recipe = model.recipe()
    return recipe is not None and is_same_build(attempt, recipe, model.spec, settings)


def _order(attempt: BuildAttempt) -> tuple[datetime, str]:
    return _end(attempt), attempt.job


def _end(attempt: BuildAttempt) -> datetime:
    """When it ended; one that does not say ended long ago."""
    return attempt.finished_at or _LONG_AGO
