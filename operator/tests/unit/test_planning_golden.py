"""Whole plans of known situations, with the Events of each.

Write them anew with MODELPRESS_WRITE_GOLDEN=1 and review the difference like code.
"""

import os
import re
from typing import get_args

import pytest
from planning_golden import FOLDER, format_case, list_cases, load_case, read_plan, write_plan

from model_operator.api.status import CompressedModelStatus, ConditionType
from model_operator.planning.events import EventReason
from model_operator.planning.reasons import Reason

CASES = list_cases()
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


@pytest.mark.parametrize("name", CASES)
def test_the_plan_of_a_case_is_the_golden_one(name):
    result = format_case(load_case(name))
    if os.environ.get("MODELPRESS_WRITE_GOLDEN"):
        write_plan(name, result)
    assert result == read_plan(name)


@pytest.mark.parametrize("name", CASES)
def test_a_planned_status_is_one_of_the_api(name):
    status = load_case(name).plan().status
    if status is not None:
        assert CompressedModelStatus.model_validate(status).to_json() == status


@pytest.mark.parametrize("name", CASES)
def test_a_status_that_was_just_written_is_not_written_again(name):
    case = load_case(name)
    status = case.plan().status or case.observation.status
    again = case._replace(observation=_with_status(case.observation, status))
    # What is refused again is told again, in the same words and since the same time.
    assert (again.plan().status or status) == status
    assert again.events() == ()


def _with_status(observation, status):
    return type(observation)(**{**vars(observation), "status": status})


@pytest.fixture(scope="module")
def told():
    """Reason and type of every condition that a case's status has, with the cases."""
    found = {}
    for name in CASES:
        for condition in (read_plan(name).get("status") or {}).get("conditions", ()):
            found.setdefault((condition["reason"], condition["type"]), []).append(name)
    return found


def test_every_reason_and_every_condition_is_in_a_case(told):
    assert {reason for reason, _ in told} == {reason.value for reason in Reason}
    assert {kind for _, kind in told} == set(get_args(ConditionType))


def test_every_reason_is_in_a_case_for_each_condition_that_the_page_names(told, repository):
    rows = ROW.findall((repository / "docs/reasons.md").read_text(encoding="utf-8"))
    documented = {(row[0], kind.strip()) for row in rows for kind in row[1].split(",")}
    assert documented - told.keys() == set(), "make a case in operator/tests/golden, or correct docs/reasons.md"
    unknown = {pair: told[pair] for pair in told.keys() - documented}
    assert unknown == {}, "correct docs/reasons.md, or what the plan says"


def test_every_event_is_in_a_case():
    events = [event.split(" ")[1].rstrip(":") for name in CASES for event in read_plan(name).get("events", ())]
    assert set(events) == {reason.value for reason in EventReason}


def test_every_half_built_state_is_a_case():
    halves = {
        "built",  # a Job that ended well without a record
        "half-deployment-alone",
        "half-deployment-stripped",
        "half-job-of-another-model",
        "half-job-without-summary",
        "half-no-deployment",
        "half-record-of-another-model",
        "half-status-lost",
    }
    assert {name for name in CASES if name.startswith("half-")} | {"built"} == halves


def test_a_case_has_its_three_files():
    files = {name: sorted(path.name for path in (FOLDER / name).iterdir()) for name in CASES}
    assert {
        name: found for name, found in files.items() if found != ["model.yaml", "observation.yaml", "plan.yaml"]
    } == {}
