"""What those who wait for a model see in its status: kstatus (Flux), Flux' own expressions, and `kubectl wait`."""

import json
import subprocess
import sys

import pytest
import yaml
from cluster.toolchain import build_health_check
from operator_play import ROOT, training_model

GOLDEN = ROOT / "operator" / "tests" / "golden"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/plan.yaml"))


class Loader(yaml.SafeLoader):
    """YAML without dates: times stay the text that they are in JSON."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(path):
    return yaml.load(path.read_text(), Loader=Loader)  # noqa: S506  a SafeLoader


def read_goldens():
    """The models of the golden cases whose plan writes a status, with that status, by name."""
    plans = {name: load(GOLDEN / name / "plan.yaml") for name in CASES}
    return {
        name: load(GOLDEN / name / "model.yaml") | {"status": plan["status"]}
        for name, plan in plans.items()
        if "status" in plan
    }


def read_expressions():
    """The expressions of docs/gitops.md by name."""
    text = (ROOT / "docs" / "gitops.md").read_text()
    stated = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    (check,) = stated["spec"]["healthCheckExprs"]
    return {name: check[name] for name in ("current", "inProgress", "failed")}


@pytest.fixture(scope="module")
def judge():
    """What kstatus and the page's expressions say of objects."""
    program = build_health_check(lambda message: print(message, file=sys.stderr, flush=True))
    expressions = read_expressions()

    def run(objects):
        asked = json.dumps({"objects": objects, "expressions": list(expressions.values())})
        done = subprocess.run([program], input=asked, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        return [
            (answer["status"], {name for name, holds in zip(expressions, answer["expressions"], strict=True) if holds})
            for answer in answers
        ]

    return run


def at_generation(body, generation):
    return body | {"metadata": body["metadata"] | {"generation": generation}}


def truths(body):
    return {each["type"]: each["status"] == "True" for each in body["status"]["conditions"]}


def expect(body):
    """What everybody should say of a status that is about the object as it is."""
    told = truths(body)
    if told["Stalled"]:
        return "Failed", {"failed"}
    if not told["Ready"]:
        return "InProgress", {"inProgress"} if told["Reconciling"] else set()
    return "Current", {"current"} if told.get("WithinObjectives") else set()


def test_every_golden_status_is_what_it_should_be(judge):
    goldens = read_goldens()
    bodies = [at_generation(body, body["status"]["observedGeneration"]) for body in goldens.values()]
    found = dict(zip(goldens, judge(bodies), strict=True))
    assert found == {name: expect(body) for name, body in goldens.items()}
    assert {status for status, _ in found.values()} == {"Current", "InProgress", "Failed"}
    assert {name for _, holds in found.values() for name in holds} == {"current", "inProgress", "failed"}


def test_a_status_of_an_older_generation_is_in_progress_whatever_it_says(judge):
    bodies = [at_generation(body, body["status"]["observedGeneration"] + 1) for body in read_goldens().values()]
    assert judge(bodies) == [("InProgress", {"inProgress"})] * len(bodies)


@pytest.fixture
def waiting(cluster):
    """A model that no operator looks at."""
    cluster.make(training_model())
    return cluster


def write_ready(cluster, generation):
    """The status of a model that is Ready, of that generation."""
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Serving",
        "message": "All is well.",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": generation,
    }
    status = {"observedGeneration": generation, "conditions": [ready]}
    patch = json.dumps({"status": status})
    cluster.kubectl("patch", "cmod", "small", "--subresource=status", "--type=merge", "-p", patch)


def wait(cluster):
    """Whether `kubectl wait` is content, at once."""
    done = cluster.server.kubectl(
        "wait", "--for=condition=Ready", "cmod/small", "-n", cluster.namespace, "--timeout=1s"
    )
    assert done.returncode == 0 or "timed out waiting for the condition" in done.stderr, done.stderr
    return done.returncode == 0


def test_a_new_model_is_in_progress_before_any_operator_has_looked_at_it(waiting, judge):
    body = waiting.read("cmod", "small")
    assert body["status"] == {"observedGeneration": -1}
    assert [status for status, _ in judge([body | {"status": body["status"] | {"conditions": []}}])] == ["InProgress"]
    assert not wait(waiting)


def test_kubectl_does_not_take_an_older_generations_ready_for_this_ones(waiting):
    write_ready(waiting, 1)
    assert wait(waiting)
    waiting.patch("cmod", "small", {"spec": {"compression": {"alpha": 0.5}}})
    assert waiting.read("cmod", "small")["metadata"]["generation"] == 2
    assert not wait(waiting)
    write_ready(waiting, 2)
    assert wait(waiting)
