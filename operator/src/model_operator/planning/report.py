"""What a pass tells in the end: one status, where it changed, and the Events of the change. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from model_operator.planning.decision import Plan, Refusal
from model_operator.planning.events import plan_events
from model_operator.planning.refusal import add_refusals

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Report:
    """What is to be written of a pass; nothing where nothing changed."""

    status: Object | None = None
    events: tuple[Object, ...] = ()


def plan_report(body: Object, plan: Plan, refusals: Sequence[Refusal], now: datetime) -> Report:
    """The status of a plan that was carried out but for what was refused, and its Events.

    Args:
        body: the model as it was read, with the status that stands.
        plan: what was carried out.
        refusals: what the API server did not take of it.
        now: the time of what changes.
    """
    standing = body.get("status") or {}
    status = add_refusals(plan.status or standing, refusals, now, standing) if refusals else plan.status
    if status is None or status == standing:
        return Report()
    return Report(status, plan_events(body, standing, status, now))
