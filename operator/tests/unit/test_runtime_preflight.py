# ruff: noqa: D101, D102 - the protocols in preflight.py say what each does
import json
import re
import textwrap
import threading

import pytest
import yaml

from model_operator.__main__ import run_operator
from model_operator.api.crd import render_crd
from model_operator.errors import PrometheusError, RefusedError
from model_operator.kube import ApiKube
from model_operator.preflight import (
    ASKED_AT_ONCE,
    PATIENCE_SECONDS,
    check_prometheus,
    find_lacking_fields,
    format_findings,
    format_json,
    format_table,
    inspect_cluster,
)
from model_operator.rights import GRANTS, REQUIRED_RIGHTS, Right, format_right, is_granted

REMEDY = "grant it to the operator's service account"


def schema():
    return render_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


class FakeCluster:
    """A cluster that has everything, but for what a test takes away."""

    def __init__(self):
        self.refused, self.version, self.versions, self.schema = set(), "v1.34.1", ("v1alpha1",), schema()
        self.rules, self.asked = {}, []

    def may(self, right, namespace):
        self.asked.append((format_right(right), namespace))
        return (format_right(right), namespace) not in self.refused

    def list_rules(self, namespace):
        return self.rules.get(namespace, ())

    def read_version(self):
        return self.version

    def read_user(self):
        return "system:serviceaccount:press:modelpress"

    def read_served_versions(self):
        return self.versions

    def read_served_schema(self):
        return self.schema


class SilentPrometheus:
    def query(self, query):
        raise PrometheusError(f"nobody answers {query}")


@pytest.fixture
def cluster():
    return FakeCluster()


def test_a_cluster_that_has_everything_is_fine(cluster):
    report = inspect_cluster(cluster, ())
    assert (report.ok, format_findings(report, "missing"), format_findings(report, "warning")) == (True, (), ())
    assert len(report.checks) == 2 + len(GRANTS)


def test_each_missing_right_is_told_with_its_namespace(cluster):
    cluster.refused = {("watch pods", "press"), ("patch deployments.apps/scale", "other")}
    report = inspect_cluster(cluster, ("press", "other"))
    assert not report.ok
    assert format_findings(report, "missing") == (
        f"watch pods in namespace press is not allowed: {REMEDY}",
        f"patch deployments.apps/scale in namespace other is not allowed: {REMEDY}",
    )


def test_a_right_that_is_not_needed_everywhere_is_a_warning(cluster):
    cluster.refused = {("update compressedmodels.modelpress.dev/finalizers", "")}
    report = inspect_cluster(cluster, ())
    assert report.ok
    (sentence,) = format_findings(report, "warning")
    assert sentence.startswith("update compressedmodels.modelpress.dev/finalizers is not allowed; Owner references ")


ALL_RULES = [{"apiGroups": [each.group], "resources": [each.resource], "verbs": [*each.verbs]} for each in GRANTS]


def test_one_question_a_namespace_tells_of_all_rights_and_what_it_does_not_tell_is_asked_for(cluster):
    cluster.rules = {"press": ALL_RULES, "other": [rule for rule in ALL_RULES if rule["resources"] != ["pods"]]}
    cluster.refused = {("watch pods", "other")}
    report = inspect_cluster(cluster, ("press", "other"))
    assert sorted(cluster.asked) == [("list pods", "other"), ("watch pods", "other")]
    assert format_findings(report, "missing") == (f"watch pods in namespace other is not allowed: {REMEDY}",)
    assert len(report.checks) == 2 + 2 * len(GRANTS) + 1


def test_what_is_granted_in_one_namespace_is_not_taken_for_granted_in_all(cluster):
    cluster.rules = {"": ALL_RULES}
    inspect_cluster(cluster, ())
    assert len(cluster.asked) == sum(len(grant.verbs) for grant in GRANTS)


@pytest.mark.parametrize(
    ("rule", "granted"),
    [
        ({"verbs": ["patch"], "apiGroups": ["apps"], "resources": ["deployments/scale"]}, True),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, True),
        ({"verbs": ["get", "patch"], "apiGroups": ["", "apps"], "resources": ["pods", "*/scale"]}, True),
        ({"verbs": ["patch"], "apiGroups": ["apps"], "resources": ["deployments"]}, False),
        ({"verbs": ["patch"], "apiGroups": [""], "resources": ["deployments/scale"]}, False),
        ({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments/scale"]}, False),
        ({"verbs": ["patch"], "resources": ["deployments/scale"]}, False),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["one"]}, False),
    ],
)
def test_a_rule_grants_what_rbac_would_let_through(rule, granted):
    assert is_granted(Right("patch", "apps", "deployments", "scale"), rule) is granted
    assert not is_granted(Right("delete", "batch", "jobs"), {**rule, "verbs": ["patch"]})


class SlowCluster(FakeCluster):
    """One that takes two seconds for every answer, by the clock of the test, and says how many it answers at once."""

    def __init__(self):
        super().__init__()
        self.lock, self.answers = threading.Lock(), 0

    def clock(self):
        return 2.0 * (self.answers // ASKED_AT_ONCE)

    def _answer(self):
        with self.lock:
            self.answers += 1

    def may(self, right, namespace):
        self._answer()
        return super().may(right, namespace)

    def list_rules(self, namespace):
        self._answer()
        return super().list_rules(namespace)


def test_an_api_server_that_takes_two_seconds_is_asked_for_a_bounded_time_and_that_is_said():
    slow = SlowCluster()
    namespaces = [f"n{number}" for number in range(100)]
    report = inspect_cluster(slow, namespaces, slow.clock)
    assert slow.clock() <= PATIENCE_SECONDS + 2
    assert report.ok
    told = format_findings(report, "warning")
    assert told[-1] == (
        "45 of 45 rights in namespace n99 were not looked at: the API server did not answer for all within 40 s: "
        "look why it is slow; what is refused later is in the operator's log"
    )
    rules = SlowCluster()
    rules.rules = dict.fromkeys(namespaces, ALL_RULES)
    report = inspect_cluster(rules, namespaces, rules.clock)
    assert (report.ok, format_findings(report, "warning")) == (True, ())
    assert rules.clock() < 15


@pytest.mark.parametrize(
    ("version", "missing"), [("v1.25.4", True), ("v1.26.0", False), ("v1.9+", True), ("v2.0", False), ("", False)]
)
def test_an_api_server_that_is_too_old_is_told(cluster, version, missing):
    cluster.version = version
    found = format_findings(inspect_cluster(cluster, ()), "missing")
    assert found == ((f"API server is {version}: upgrade it to v1.26 or newer",) if missing else ())


@pytest.mark.parametrize(
    ("versions", "words"), [((), "is missing"), (("v1", "v1beta1"), "serves v1, v1beta1 and not v1alpha1")]
)
def test_a_crd_that_is_not_there_is_told(cluster, versions, words):
    cluster.versions = versions
    assert format_findings(inspect_cluster(cluster, ()), "missing") == (
        f"the CRD compressedmodels.modelpress.dev {words}: apply crds/ of this release",
    )


def test_a_crd_that_is_older_than_the_operator_is_told(cluster):
    del cluster.schema["properties"]["spec"]["properties"]["suspend"]
    del cluster.schema["properties"]["status"]["properties"]["conditions"]["items"]["properties"]["reason"]
    (told,) = format_findings(inspect_cluster(cluster, ()), "missing")
    assert told == (
        "the CRD compressedmodels.modelpress.dev is older than this operator, it has no spec.suspend, "
        "status.conditions[].reason: apply crds/ of this release"
    )


def test_of_many_lacking_fields_the_first_are_told(cluster):
    del cluster.schema["properties"]["spec"]["properties"]
    told = format_findings(inspect_cluster(cluster, ()), "missing")[0]
    count = len(schema()["properties"]["spec"]["properties"])
    assert told.count("spec.") == 5
    assert f" and {count - 5} more: " in told


def test_a_crd_that_is_newer_is_fine(cluster):
    cluster.schema["properties"]["spec"]["properties"]["later"] = {"type": "string"}
    assert find_lacking_fields(cluster.schema) == []


def test_a_schema_that_is_not_published_is_a_warning(cluster):
    cluster.schema = {}
    report = inspect_cluster(cluster, ())
    assert report.ok
    assert "so its age is unknown" in format_findings(report, "warning")[0]


def test_prometheus_is_worth_a_warning_only():
    found = [check_prometheus(None), check_prometheus(SilentPrometheus())]
    assert [each.result for each in found] == ["warning", "warning"]
    assert found[1].detail == "nobody answers vector(1)"


def test_the_table_is_for_people(cluster):
    cluster.refused = {("watch pods", "press")}
    lines = format_table(inspect_cluster(cluster, ("press",))).splitlines()
    assert lines[0] == "As system:serviceaccount:press:modelpress:"
    assert lines[1].split() == ["RESULT", "CHECK", "NAMESPACE", "DETAIL"]
    assert [line.split() for line in lines if " pods " in line and ":" not in line] == [
        ["ok", "list", "pods", "press"],
        ["missing", "watch", "pods", "press", "is", "not", "allowed"],
    ]
    assert lines[-2:] == [
        f"missing: watch pods in namespace press is not allowed: {REMEDY}",
        "The operator cannot work here.",
    ]
    assert max(map(len, lines)) < 140


def test_json_is_for_programs(cluster):
    document = json.loads(format_json(inspect_cluster(cluster, ())))
    assert (document["ok"], document["user"]) == (True, "system:serviceaccount:press:modelpress")
    assert document["checks"][0] == {
        "check": "API server",
        "result": "ok",
        "namespace": "",
        "detail": "v1.34.1",
        "remedy": "",
    }


def read_rules(repository):
    """The chart's rules with the comment above each."""
    text = (repository / "charts/modelpress/templates/operator/_rules.tpl").read_text(encoding="utf-8")
    body = "\n".join(line for line in text.splitlines() if not line.startswith("{{"))
    comments = [" ".join(part.split()) for part in re.findall(r"((?:^#.*\n)+)- ", body, flags=re.MULTILINE)]
    return [comment.replace(" # ", " ").removeprefix("# ") for comment in comments], yaml.safe_load(body)


def test_the_chart_grants_each_right_with_its_reason(repository):
    reasons, rules = read_rules(repository)
    assert rules == [
        {"apiGroups": [grant.group], "resources": [grant.resource], "verbs": list(grant.verbs)} for grant in GRANTS
    ]
    assert reasons == [" ".join(grant.reason.split()) for grant in GRANTS]


def test_the_page_lists_each_right_with_its_reason(repository):
    text = (repository / "docs/rights.md").read_text(encoding="utf-8")
    rows = [
        f"| `{grant.resource}{f'.{grant.group}' if grant.group else ''}` | {', '.join(grant.verbs)} | {grant.reason} |"
        for grant in GRANTS
    ]
    missing = [row for row in rows if row not in text.splitlines()]
    assert missing == [], textwrap.indent("\n".join(rows), "  ")
    assert len(re.findall(r"^\| `[a-z]", text, flags=re.MULTILINE)) == len(rows)


def test_no_right_reaches_beyond_what_the_operator_makes_or_reads():
    assert len(set(REQUIRED_RIGHTS)) == len(REQUIRED_RIGHTS)
    assert {right.verb for right in REQUIRED_RIGHTS} == {"get", "list", "watch", "create", "patch", "delete"}
    assert not {right.resource for right in REQUIRED_RIGHTS} & {"secrets", "nodes", "namespaces", "replicasets"}


def test_an_account_that_may_not_even_ask_for_the_version_is_told(monkeypatch, capsys):
    def refuse(*_):
        raise RefusedError("version is forbidden to you", invalid=False)

    monkeypatch.setattr("model_operator.__main__.start_log", lambda _: None)
    monkeypatch.setattr(ApiKube, "__init__", lambda *_: None)
    monkeypatch.setattr(ApiKube, "read_version", refuse)
    assert run_operator(["preflight"]) == 3
    assert capsys.readouterr().err.splitlines()[-1] == "modelpress-operator: version is forbidden to you"
