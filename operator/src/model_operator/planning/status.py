"""The whole status, and whether it is worth a write. Pure."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from model_operator.api.status import CompressedModelStatus, Condition, ConditionType
from model_operator.planning.rounding import is_moved
from model_operator.planning.verdict import Verdict

NUMBERS_AGE: Final = timedelta(seconds=60)
"""After so long measured numbers are written again even where none moved."""

_MEASURED_SECTIONS = ("kpis", "savings")
_MEASURED_BUILD_FIELDS = ("stepsPerSecond", "etaSeconds")
_MEASURED_CONDITIONS = ("WithinObjectives", "Compared")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def parse_status(status: Mapping[str, Any]) -> CompressedModelStatus | None:
    """The status as it was last written; None where there is none, or one of another version."""
    try:
        return CompressedModelStatus.model_validate_json(json.dumps(dict(status)))
    except ValidationError:
        return None


def render_conditions(
    verdicts: Mapping[ConditionType, Verdict | None],
    previous: CompressedModelStatus | None,
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """The conditions in the order of `verdicts`; each keeps its time for as long as its status stays."""
    known = {condition.type: condition for condition in previous.conditions} if previous is not None else {}
    return tuple(
        render_condition(kind, verdict, known.get(kind), generation, now)
        for kind, verdict in verdicts.items()
        if verdict is not None
    )


def render_condition(
    kind: ConditionType, verdict: Verdict, previous: Condition | None, generation: int, now: datetime
) -> Condition:
    """One condition; it keeps its time for as long as its status stays."""
    stays = previous is not None and previous.status == verdict.status
    return Condition(
        type=kind,
        status=verdict.status,
        reason=verdict.reason.value,
        message=verdict.message,
        last_transition_time=previous.last_transition_time if stays and previous is not None else now,
        observed_generation=generation,
    )


def plan_status_write(previous: Mapping[str, Any], status: CompressedModelStatus) -> Mapping[str, Any] | None:
    """The status to write, or None: when only measured numbers changed, by less than 5 %, within a minute."""
    new = status.to_json()
    if previous == new:
        return None
    if _drop_measured(previous) != _drop_measured(new):
        return new
    if any(is_moved(old, number) for old, number in _list_numbers(previous, new)):
        return new
    return new if _is_newer(previous, new) else None


def _is_newer(previous: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether what was measured is so much newer than what stands; a window without a number is not worth a write."""
    kpis, standing = new.get("kpis") or {}, previous.get("kpis") or {}
    if not any(isinstance(value, int | float) for value in kpis.values()):
        return False
    measured_at, before = (datetime.fromisoformat(each["measuredAt"]) for each in (kpis, standing))
    return measured_at - before >= NUMBERS_AGE


def _drop_measured(status: Mapping[str, Any]) -> dict[str, Any]:
    """The status with measured numbers replaced by the mere fact that they are there."""
    rest = dict(status)
    for section in _MEASURED_SECTIONS:
        if section in rest:
            rest[section] = {
                key: value if isinstance(value, str) and key != "measuredAt" else None
                for key, value in rest[section].items()
            }
    if "build" in rest:
        told = {key: None if key in _MEASURED_BUILD_FIELDS else value for key, value in rest["build"].items()}
        rest["build"] = told | {"message": _NUMBER.sub("0", told.get("message") or "")}
    rest["conditions"] = [_drop_numbers(condition) for condition in rest.get("conditions", ())]
    return rest


def _drop_numbers(condition: Mapping[str, Any]) -> Mapping[str, Any]:
    if condition.get("type") not in _MEASURED_CONDITIONS:
        return condition
    return {**condition, "message": _NUMBER.sub("0", condition.get("message", ""))}


def _list_numbers(previous: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Pairs of old and new numbers; both statuses have the same fields."""
    pairs = [(section, key) for section in _MEASURED_SECTIONS for key in new.get(section, {})]
    pairs += [("build", key) for key in _MEASURED_BUILD_FIELDS if key in new.get("build", {})]
    return [
        (previous[section][key], new[section][key])
        for section, key in pairs
        if isinstance(new[section][key], int | float)
    ]
