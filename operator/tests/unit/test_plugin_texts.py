"""What `kubectl cmod` prints, letter by letter."""

import copy
import json
from datetime import UTC, datetime

import pytest
from plugin_models import building, condition, failed, model, pod, served, unpacking

from kubectl_cmod import remedies, why
from kubectl_cmod.__main__ import _choose_part
from kubectl_cmod.comparison import format_comparison, render_comparison
from kubectl_cmod.facts import ModelFacts
from kubectl_cmod.listing import format_list, render_list
from kubectl_cmod.paint import Paint, choose_paint
from kubectl_cmod.tree import format_tree
from kubectl_cmod.words import format_age, format_figure, format_number, format_ratio, format_seconds

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
PLAIN = Paint(colours=False)


def tree(facts):
    return format_tree(facts, NOW, PLAIN)


def test_a_served_model_as_a_tree():
    assert tree(served()) == (
        """\
press/digits: ready (Serving), 1h old
├─ wanted     alpha 1.25, 8 bits, Floor; SmallCNN on Digits, 20 epochs
├─ build      done (Job build-cd-0, attempt 1)
│             build-cd-0-x: done
├─ artifact   11.2kB, 9.39x smaller, 3.41 bits a weight, 71.2 % zeros, Accuracy 97.2, 0.3 lost (abababababab)
├─ serving    revision abababababab, 2 of 2 pods ready
│             digits-1: ready
│             digits-2: ready, 2 restarts
├─ KPIs       p95 3.21 ms, 41.5 millicores, 92 MiB, 12.5 requests/s, 0 % errors (over 5m, 3,750 requests), 30s ago
├─ objectives ObjectivesMissed: p95 is 3.21 ms, more than 3 ms.
└─ savings    digits-plain takes 9.39x the size, 1.8x the latency, 2.1x the CPU, 1.05x the memory; cheaper by 31.5 %"""
    )


def test_a_build_as_a_tree():
    assert tree(building()) == (
        """\
press/digits: not ready (Building), 1h old
├─ wanted     alpha 1.25, 8 bits, Floor; SmallCNN on Digits, 20 epochs
├─ build      Training, epoch 3 of 20, 61.2 steps/s, about 1m left (Job build-cd-0, attempt 1)
│             build-cd-0-x: ready
└─ why not    Job build-cd-0 runs: Training, epoch 3 of 20.
              What to do: Nothing."""
    )


def test_pods_that_fail_as_a_tree():
    crash = {"waiting": {"reason": "CrashLoopBackOff"}}
    body = model("digits", condition("Ready", "False", "PodsFailing", "Pod digits-1 does not run."), serving={})
    last = {"terminated": {"reason": "Error", "message": "no model\n"}}
    facts = ModelFacts(body, (pod("digits-1", ready=False, state=crash, restarts=1, lastState=last),))
    assert tree(facts).splitlines()[2:4] == [
        "├─ serving    revision none yet, 0 of 0 pods ready",
        "│             digits-1: CrashLoopBackOff, 1 restart: no model",
    ]


def test_a_change_that_the_operator_has_not_seen_is_not_ready():
    facts = served()
    facts.body["metadata"]["generation"] = 2
    lines = tree(facts).splitlines()
    assert lines[0] == "press/digits: not ready (Serving), 1h old"
    assert lines[-1] == "└─ why not    the operator has not looked at this change of the spec yet"


def test_a_model_without_a_status_as_a_tree():
    body = model()
    del body["status"]
    assert tree(ModelFacts(body)) == (
        """\
press/digits: not ready (the operator has not looked at it yet), 1h old
├─ wanted     alpha 1.25, 8 bits, Floor; SmallCNN on Digits, 20 epochs
└─ why not    the operator has not looked at this change of the spec yet"""
    )


def test_a_given_artifact_and_an_own_model_are_named():
    given = model(spec={"source": {"artifact": {"uri": "s3://b/a.zip", "digest": "sha256:" + "0" * 64}}})
    own = model(spec={"source": {"model": {"uri": "s3://b/mine.keras"}}, "compression": {"alpha": 0, "bits": 32}})
    assert "alpha 1.25, 8 bits, Floor; s3://b/a.zip (000000000000)" in tree(ModelFacts(given))
    assert "alpha 0, not quantised, Floor; of s3://b/mine.keras" in tree(ModelFacts(own))


def test_channels_that_are_pruned_as_a_whole_are_told():
    half = {"alpha": 1.25, "bits": 8, "rule": "Shadow", "channelSparsity": 0.5}
    pruned = model("half", spec={"compression": half, "source": {"model": {"uri": "s3://b/mine.keras"}}})
    assert "alpha 1.25, 8 bits, Shadow, 50 % of the channels pruned; of s3://b" in tree(ModelFacts(pruned))
    rows = [line.split() for line in format_comparison(pruned, model("whole")).splitlines()]
    assert ["channels", "pruned", "0.5", "-"] in rows


def test_layers_that_are_left_dense_are_told():
    spared = {"alpha": 1.75, "bits": 4, "rule": "Shadow", "firstAndLastLayers": "Dense"}
    found = model("spared", spec={"compression": spared, "source": {"model": {"uri": "s3://b/mine.keras"}}})
    assert "alpha 1.75, 4 bits, Shadow, first and last layer dense; of s3://b" in tree(ModelFacts(found))


def test_a_given_artifact_tells_how_it_is_compressed():
    told = {"alpha": 1.25, "bits": 8, "rule": "Shadow", "channelSparsity": 0.5}
    artifact = {"uri": "file://vgg16.zip", "digest": "sha256:" + 64 * "a"}
    given = model("given")
    given["spec"] = {"source": {"artifact": artifact}}
    given["status"] = {**given.get("status", {}), "compression": told}
    assert "alpha 1.25, 8 bits, Shadow, 50 % of the channels pruned; file://vgg16.zip" in tree(ModelFacts(given))
    rows = [line.split() for line in format_comparison(given, model("whole")).splitlines()]
    assert ["bits", "8", "8"] in rows
    assert ["channels", "pruned", "0.5", "-"] in rows


def test_colours_are_put_around_words():
    text = format_tree(served(), NOW, Paint(colours=True))
    assert text.startswith("press/digits: \033[32mready\033[0m (Serving)")
    assert "\033[31mObjectivesMissed: p95 is 3.21 ms, more than 3 ms.\033[0m" in text


class Stream:
    """Somewhere to print to."""

    def __init__(self, *, terminal):
        self.terminal = terminal

    def isatty(self):
        """Whether people read it."""
        return self.terminal


def test_colours_are_for_terminals_and_for_those_who_want_them(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert choose_paint(Stream(terminal=True))("a", "1") == "\033[1ma\033[0m"
    assert choose_paint(Stream(terminal=False))("a", "1") == "a"
    monkeypatch.setenv("NO_COLOR", "1")
    assert choose_paint(Stream(terminal=True))("a", "1") == "a"


def test_why_a_build_failed():
    event = {
        "type": "Warning",
        "reason": "BackoffLimitExceeded",
        "lastTimestamp": "2026-03-02T09:56:00Z",
        "message": "Job has reached the\nlimit",
        "involvedObject": {"kind": "Job", "name": "build-cd-2"},
    }
    log = why.Log("build of x", ("loading", "the data set is not there"))
    assert why.format_explanation(why.explain(failed(), [event], log), NOW) == (
        """\
press/digits is not ready for 5m, BuildFailed: Attempt 3 of 3 failed: the data set is not there. No attempt is left: \
delete the Jobs.
What it means: An attempt to build ended without an artifact. The message says why, which attempt it was, and when \
the next one starts.
What to do: While Reconciling is True: nothing. When Stalled is True: change the field that the \
message names; other build settings, or deleting the Jobs, begin with a new first attempt; another builder image \
of the operator alone does not.

Last events:
  4m ago  BackoffLimitExceeded  Job build-cd-2: Job has reached the limit

End of the log (build of x):
  loading
  the data set is not there"""
    )


def test_why_a_model_is_ready():
    found = why.explain(served())
    assert why.format_explanation(found, NOW) == "press/digits is ready: Revision abababababab is served."
    assert (found.ready, found.events, found.log) == (True, (), None)


def test_why_nothing_is_known_yet():
    text = why.format_explanation(why.explain(ModelFacts(model(generation=2))), NOW)
    assert text.startswith("press/digits is not ready, NotObserved: The operator has not looked at the model")


def test_an_explanation_is_json():
    document = json.loads(json.dumps(why.explain(failed()).to_json()))
    assert (document["ready"], document["reason"], document["since"]) == (False, "BuildFailed", "2026-03-02T09:55:00Z")


def test_what_is_said_already_is_not_said_again_as_an_event():
    facts = failed()
    message = f"BuildFailed: {facts.condition('Ready')['message']}"
    event = {"type": "Warning", "reason": "Stalled", "message": message, "involvedObject": {}, "metadata": {}}
    assert why.explain(facts, [event]).events == ()


def test_warnings_are_told_before_other_events():
    events = [
        {"type": kind, "reason": f"R{number}", "metadata": {"creationTimestamp": f"2026-03-02T09:5{number}:00Z"}}
        | {"involvedObject": {}}
        for number, kind in enumerate(["Normal", "Warning", "Normal", "Warning"])
    ]
    assert [each.reason for each in why.explain(failed(), events).events] == ["R1", "R3"]


def test_which_objects_may_say_more():
    assert [each["metadata"]["name"] for each in why.find_subjects(failed())] == ["build-cd-2"]
    assert [each["metadata"]["name"] for each in why.find_subjects(served())] == ["digits-1", "digits-2"]
    assert [why.concerns_build(facts) for facts in (failed(), building(), served())] == [True, True, False]


KILLED = {"exitCode": 137, "reason": "OOMKilled"}
MISMATCH = {"exitCode": 4, "reason": "Error", "message": "another digest"}


class Logs:
    """A kubectl that knows logs by pod and container, and remembers what was asked for."""

    def __init__(self, **logs):
        self.logs, self.asked = logs, []

    def read_log(self, pod, container, lines, *, previous=False):
        """The log's end."""
        assert lines == why.LOG_LINES
        self.asked.append((pod, container, previous))
        return self.logs.get(container, "")


@pytest.mark.parametrize("last", [KILLED, MISMATCH])
def test_the_log_of_the_container_that_hinders_is_read(last):
    logs = Logs(unpack="reading\nno room left\n", server="serves", build="built")
    assert why.read_log(logs, unpacking(last)) == why.Log("unpack of digits-1", ("reading", "no room left"))
    assert logs.asked == [("digits-1", "unpack", True)]
    assert (why.concerns_build(unpacking(last)), why.concerns_unpacking(unpacking(last))) == (False, True)
    assert why.concerns_unpacking(served()) is False


def test_the_logs_that_are_shown_are_of_what_hinders():
    found = [_choose_part(facts) for facts in (unpacking(KILLED), unpacking(MISMATCH), building(), served())]
    assert found == ["unpack", "unpack", "build", "server"]


def test_a_server_that_runs_again_after_a_fall_is_asked_for_its_log_before():
    last = {"terminated": {"exitCode": 1, "message": "bad flag"}}
    body = model("digits", condition("Ready", "False", "PodsFailing"), condition("ArtifactReady", "True", "Built"))
    logs = Logs(server="bad flag\n")
    found = why.read_log(logs, ModelFacts(body, (pod("digits-1", ready=False, restarts=2, lastState=last),)))
    assert (found, logs.asked) == (why.Log("server of digits-1", ("bad flag",)), [("digits-1", "server", True)])


@pytest.mark.parametrize(
    ("last", "line"),
    [
        (KILLED, "digits-1: OOMKilled of unpack, 4 restarts"),
        (MISMATCH, "digits-1: CrashLoopBackOff of unpack, 4 restarts: another digest"),
    ],
)
def test_a_pod_that_cannot_unpack_as_a_tree(last, line):
    lines = [each.split("  ")[-1].strip() for each in tree(unpacking(last)).splitlines()]
    assert [each for each in lines if each.startswith("digits-1:")] == [line]


def test_two_models_side_by_side():
    first, second = served().body, served().body
    second["metadata"]["name"] = "digits-plain"
    second["spec"]["compression"] = {"alpha": 0, "bits": 32}
    second["status"]["artifact"] = {**second["status"]["artifact"], "sizeBytes": 105_512, "bitsPerWeight": 32}
    second["status"]["kpis"] = {**second["status"]["kpis"], "p95LatencyMilliseconds": 6.42, "requests": 900}
    assert format_comparison(first, second) == (
        """\
                    digits            digits-plain      ratio
alpha               1.25              0
bits                8                 32
artifact            11,240 bytes      105,512 bytes     0.107x
bits a weight       3.41              32                0.107x
zeros               71.2 %            71.2 %            1x
quality             97.2              97.2              1x
p95 latency         3.21 ms           6.42 ms           0.5x
CPU of a pod        41.5 millicores   41.5 millicores   1x
memory of a pod     92 MiB            92 MiB            1x
requests            12.5 /s           12.5 /s           1x
errors              0 %               0 %               -
requests measured   3,750             900               4.17x
pods ready          2                 2                 1x
digits-plain had 900 requests, fewer than 1,000."""
    )


def test_what_was_not_measured_is_told():
    other = model("other")
    table = format_comparison(served().body, other)
    assert table.splitlines()[-1] == "other was not measured."
    document = render_comparison(served().body, other)
    latency = next(line for line in document["lines"] if line["label"] == "p95 latency")
    assert latency == {"label": "p95 latency", "unit": "ms", "values": [3.21, None], "ratio": None}


def test_metrics_that_differ_are_told():
    other = served().body
    quality = {"metric": "F1", "value": 90}
    other["status"]["artifact"] = {**other["status"]["artifact"], "quality": quality}
    told = format_comparison(served().body, other).splitlines()[-1]
    assert told == "The qualities are of different metrics: Accuracy and F1."


def test_windows_that_differ_are_told():
    other = served().body
    other["status"]["kpis"] = {**other["status"]["kpis"], "window": "1h"}
    assert format_comparison(served().body, other).splitlines()[-1] == "The windows differ: 5m and 1h."


def test_a_list():
    bodies = [served().body, building().body]
    assert format_list(bodies, NOW, everywhere=False) == (
        """\
NAME     READY   REASON     BUILD   SIZE     RATIO   QUALITY   P95    MCORES   MIB   OBJECTIVES   PODS   AGE
digits   yes     Serving    -       11.2kB   9.39x   97.2      3.21   41.5     92    missed       2/2    1h
digits   no      Building   3/20    -        -       -         -      -        -     -            -      1h"""
    )
    assert format_list(bodies, NOW, everywhere=True).splitlines()[1].startswith("press       digits   yes")
    assert [(each["ready"], each["reason"]) for each in render_list(bodies)] == [(True, "Serving"), (False, "Building")]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59.9, "59s"),
        (95, "1m"),
        (3599, "59m"),
        (3600, "1h"),
        (7800, "2h10m"),
        (40_000, "11h"),
        (90_000, "1d1h"),
    ],
)
def test_durations(seconds, text):
    assert format_seconds(seconds) == text


def test_numbers_and_ratios():
    assert [format_number(each) for each in (None, 0, 1234.5678, 2.0)] == ["-", "0", "1,234.568", "2"]
    assert (format_number(3, "ms"), format_ratio(None), format_ratio(8)) == ("3 ms", "-", "8x")
    assert format_age(None, NOW) == "-"
    figures = [format_figure(each) for each in (None, 0, 97.7778, 100, -0.5222, 0.0123456, 12345.6)]
    assert figures == ["-", "0", "97.7778", "100", "-0.5222", "0.0123456", "12345.6"]


def test_a_quality_is_told_with_the_digits_that_it_is_judged_by():
    body = served().body
    quality = {"metric": "Accuracy", "value": 97.7778, "loss": 0.522222}
    body["status"]["artifact"] = {**body["status"]["artifact"], "quality": quality}
    assert "Accuracy 97.7778, 0.522222 lost" in tree(ModelFacts(body))
    assert format_list([body], NOW, everywhere=False).splitlines()[1].split()[6] == "97.7778"
    small = copy.deepcopy(body)
    small["status"]["artifact"]["quality"]["value"] = 0.000412
    assert "0.000412" in format_comparison(body, small)


def test_the_plugin_knows_every_reason_as_the_page_tells_it(repository):
    """After a change of the page: cp docs/reasons.md operator/src/kubectl_cmod/reasons.md."""
    page = (repository / "docs/reasons.md").read_text(encoding="utf-8")
    assert (repository / "operator/src/kubectl_cmod/reasons.md").read_text(encoding="utf-8") == page
    assert remedies.find_remedy("Building") == ("The build runs; `status.build` has its progress.", "Nothing.")
    assert remedies.find_remedy("OfALaterRelease") == ("", "")
