"""Which builds a model asks for no longer. Pure.

The owners of a build's Job are the models that ask for it; each that no longer does takes itself off them, and the last
one ends the Job. A training that was ended so is saved where the store is a claim, and gone on with from there.
"""

from typing import Final

from model_operator.api.v1alpha1 import CompressedModel
from model_operator.observation import Observation
from model_operator.planning.artifact import ArtifactDecision
from model_operator.planning.decision import Reference

_FINISHED: Final = frozenset({"Succeeded", "Failed"})


def plan_leaving(model: CompressedModel, observation: Observation, artifact: ArtifactDecision) -> tuple[Reference, ...]:
    """The unfinished builds of other recipes, and of the spec's own all but the one that is waited for, if any is."""
    awaited = None if model.spec.suspend or artifact.attempt is None else artifact.attempt.job
    own = tuple(
        attempt.job
        for attempt in observation.attempts
        if attempt.job != awaited
        and attempt.state not in _FINISHED
        and not attempt.ending
        and observation.uid in attempt.owners
    )
    return tuple(Reference("Job", name) for name in (*own, *observation.leftover))
