"""docs/reasons.md tells every reason there is, and no other."""

import re
from typing import get_args, get_type_hints

from model_operator.api.status import ConditionType
from model_operator.observation import KpiProblem
from model_operator.planning.reasons import Reason

ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def read_rows(repository):
    return ROW.findall((repository / "docs/reasons.md").read_text(encoding="utf-8"))


def test_the_page_lists_every_reason_once_in_order(repository):
    listed = [row[0] for row in read_rows(repository)]
    assert listed == sorted(reason.value for reason in Reason)


def test_the_page_names_conditions_that_exist(repository):
    named = {name.strip(" `") for row in read_rows(repository) for name in row[1].split(",")}
    assert named == set(get_args(ConditionType))


def test_every_reason_says_what_to_do(repository):
    short = [row[0] for row in read_rows(repository) if len(row[2].split()) < 4 or not row[3].strip().endswith(".")]
    assert short == []


def test_every_reason_is_given_somewhere(repository):
    folder = repository / "operator/src/model_operator/planning"
    code = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py") if path.name != "reasons.py")
    problems = get_args(get_type_hints(KpiProblem)["reason"])
    unused = [reason for reason in Reason if f"Reason.{reason.name}" not in code and reason.value not in problems]
    assert unused == []


def test_a_reason_is_named_as_it_is_written():
    for reason in Reason:
        words = re.findall("[A-Z][a-z]*", reason.value)
        assert "_".join(words).upper() == reason.name
