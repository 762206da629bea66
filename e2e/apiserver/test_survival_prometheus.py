"""A Prometheus that is gone, slow, or says anything at all: KPIs are Unknown, and nobody waits for them.

All these stages are played at once, since they mostly wait; each test looks at one of them.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cluster.client import wait_until
from lying_prometheus import ANSWERS, HUGE, SILENT, SLOW, LyingPrometheus
from operator_play import training_model

TIMEOUT_SECONDS = 20
"""Long, so that on a slow machine too a build can begin while one question waits."""
GONE = "nobody there"
SAYS_NOTHING = ("NaN", "nothing known")
HOLDING = (SILENT, SLOW)
WAYS = (GONE, SILENT, SLOW, HUGE, *ANSWERS)
UNKNOWN = "Unknown/PrometheusUnavailable"
LARGEST_ANSWER_BYTES = 32 * 2**20
LARGEST_MEBIBYTES = 400
OTHERS = 4


def play(stage, prometheus):
    """A served model, and others that come while Prometheus is as it is; what was seen."""
    with prometheus, stage:
        if prometheus.way != GONE:
            prometheus.begin()
        cluster = stage.cluster
        cluster.make_claim()
        cluster.make(training_model(objectives={"p95LatencyMilliseconds": 10}))
        stage.life.build(1)
        stage.life.roll_out("small", "aaaaaaaaaa")
        wanted = "Unknown/InsufficientData" if prometheus.way in SAYS_NOTHING else UNKNOWN
        cluster.wait_for("small", 4 * TIMEOUT_SECONDS, WithinObjectives=wanted, Ready="True/Serving")
        begun_meanwhile = any(make_another(stage, prometheus, number) for number in range(OTHERS))
        seen = {
            "begun_meanwhile": begun_meanwhile,
            "kpis": cluster.read("cmod", "small")["status"].get("kpis", {}),
            "mebibytes": read_most_mebibytes(stage.operator.pid),
            "begun": stage.operator.begun,
        }
        if prometheus.way in {SILENT, SLOW, HUGE}:
            wait_until(lambda: prometheus.held_seconds, bool, 4 * TIMEOUT_SECONDS, "a client that had enough")
        if prometheus.way == GONE:
            prometheus.begin()
        prometheus.way = "nothing known"
        cluster.wait_for("small", 6 * TIMEOUT_SECONDS, WithinObjectives="Unknown/InsufficientData")
        return seen | {"held": prometheus.held_seconds, "sent": prometheus.sent_bytes}


def make_another(stage, prometheus, number):
    """Whether a question that had waited for its answer before a new model came still waited when its build began."""
    earlier = set(prometheus.waiting)
    if prometheus.way in HOLDING:
        wait_until(lambda: prometheus.waiting - earlier, bool, 4 * TIMEOUT_SECONDS, "a question that has just come")
    questions = set(prometheus.waiting) - earlier
    before = len(stage.cluster.list("job"))
    stage.cluster.make(training_model(f"other-{number}", seed=number + 1))
    stage.cluster.wait_for_jobs(before + 1, 60)
    return bool(questions & prometheus.waiting)


def read_most_mebibytes(process):
    """The most memory that the process has held."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024


@pytest.fixture(scope="module")
def played(new_stage):
    """What was seen, by the way in which Prometheus was broken."""
    with ThreadPoolExecutor(len(WAYS)) as pool:
        liars = {way: LyingPrometheus(way) for way in WAYS}
        yield {
            way: pool.submit(
                play,
                new_stage(prometheus_url=liar.url, prometheus_timeout_seconds=TIMEOUT_SECONDS, kpi_seconds=5),
                liar,
            )
            for way, liar in liars.items()
        }


@pytest.mark.parametrize("way", WAYS)
def test_kpis_are_unknown_and_other_models_are_built(played, way):
    seen = played[way].result()
    assert {key for key, value in seen["kpis"].items() if isinstance(value, int | float)} == set()
    assert seen["begun"] == 1
    assert seen["mebibytes"] < LARGEST_MEBIBYTES


@pytest.mark.parametrize("way", HOLDING)
def test_builds_begin_while_a_question_waits(played, way):
    assert played[way].result()["begun_meanwhile"] is True


@pytest.mark.parametrize("way", [SILENT, SLOW, HUGE])
def test_a_question_ends_with_its_time_out_and_its_answer_at_a_bound(played, way):
    seen = played[way].result()
    assert max(seen["held"]) < 1.5 * TIMEOUT_SECONDS
    assert seen["sent"] < LARGEST_ANSWER_BYTES
