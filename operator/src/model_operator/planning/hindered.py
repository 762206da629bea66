"""The status of a model that could not be planned for: its spec breaks the API, or it cannot be looked at. Pure."""

from datetime import datetime

from model_operator.api.status import CompressedModelStatus, ConditionType
from model_operator.observation import Observation
from model_operator.planning.decision import Plan
from model_operator.planning.readiness import plan_reconciling, plan_stalled
from model_operator.planning.reasons import Reason
from model_operator.planning.status import parse_status, plan_status_write, render_conditions
from model_operator.planning.verdict import Course, Verdict, format_sentence


def plan_invalid(observation: Observation, error_message: str, now: datetime) -> Plan:
    """A status that says what is wrong with an object that the types refuse; nothing of it is touched."""
    return _plan_hindered(observation, Verdict("False", Reason.INVALID_SPEC, error_message), "Stalled", now)


def plan_unseen(observation: Observation, refusal_message: str, now: datetime) -> Plan:
    """A status that says that nobody knows how the model stands, since the API server refuses to tell the operator.

    What was true before may be so no longer; what is served goes on all the same.
    """
    message = (
        f"The operator may not look at this model: {format_sentence(refusal_message)} Grant it the rights of its chart "
        "again (helm upgrade does; docs/rights.md lists them); it goes on by itself."
    )
    return _plan_hindered(observation, Verdict("Unknown", Reason.RIGHTS_MISSING, message), "Reconciling", now)


def _plan_hindered(observation: Observation, ready: Verdict, course: Course, now: datetime) -> Plan:
    """Ready, Reconciling and Stalled as they are now, and all else as it stands."""
    previous = parse_status(observation.status)
    verdicts: dict[ConditionType, Verdict | None] = {
        "Ready": ready,
        "Reconciling": plan_reconciling(ready, course),
        "Stalled": plan_stalled(ready, course),
    }
    conditions = render_conditions(verdicts, previous, observation.generation, now.replace(microsecond=0))
    kept = previous or CompressedModelStatus(observed_generation=observation.generation)
    others = tuple(condition for condition in kept.conditions if condition.type not in verdicts)
    update = {"observed_generation": observation.generation, "conditions": (*conditions, *others)}
    status = plan_status_write(observation.status, kept.model_copy(update=update))
    return Plan(status=status, reasons=(ready.message,))
