"""Whole plans of known situations.

Write them anew with MODELPRESS_WRITE_GOLDEN=1 and review the difference like code.
"""

import os

import pytest
from planning_golden import format_plan, list_cases, load_case, read_plan, write_plan

from model_operator.api.status import CompressedModelStatus

CASES = list_cases()


@pytest.mark.parametrize("name", CASES)
def test_the_plan_of_a_case_is_the_golden_one(name):
    result = format_plan(load_case(name).plan())
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
    status = case.plan().status
    again = case._replace(observation=_with_status(case.observation, status or case.observation.status)).plan()
    assert again.status is None


def _with_status(observation, status):
    return type(observation)(**{**vars(observation), "status": status})


def test_the_cases_are_those_that_the_design_asks_for():
    assert set(CASES) >= {
        "autoscaling-added",
        "autoscaling-removed",
        "bucket-built",
        "bucket-given",
        "bucket-new",
        "bucket-pods-without-secret",
        "bucket-secret-missing",
        "bucket-unavailable",
        "build-exhausted",
        "build-permanent",
        "build-retry-due",
        "build-retry-waiting",
        "building",
        "built",
        "given-artifact",
        "insufficient-data",
        "kpis-and-savings",
        "mismatch",
        "name-conflict",
        "new-with-store",
        "new-without-store",
        "prometheus-down",
        "recipe-changed",
        "replicas-changed",
        "resources-changed",
        "rolling-out",
        "steady",
        "suspended",
    }
