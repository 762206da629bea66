import itertools
import re
import weakref
from collections import deque

from model_server.metrics import Metrics

SAMPLE = re.compile(
    r'(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\{(?P<labels>(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\} (?P<value>\S+)'
)
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"')
EDGES = [
    "10",
    "18",
    "32.4",
    "58.32",
    "104.976",
    "188.957",
    "340.122",
    "612.22",
    "1102",
    "1983.59",
    "3570.47",
    "6426.84",
    "11568.3",
    "20823",
    "37481.3",
    "67466.4",
    "121440",
    "218591",
    "393464",
    "708235",
    "1.27482e+06",
]


def parse_page(page):
    """A strict reading of the text format: every line is a TYPE or a sample of the metric typed last."""
    assert page.endswith("\n")
    types, samples = {}, []
    for line in page.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types
            types[name] = kind
            continue
        found = SAMPLE.fullmatch(line)
        assert found, line
        name = found["name"]
        typed = name if name in types else re.sub("_(bucket|sum|count)$", "", name)
        assert typed == list(types)[-1], line
        assert typed == name or types[typed] == "histogram"
        labels = dict(LABEL.findall(found["labels"]))
        samples.append((name, labels, float(found["value"])))
    assert len({(name, tuple(sorted(labels.items()))) for name, labels, _ in samples}) == len(samples)
    return types, samples


def filled():
    metrics = Metrics(frozenset({"m"}))
    metrics.observe_answer("m", 3, "Predict", "GRPC", 0.000_018)
    metrics.count_request('un"known\n', "NOT_FOUND")
    metrics.observe_request("m", "Predict", "GRPC", 1e9)
    metrics.observe_times("m", 3, "Predict", 0.001, 0.002)
    return parse_page(metrics.format_page())


def test_names_and_types_are_tensorflow_servings():
    types, _ = filled()
    assert types == {
        ":tensorflow:serving:request_count": "counter",
        ":tensorflow:serving:request_latency": "histogram",
        ":tensorflow:serving:runtime_latency": "histogram",
        "modelpress_predict_duration_seconds": "histogram",
        "modelpress_queue_duration_seconds": "histogram",
        "modelpress_run_duration_seconds": "histogram",
    }


def test_request_latency_has_34_buckets_with_printed_edges():
    _, samples = filled()
    buckets = [(s[1], s[2]) for s in samples if s[0] == ":tensorflow:serving:request_latency_bucket"]
    edges = [labels["le"] for labels, _ in buckets]
    assert edges[: len(EDGES)] == EDGES
    assert edges[-2:] == ["1.47476e+09", "+Inf"]
    assert len(edges) == 34
    assert all(
        {k: v for k, v in labels.items() if k != "le"} == {"model_name": "m", "API": "Predict", "entrypoint": "GRPC"}
        for labels, _ in buckets
    )
    assert [count for _, count in buckets] == [0] + [1] * 32 + [2]


def test_sum_and_count_are_of_all_observations():
    _, samples = filled()
    values = {name: value for name, _, value in samples if name.startswith(":tensorflow:serving:request_latency_")}
    assert values[":tensorflow:serving:request_latency_sum"] == 18.0 + 1e15
    assert values[":tensorflow:serving:request_latency_count"] == 2


def test_runtime_latency_is_labelled_tf1():
    _, samples = filled()
    labels = next(s[1] for s in samples if s[0] == ":tensorflow:serving:runtime_latency_count")
    assert labels == {"model_name": "m", "API": "Predict", "runtime": "TF1"}


def test_unknown_models_make_no_label_values():
    _, samples = filled()
    counts = {(s[1]["model_name"], s[1]["status"]): s[2] for s in samples if s[0].endswith("request_count")}
    assert counts == {("m", "OK"): 1, ("", "NOT_FOUND"): 1}


def test_fine_edges_are_a_fifth_apart():
    _, samples = filled()
    buckets = [s for s in samples if s[0] == "modelpress_predict_duration_seconds_bucket"]
    edges = [float(labels["le"]) for _, labels, _ in buckets]
    assert edges[0] == 1e-4
    assert all(abs(high / low - 1.2) < 1e-4 for low, high in itertools.pairwise(edges[:-1]))
    assert edges[-2] > 4
    assert buckets[0][1]["version"] == "3"


def test_label_values_are_escaped():
    metrics = Metrics(frozenset({'a"\\\n'}))
    metrics.count_request('a"\\\n', "OK")
    _, samples = parse_page(metrics.format_page())
    assert samples == [(":tensorflow:serving:request_count", {"model_name": 'a\\"\\\\\\n', "status": "OK"}, 1.0)]


def test_what_is_noted_is_told_before_anyone_looks_when_it_is_much():
    metrics = Metrics(frozenset({"m"}))
    for number in range(2000):
        metrics.observe_answer("m", number % 2, "Predict", "GRPC", 0.001)
    assert len(metrics._notes) <= 512
    _, samples = parse_page(metrics.format_page())
    counts = {s[1]["version"]: s[2] for s in samples if s[0] == "modelpress_predict_duration_seconds_count"}
    assert counts == {"0": 1000, "1": 1000}
    assert metrics._notes == deque()


def test_nothing_is_kept_of_what_was_settled():
    class Name(str):  # noqa: SLOT000  # one that can be referred to weakly
        pass

    def note(name):
        metrics.observe_times(name, 1, "Predict", 0.0, 0.1)
        metrics.observe_answer(name, 1, "Predict", "GRPC", 0.1)
        metrics.observe_thread_wait(name, 0.1)
        metrics.count_request(name, "OK")

    metrics = Metrics({"m"})
    metrics.format_page()
    # The first of a name stands for it from then on.
    note("m")
    metrics.settle()
    name = Name("m")
    note(name)
    kept = weakref.ref(name)
    del name
    assert kept() is not None
    metrics.settle()
    assert kept() is None
    page = metrics.format_page()
    assert 'modelpress_run_duration_seconds_count{model_name="m",version="1"} 2' in page
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 4' in page
