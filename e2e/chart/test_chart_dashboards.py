"""The chart's dashboards: shipped for Grafana's sidecar, whole, and of metrics that somebody tells."""

import itertools
import json
import re

import pytest
import yaml
from dashboards.__main__ import render_files
from dashboards.evaluation import Question, fill, list_choices, list_panels, list_questions, read_empty
from images.steps import tell_on_stderr
from monitoring.image import write_image
from monitoring.running import running_prometheus

from model_server.instruments import Counter, Histogram
from model_server.metrics import Metrics

OF_KUBELETS = {"container_cpu_usage_seconds_total", "container_memory_working_set_bytes"}
OF_PROMETHEUS = {"up"}
ROW = re.compile(r"^\| `([a-z_]+)` \| (counter|gauge|histogram|info) \|", re.MULTILINE)
BOARDS = {name: json.loads(text) for name, text in render_files().items()}
VARIABLES = {"namespace": "models", "model": "digits"}


@pytest.fixture(params=BOARDS)
def board(request):
    """Each dashboard in turn."""
    return BOARDS[request.param]


@pytest.fixture(scope="module")
def asked_metrics(tmp_path_factory):
    """The metrics' names in every query, by dashboard, as Prometheus' own parser finds them; and where they stand."""
    folder = tmp_path_factory.mktemp("parser")
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    program = write_image(tell_on_stderr).programs / "prometheus"
    with running_prometheus([program], folder / "prometheus.yml", folder / "data") as prometheus:
        return {
            question.place: set(find_metrics(prometheus.read("parse_query", query=question.expression)))
            for board in BOARDS.values()
            for question in list_questions(board, VARIABLES)
        }


def find_metrics(node):
    """Names of all metrics below a node of Prometheus' syntax tree."""
    if isinstance(node, list):
        for each in node:
            yield from find_metrics(each)
    elif isinstance(node, dict):
        if node.get("type") in ("vectorSelector", "matrixSelector"):
            yield from (each["value"] for each in node["matchers"] if (each["name"], each["type"]) == ("__name__", "="))
        yield from (name for value in node.values() for name in find_metrics(value))


def of_servers():
    """What a server tells."""
    told = [each for each in vars(Metrics({})).values() if isinstance(each, Counter | Histogram)]
    return {each.name + suffix for each in told for suffix in suffixes(each.kind)}


def of_operator(root):
    """What the operator tells, by the page that its own tests hold to be whole."""
    rows = ROW.findall((root / "docs" / "metrics.md").read_text())
    return {name + suffix for name, kind in rows for suffix in suffixes(kind)}


def suffixes(kind):
    """Of the series of one metric."""
    return ("_bucket", "_count", "_sum") if kind == "histogram" else ("",)


def test_the_files_are_what_python_writes(chart):
    assert {path.name: path.read_text() for path in (chart / "dashboards").iterdir()} == render_files()


def test_the_sidecar_finds_every_dashboard(helm, select):
    objects = helm.render({"dashboards": {"enabled": True}})
    shipped = [each for each in select(objects, "ConfigMap") if "grafana_dashboard" in each["metadata"]["labels"]]
    assert {each["metadata"]["labels"]["grafana_dashboard"] for each in shipped} == {"1"}
    assert {each["metadata"]["annotations"]["grafana_folder"] for each in shipped} == {"Modelpress"}
    texts = dict(itertools.chain.from_iterable(each["data"].items() for each in shipped))
    assert {name: json.loads(text) for name, text in texts.items()} == {
        f"modelpress-{name}": board for name, board in BOARDS.items()
    }


def test_none_is_shipped_unless_asked_for(helm, select):
    assert [each["metadata"]["name"] for each in select(helm.render({}), "ConfigMap")] == []


def test_label_folder_and_namespace_are_the_users(helm, select):
    given = {"enabled": True, "label": "boards", "labelValue": "yes", "folder": "", "namespace": "monitoring"}
    for each in select(helm.render({"dashboards": given}), "ConfigMap"):
        assert each["metadata"]["labels"]["boards"] == "yes"
        assert each["metadata"]["namespace"] == "monitoring"
        assert "annotations" not in each["metadata"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"label": ""}, "at '/dashboards/label': "),
        ({"labelValue": 1}, "at '/dashboards/labelValue': got number, want string"),
        ({"namespace": "Grafana"}, "at '/dashboards/namespace': "),
    ],
)
def test_a_wrong_value_of_a_dashboard_is_refused_by_its_name(values, words, helm):
    refused = helm.template({"dashboards": values})
    assert refused.returncode != 0
    assert words in refused.stderr


def test_panels_have_ids_places_and_words_of_their_own(board):
    ids = [panel["id"] for panel in board["panels"]]
    assert ids == list(range(1, len(ids) + 1))
    spots = [panel["gridPos"] for panel in board["panels"]]
    assert all(spot["x"] >= 0 and spot["x"] + spot["w"] <= 24 for spot in spots)
    for one, other in itertools.combinations(spots, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    for panel in list_panels(board):
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {each["uid"] for each in sources} == {"${datasource}"}


def test_dashboards_are_told_apart_and_lead_to_each_other():
    assert {board["uid"] for board in BOARDS.values()} == {
        "modelpress-fleet",
        "modelpress-model",
        "modelpress-operator",
    }
    for board in BOARDS.values():
        (link,) = board["links"]
        assert set(link["tags"]) <= set(board["tags"])
    (table,) = [panel for panel in BOARDS["fleet.json"]["panels"] if panel["type"] == "table"]
    links = [each for each in table["fieldConfig"]["overrides"] if each["matcher"]["options"] == "model"]
    assert links[0]["properties"][0]["value"][0]["url"].startswith(f"/d/{BOARDS['model.json']['uid']}?")


def test_every_variable_is_one_that_a_user_can_choose(board):
    stated = {each["name"] for each in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z_]\w*)", json.dumps([panel["targets"] for panel in list_panels(board)])))
    assert used - {"__rate_interval"} == stated
    assert len(list_choices(board, VARIABLES)) == len(stated) - 1


@pytest.mark.parametrize(
    ("values", "is_empty"),
    [([], True), ([[1, "NaN"], [6, "+Inf"]], True), ([[1, "NaN"], [6, "0"]], False)],
)
def test_a_question_without_a_number_for_an_answer_is_named(values, is_empty):
    def ask(path, parameters):
        assert (path, parameters["query"]) == ("query_range", 'up{pod="digits"}')
        return {"result": [{"values": values}] if values else []}

    question = Question("a panel", fill('up{pod="${model}"}', VARIABLES))
    assert list(read_empty(ask, [question], 0, 60)) == (
        ["a panel: " + json.dumps(question.expression)] if is_empty else []
    )


def test_every_metric_is_told_by_somebody(asked_metrics, chart):
    known = of_servers() | of_operator(chart.parents[1]) | OF_KUBELETS | OF_PROMETHEUS
    assert all(asked_metrics.values())
    assert {place: names - known for place, names in asked_metrics.items() if names - known} == {}


def test_the_charts_own_prometheus_keeps_what_is_asked_of_servers(asked_metrics, helm):
    rendered = helm.render({"prometheus": {"enabled": True}})
    (text,) = [each["data"]["prometheus.yml"] for each in rendered if each["kind"] == "ConfigMap"]
    jobs = {each["job_name"]: each for each in yaml.safe_load(text)["scrape_configs"]}
    (keep,) = jobs["modelpress-serving"]["metric_relabel_configs"]
    asked = set().union(*asked_metrics.values()) & of_servers()
    assert {name for name in asked if not re.fullmatch(keep["regex"], name)} == set()
    assert jobs["modelpress-operator"]["honor_labels"] is True
