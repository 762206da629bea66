import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from planning_golden import load_case

from model_operator.api.status import ArtifactStatus, CompressedModelStatus
from model_operator.api.v1alpha1 import parse_model
from model_operator.observation import Baseline, KpiProblem, Kpis, Observation
from model_operator.planning.objectives import hold_objectives, plan_objectives
from model_operator.planning.reasons import Reason
from model_operator.planning.savings import NO_PRICES, Prices, plan_savings
from model_operator.planning.status import render_condition
from model_operator.planning.unread import keep_measures
from model_operator.planning.verdict import Verdict

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
KPIS = Kpis(
    window_seconds=300,
    measured_at=NOW,
    pods=2,
    requests=6000.0,
    tried_requests=6000.0,
    requests_per_second=20.0,
    requests_per_second_per_pod=10.0,
    p95_latency_milliseconds=2.5,
    p95_standard_milliseconds=3.0,
    p95_is_fine=True,
    cpu_millicores=40.0,
    memory_mebibytes=50.0,
    cpu_milliseconds_per_request=2.0,
    error_percent=0.0,
)
SLOW = replace(
    KPIS,
    p95_latency_milliseconds=10.0,
    p95_standard_milliseconds=9.0,
    memory_mebibytes=100.0,
    cpu_milliseconds_per_request=5.0,
    requests=5000.0,
)
BASELINE = Baseline(
    "plain",
    exists=True,
    ready=True,
    artifact={"sizeBytes": 8000, "trained": True, "quality": {"metric": "Accuracy", "value": 98.0}},
    kpis=SLOW,
)
SILENT = KpiProblem("PrometheusUnavailable", "http://prometheus:9090 does not answer.")


def make_artifact(quality=None, trained=True):
    return ArtifactStatus.model_validate(
        {
            "uri": "pvc://store/a.zip",
            "digest": "sha256:" + "a" * 64,
            "sizeBytes": 1000,
            "baselineSizeBytes": 8000,
            "ratio": 8.0,
            "bitsPerWeight": 4.0,
            "entropyBitsPerWeight": 3.5,
            "sparsityPercent": 70.0,
            "trained": trained,
            **({"quality": {"metric": "Accuracy", **quality}} if quality else {}),
        }
    )


GOOD = make_artifact({"value": 97.0, "baselineValue": 98.0, "loss": 1.0})


def compare(baseline, artifact, kpis, prices=NO_PRICES, served="a" * 12):
    """The comparison, where the artifact is what is served."""
    return plan_savings(baseline, artifact, kpis, served, prices)


def judge(body, objectives, kpis=KPIS, artifact=GOOD, served=True, baseline=BASELINE):
    body["spec"] |= {"objectives": objectives, "baseline": {"name": "plain"}}
    observation = Observation(uid="u", generation=1, status={}, kpis=kpis, baseline=baseline)
    verdict = plan_objectives(parse_model(body), observation, artifact, served)
    return (verdict.status, verdict.reason, verdict.message)


def test_without_objectives_there_is_no_condition(body):
    observation = Observation(uid="u", generation=1, status={}, kpis=KPIS)
    assert plan_objectives(parse_model(body), observation, GOOD, served=True) is None


@pytest.mark.parametrize(
    ("objectives", "expected"),
    [
        (
            {"p95LatencyMilliseconds": 5, "cpuMillicores": 40, "memoryMebibytes": 64, "errorPercent": 0},
            (
                "True",
                "ObjectivesMet",
                (
                    "p95LatencyMilliseconds is 2.5, at most 5; cpuMillicores is 40, at most 40; "
                    "memoryMebibytes is 50, at most 64; errorPercent is 0, at most 0."
                ),
            ),
        ),
        (
            {"p95LatencyMilliseconds": 2, "cpuMillicores": 50, "memoryMebibytes": 40},
            (
                "False",
                "ObjectivesMissed",
                "p95LatencyMilliseconds is 2.5, 25 % above 2; memoryMebibytes is 50, 25 % above 40.",
            ),
        ),
        (
            {"quality": {"minimum": 97, "maximumLoss": 1}},
            ("True", "ObjectivesMet", "quality (Accuracy) is 97, at least 97; quality loss is 1, at most 1."),
        ),
        (
            {"quality": {"minimum": 100}},
            ("False", "ObjectivesMissed", "quality (Accuracy) is 97, 3 % below 100."),
        ),
        ({"quality": {"maximumLoss": 0}}, ("False", "ObjectivesMissed", "quality loss is 1, above 0.")),
    ],
)
def test_objectives_are_met_or_missed_by_so_much(body, objectives, expected):
    assert judge(body, objectives) == expected


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"kpis": None}, "NotServing"),
        ({"served": False}, "NotServing"),
        ({"kpis": SILENT}, "PrometheusUnavailable"),
        ({"kpis": KpiProblem("PrometheusNotConfigured", "No address.")}, "PrometheusNotConfigured"),
        ({"kpis": replace(KPIS, p95_latency_milliseconds=None)}, "InsufficientData"),
    ],
)
def test_what_was_not_measured_is_unknown(body, facts, reason):
    status, found, _ = judge(body, {"p95LatencyMilliseconds": 5}, **facts)
    assert (status, found) == ("Unknown", reason)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"artifact": None}, "NotServing"),
        ({"artifact": make_artifact(trained=False)}, "Untrained"),
        ({"artifact": make_artifact()}, "InsufficientData"),
        ({"artifact": make_artifact({"value": 97.0}), "baseline": Baseline("plain", exists=False)}, "BaselineMissing"),
        ({"artifact": make_artifact({"value": 97.0}), "baseline": Baseline("plain", exists=True)}, "BaselineNotReady"),
        (
            {
                "artifact": make_artifact({"value": 97.0}),
                "baseline": Baseline("plain", exists=True, artifact={"sizeBytes": 1, "trained": False}),
            },
            "Untrained",
        ),
        (
            {
                "artifact": make_artifact({"value": 97.0}),
                "baseline": Baseline("plain", exists=True, artifact={"sizeBytes": 1, "trained": True}),
            },
            "InsufficientData",
        ),
    ],
)
def test_a_quality_that_is_not_known_is_unknown(body, facts, reason):
    status, found, _ = judge(body, {"quality": {"maximumLoss": 1}}, **facts)
    assert (status, found) == ("Unknown", reason)


@pytest.mark.parametrize(
    ("objectives", "few", "text"),
    [
        (
            {"p95LatencyMilliseconds": 5},
            {"requests": 99.0},
            "p95LatencyMilliseconds is of 99 requests in the last 5m; it is judged from 100 on.",
        ),
        (
            {"errorPercent": 1},
            {"tried_requests": 1.0, "error_percent": 100.0},
            "errorPercent is of 1 requests in the last 5m; it is judged from 100 on.",
        ),
    ],
)
def test_a_number_of_few_requests_is_not_judged(body, objectives, few, text):
    assert judge(body, objectives, kpis=replace(KPIS, **few)) == ("Unknown", "InsufficientData", text)
    enough = dict.fromkeys(("requests", "tried_requests"), 100.0)
    assert judge(body, objectives, kpis=replace(KPIS, **enough))[0] == "True"


def test_errors_are_judged_by_all_that_was_tried_and_what_is_used_without_any_request(body):
    broken = replace(KPIS, requests=0.0, tried_requests=100.0, error_percent=100.0)
    assert judge(body, {"errorPercent": 1}, kpis=broken)[:2] == ("False", "ObjectivesMissed")
    idle = replace(KPIS, requests=0.0, tried_requests=0.0)
    assert judge(body, {"cpuMillicores": 50, "memoryMebibytes": 64}, kpis=idle)[:2] == ("True", "ObjectivesMet")


def test_a_number_near_its_bound_changes_the_verdict_once_a_minute_at_most():
    """The p95 is measured every 15 s, by turns below and above its bound."""
    case = load_case("objectives-met")
    status, changes, events = case.plan().status, [], []
    for number in range(1, 41):
        now = case.now + timedelta(seconds=15 * number)
        p95 = 5.1 if number % 2 else 4.9
        kpis = replace(case.observation.kpis, measured_at=now, p95_latency_milliseconds=p95)
        later = case._replace(now=now, observation=replace(case.observation, status=status, kpis=kpis))
        events += [event["reason"] for event in later.events()]
        written = later.plan().status
        if written is not None:
            (before,), (after,) = (
                [each for each in one["conditions"] if each["type"] == "WithinObjectives"] for one in (status, written)
            )
            changes += [now] if before["status"] != after["status"] else []
            assert (before["status"] == after["status"]) == (before["reason"] == after["reason"])
            status = written
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise([case.now, *changes])]
    assert min(gaps) >= 60
    assert 5 <= len(changes) == len([event for event in events if event.startswith("Objectives")])


HELD = [
    (("True", "ObjectivesMet"), ("False", "ObjectivesMissed"), True),
    (("False", "ObjectivesMissed"), ("True", "ObjectivesMet"), True),
    (("True", "ObjectivesMet"), ("Unknown", "InsufficientData"), True),
    (("Unknown", "InsufficientData"), ("False", "ObjectivesMissed"), False),
    (("True", "ObjectivesMet"), ("Unknown", "NotServing"), False),
    (("True", "ObjectivesMet"), ("Unknown", "PrometheusUnavailable"), False),
    (("Unknown", "PrometheusUnavailable"), ("True", "ObjectivesMet"), False),
]


@pytest.mark.parametrize(("standing", "found", "held"), HELD)
def test_a_verdict_that_was_reached_is_held_and_nothing_else_is(standing, found, held):
    before = render_condition("WithinObjectives", Verdict(standing[0], Reason(standing[1]), "before"), None, 1, NOW)
    verdict = Verdict(found[0], Reason(found[1]), "now")
    told = {age: hold_objectives(verdict, before, NOW + timedelta(seconds=age)).message for age in (0, 59, 60)}
    assert told == {0: "before" if held else "now", 59: "before" if held else "now", 60: "now"}
    assert hold_objectives(verdict, None, NOW) == verdict
    assert hold_objectives(None, before, NOW) is None


@pytest.mark.parametrize("change", ["generation", "revision"])
def test_what_was_said_of_another_spec_or_revision_is_not_held(change):
    case = load_case("objectives-held")
    status = json.loads(json.dumps(case.observation.status))
    generation = case.observation.generation + (change == "generation")
    if change == "revision":
        status["serving"]["revision"] = "0" * 12
    changed = case._replace(observation=replace(case.observation, status=status, generation=generation))
    found = {each["type"]: each["status"] for each in changed.plan().status["conditions"]}
    assert found["WithinObjectives"] == "False"


def test_a_missed_objective_outweighs_one_that_is_unknown(body):
    kpis = replace(KPIS, p95_latency_milliseconds=None)
    status, reason, message = judge(body, {"p95LatencyMilliseconds": 5, "cpuMillicores": 10}, kpis=kpis)
    assert (status, reason) == ("False", "ObjectivesMissed")
    assert message == "cpuMillicores is 40, 300 % above 10."


def test_a_silent_prometheus_is_told_once(body):
    message = judge(body, {"p95LatencyMilliseconds": 5, "cpuMillicores": 10}, kpis=SILENT)[2]
    assert message == "http://prometheus:9090 does not answer."


def test_savings_are_ratios_baseline_to_model():
    comparison = compare(BASELINE, GOOD, KPIS)
    assert (comparison.verdict.status, comparison.verdict.reason) == ("True", "Compared")
    assert comparison.savings.model_dump(by_alias=True) == {
        "size": 8.0,
        "latency": 4.0,
        "cpu": 2.5,
        "memory": 2.0,
        "costPercent": None,
        "requests": 6000,
        "baselineRequests": 5000,
        "requestsPerSecondPerPod": 10.0,
        "baselineRequestsPerSecondPerPod": 10.0,
        "measuredAt": NOW,
    }


def test_without_a_baseline_there_is_no_comparison():
    assert compare(None, GOOD, KPIS) is None


@pytest.mark.parametrize(
    ("baseline", "kpis", "status", "reason"),
    [
        (Baseline("plain", exists=False), KPIS, "False", "BaselineMissing"),
        (replace(BASELINE, ready=False), KPIS, "False", "BaselineNotReady"),
        (replace(BASELINE, artifact={}), KPIS, "False", "BaselineNotReady"),
        (BASELINE, SILENT, "Unknown", "PrometheusUnavailable"),
        (replace(BASELINE, kpis=SILENT), KPIS, "Unknown", "PrometheusUnavailable"),
        (BASELINE, None, "Unknown", "NotServing"),
        (replace(BASELINE, kpis=None), KPIS, "Unknown", "NotServing"),
        (BASELINE, replace(KPIS, requests=999.0), "Unknown", "InsufficientData"),
        (BASELINE, replace(KPIS, requests=None), "Unknown", "InsufficientData"),
        (BASELINE, replace(KPIS, requests_per_second_per_pod=None), "Unknown", "InsufficientData"),
        (BASELINE, replace(KPIS, requests_per_second_per_pod=0.0), "Unknown", "InsufficientData"),
        (BASELINE, replace(KPIS, unread=True), "Unknown", "InsufficientData"),
        (replace(BASELINE, kpis=replace(SLOW, requests=999.0)), KPIS, "Unknown", "InsufficientData"),
        (replace(BASELINE, kpis=replace(SLOW, window_seconds=60)), KPIS, "Unknown", "InsufficientData"),
        (BASELINE, replace(KPIS, requests_per_second_per_pod=20.1), "False", "RatesDiffer"),
        (BASELINE, replace(KPIS, requests_per_second_per_pod=4.99), "False", "RatesDiffer"),
    ],
)
def test_what_was_not_measured_alike_is_not_compared(baseline, kpis, status, reason):
    comparison = compare(baseline, GOOD, kpis)
    assert (comparison.verdict.status, comparison.verdict.reason) == (status, reason)
    assert comparison.savings is None


def test_a_healthy_baseline_is_not_blamed_for_a_model_that_serves_nothing():
    """Of the baseline nothing is measured then."""
    told = compare(replace(BASELINE, kpis=None), GOOD, None).verdict
    assert (told.reason, told.message) == ("NotServing", "This model serves nothing that could be measured.")
    few, other = replace(KPIS, requests=12.0), replace(BASELINE, kpis=replace(SLOW, requests=7.0))
    assert compare(other, GOOD, few).verdict.message.startswith("This model had 12 requests")
    assert compare(replace(other, ready=False), GOOD, None).verdict.reason == "BaselineNotReady"
    assert compare(other, GOOD, KPIS).verdict.message.startswith("The baseline plain had 7 requests")


def test_rates_within_a_factor_of_two_are_compared():
    for rate in (20.0, 5.0):
        comparison = compare(BASELINE, GOOD, replace(KPIS, requests_per_second_per_pod=rate))
        told = f"Measured at {rate:g} requests/s a pod against 10 of the baseline plain."
        assert (comparison.verdict.message, comparison.savings.requests_per_second_per_pod) == (told, rate)
        assert comparison.savings.baseline_requests_per_second_per_pod == 10.0


def test_a_younger_baseline_is_compared_over_the_time_that_both_were_served():
    baseline = replace(BASELINE, kpis=replace(SLOW, window_seconds=120), compared=replace(KPIS, window_seconds=120))
    assert compare(baseline, GOOD, KPIS).savings.latency == 4.0
    assert compare(baseline, GOOD, None).verdict.reason == "NotServing"


def test_what_is_measured_of_the_previous_revision_is_not_compared_with_the_size_of_the_next():
    comparison = compare(BASELINE, GOOD, KPIS, served="b" * 12)
    assert (comparison.verdict.status, comparison.verdict.reason) == ("Unknown", "PreviousRevision")
    assert comparison.savings is None
    assert comparison.verdict.message == (
        "The previous revision bbbbbbbbbbbb is the one that is measured; the spec asks for aaaaaaaaaaaa, "
        "which is compared once it is served."
    )
    assert compare(BASELINE, GOOD, None, served="b" * 12).verdict.reason == "NotServing"
    assert compare(BASELINE, GOOD, SILENT, served="b" * 12).verdict.reason == "PrometheusUnavailable"
    assert compare(replace(BASELINE, exists=False), GOOD, KPIS, served="b" * 12).verdict.reason == "BaselineMissing"


def test_an_artifact_that_is_not_known_is_not_compared():
    assert compare(BASELINE, None, KPIS).verdict.reason == "InsufficientData"


def test_a_number_that_one_side_lacks_is_absent():
    savings = compare(BASELINE, GOOD, replace(KPIS, memory_mebibytes=None, cpu_milliseconds_per_request=0.0)).savings
    assert (savings.memory, savings.cpu, savings.latency) == (None, None, 4.0)


@pytest.mark.parametrize(
    ("own", "other", "latency"),
    [
        (KPIS, SLOW, 4.0),
        (replace(KPIS, p95_latency_milliseconds=3.0, p95_is_fine=False), SLOW, 3.0),
        (KPIS, replace(SLOW, p95_latency_milliseconds=9.0, p95_is_fine=False), 3.0),
        (replace(KPIS, p95_standard_milliseconds=None), replace(SLOW, p95_is_fine=False), None),
    ],
)
def test_two_p95_are_compared_where_the_same_buckets_told_them(own, other, latency):
    assert compare(replace(BASELINE, kpis=other), GOOD, own).savings.latency == latency


@pytest.mark.parametrize(
    ("prices", "percent"),
    [
        (Prices(), None),
        # At 10 requests/s a pod of the model uses 0.02 cores and 50 MiB, one of the baseline 0.05 and 100.
        (Prices(cpu_core_hour=0.04), 60.0),
        (Prices(memory_gibibyte_hour=0.005), 50.0),
        (Prices(cpu_core_hour=1.0, memory_gibibyte_hour=1.0), 53.4),
    ],
)
def test_a_cost_is_of_a_pod_that_answers_as_many_requests(prices, percent):
    assert compare(BASELINE, GOOD, KPIS, prices).savings.cost_percent == percent


def test_a_cost_is_compared_at_one_rate_whatever_both_had():
    busier = replace(BASELINE, kpis=replace(SLOW, requests_per_second_per_pod=15.0))
    assert compare(busier, GOOD, KPIS, Prices(cpu_core_hour=1.0, memory_gibibyte_hour=1.0)).savings.cost_percent == 53.4


@pytest.mark.parametrize("lacks", ["cpu_milliseconds_per_request", "memory_mebibytes"])
@pytest.mark.parametrize("side", ["own", "baseline"])
def test_a_cost_without_a_measurement_is_absent(lacks, side):
    own = replace(KPIS, **{lacks: None}) if side == "own" else KPIS
    other = BASELINE if side == "own" else replace(BASELINE, kpis=replace(SLOW, **{lacks: None}))
    assert compare(other, GOOD, own, Prices(cpu_core_hour=1.0)).savings.cost_percent is None


def test_a_dearer_model_costs_less_than_nothing_less():
    cheap = replace(BASELINE, kpis=replace(SLOW, cpu_milliseconds_per_request=1.0))
    assert compare(cheap, GOOD, KPIS, Prices(cpu_core_hour=1.0)).savings.cost_percent == -100.0


def test_what_was_not_read_yet_is_told_as_such(body):
    told = judge(body, {"p95LatencyMilliseconds": 5}, kpis=Kpis(300, NOW, pods=0, unread=True))
    assert told == ("Unknown", "InsufficientData", "p95LatencyMilliseconds was not measured yet.")


def standing(
    generation=1, revision="aaa", measured=True, kinds=("Ready", "WithinObjectives", "Compared"), reason="Compared"
):
    """A status that stands, or one that was made without a measurement."""
    status = "True" if measured else "Unknown"
    return CompressedModelStatus.model_validate(
        {
            "observedGeneration": generation,
            "conditions": [
                {
                    "type": kind,
                    "status": "True" if kind == "Ready" else status,
                    "reason": reason,
                    "message": kind,
                    "lastTransitionTime": NOW,
                    "observedGeneration": generation,
                }
                for kind in kinds
            ],
            "serving": {"revision": revision, "selector": "s", "http": "h", "grpc": "g"},
            **(
                {
                    "kpis": {"window": "5m", "measuredAt": NOW, "cpuMillicores": 3.0},
                    "savings": {
                        "size": 8.0,
                        "requests": 1,
                        "baselineRequests": 1,
                        "requestsPerSecondPerPod": 1.0,
                        "baselineRequestsPerSecondPerPod": 1.0,
                        "measuredAt": NOW,
                    },
                }
                if measured
                else {}
            ),
        }
    )


UNREAD = Kpis(300, NOW, pods=0, unread=True)


def test_a_restart_of_the_operator_changes_nothing_that_was_measured():
    assert keep_measures(standing(measured=False), standing(), UNREAD, None) == standing()


@pytest.mark.parametrize("kpis", [KPIS, SILENT, None])
def test_what_was_read_replaces_what_stood(kpis):
    assert keep_measures(standing(measured=False), standing(), kpis, None) == standing(measured=False)


@pytest.mark.parametrize("previous", [None, standing(revision="bbb")])
def test_measurements_of_another_revision_are_not_kept(previous):
    assert keep_measures(standing(measured=False), previous, UNREAD, None) == standing(measured=False)


def test_verdicts_on_another_spec_are_not_kept():
    kept = keep_measures(standing(generation=2, measured=False), standing(), UNREAD, None)
    assert [each.status for each in kept.conditions] == ["True", "Unknown", "Unknown"]
    assert (kept.kpis, kept.savings) == (standing().kpis, None)


def test_savings_go_with_the_baseline():
    kept = keep_measures(standing(measured=False, kinds=("Ready",)), standing(), UNREAD, None)
    assert (len(kept.conditions), kept.kpis, kept.savings) == (1, standing().kpis, None)


COMPARISON_UNREAD = replace(BASELINE, kpis=UNREAD, compared=UNREAD)


def test_a_comparison_is_kept_while_only_that_was_not_read_yet():
    """Its window is another than the model's own, where the baseline is younger."""
    kept = keep_measures(standing(measured=False), standing(), KPIS, COMPARISON_UNREAD)
    assert [each.status for each in kept.conditions] == ["True", "Unknown", "True"]
    assert (kept.kpis, kept.savings) == (None, standing().savings)


@pytest.mark.parametrize(
    ("previous", "baseline"),
    [
        (standing(), BASELINE),
        (standing(), replace(COMPARISON_UNREAD, ready=False)),
        (standing(), replace(COMPARISON_UNREAD, kpis=SILENT)),
        (standing(reason="BaselineNotReady"), COMPARISON_UNREAD),
        (standing(generation=2), COMPARISON_UNREAD),
        (standing(revision="bbb"), COMPARISON_UNREAD),
        (None, COMPARISON_UNREAD),
    ],
)
def test_a_comparison_is_not_kept_for_any_other_reason(previous, baseline):
    assert keep_measures(standing(measured=False), previous, KPIS, baseline) == standing(measured=False)


def test_after_a_restart_a_comparison_that_is_read_last_does_not_vanish():
    case = load_case("kpis-and-savings")
    before = case.plan().status
    baseline = replace(case.observation.baseline, kpis=UNREAD, compared=UNREAD)
    again = case._replace(observation=replace(case.observation, status=before, baseline=baseline))
    assert again.plan().status is None


def test_the_first_pass_of_a_new_operator_writes_nothing():
    case = load_case("kpis-and-savings")
    standing = case.plan().status
    assert "savings" in standing
    unread = replace(case.observation.baseline, kpis=UNREAD)
    observation = replace(case.observation, status=standing, kpis=UNREAD, baseline=unread)
    assert case._replace(observation=observation).plan().status is None


def test_prices_come_from_the_settings():
    case = load_case("kpis-and-savings")
    priced = case._replace(settings=case.settings.model_copy(update={"price_cpu_core_hour": 1.0}))
    assert "costPercent" not in case.plan().status["savings"]
    # 1.9876 against 2.74 ms of CPU a request.
    assert priced.plan().status["savings"]["costPercent"] == 27.5
