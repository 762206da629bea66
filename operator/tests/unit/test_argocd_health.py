"""The health script that the chart ships for Argo CD, under the Lua that Argo CD runs (5.1)."""

import copy

import lupa.lua51
import pytest
from planning_golden import list_cases, load_case

NOTHING_YET = {"status": "Progressing", "message": "The operator has not looked at this generation yet."}


@pytest.fixture
def health(repository):
    """What the script says of an object, with nothing at hand but the object, as in Argo CD."""
    script = (repository / "charts/modelpress/argocd/health.lua").read_text(encoding="utf-8")
    lua = lupa.lua51.LuaRuntime(register_eval=False, register_builtins=False)
    for name in ("os", "io", "require", "dofile", "loadfile", "package", "python"):
        lua.globals()[name] = None

    def judge(body):
        lua.globals().obj = lua.table_from(body, recursive=True)
        return dict(lua.execute(script))

    return judge


def load_body(name):
    """The model of a golden case as it stands after its pass."""
    case = load_case(name)
    status = case.plan().status or case.observation.status
    return {"metadata": {"generation": case.observation.generation}, "status": copy.deepcopy(dict(status))}


def find_conditions(body):
    return {each["type"]: each for each in body["status"]["conditions"]}


@pytest.mark.parametrize("name", list_cases())
def test_every_golden_status_is_healthy_progressing_degraded_or_suspended(name, health):
    body = load_body(name)
    conditions = find_conditions(body)
    truths = {kind: condition["status"] == "True" for kind, condition in conditions.items()}
    held = conditions["Reconciling"]["reason"] == "Suspended"
    (expected,) = [
        word
        for word, holds in (
            ("Healthy", truths["Ready"]),
            ("Progressing", truths["Reconciling"]),
            ("Degraded", truths["Stalled"]),
            ("Suspended", held),
        )
        if holds
    ]
    found = health(body)
    assert found["status"] == expected
    assert conditions["Ready"]["message"] in found["message"]


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("steady", "Healthy", "Revision a1a1a1a1a1a1 is served."),
        ("building", "Progressing", "Building: Job build-"),
        ("build-exhausted", "Degraded", "BuildFailed: Attempt 2 of 2 failed"),
        ("suspended", "Suspended", "There are changes to make, and spec.suspend is true"),
        ("recipe-changed", "Progressing", "BuildPending: Job build-"),
    ],
)
def test_what_is_told_in_known_situations(name, status, message, health):
    found = health(load_body(name))
    assert found["status"] == status
    assert found["message"].startswith(message)


def test_a_status_of_an_older_generation_is_no_health(health):
    body = load_body("steady")
    body["metadata"]["generation"] += 1
    assert health(body) == NOTHING_YET
    body["status"]["observedGeneration"] += 1
    assert health(body) == NOTHING_YET


@pytest.mark.parametrize("status", [None, {}, {"observedGeneration": -1}, {"observedGeneration": 1, "conditions": []}])
def test_an_object_that_nobody_has_looked_at_is_progressing(status, health):
    body = {"metadata": {"generation": 1}} | ({} if status is None else {"status": status})
    assert health(body) == NOTHING_YET
