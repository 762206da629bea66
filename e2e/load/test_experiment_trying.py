"""An error ends a try and not the experiment; a generator that was late or took too much makes a step void."""

import pytest
from cluster.processes import ClusterError

from load.conducting import Conductor, Generators, Plan, format_run
from load.configurations import Planned
from load.deploying import Scene, has_stalled
from load.experiment import conclude
from load.generating import GeneratorError, GeneratorRun, Target
from load.journal import Journal, count_failures
from load.kpis import PrometheusPlace
from load.measuring import Key, Patience, Subject, Told
from load.profiles import PROFILES, plan_arrivals
from load.results import PrometheusKpis, Provenance, ResultsError, Run, Saturation, read_results
from load.samples import make_samples, write_samples
from load.trying import MOST_TRIES, Tries

PLANNED = Planned("digits-a0-b32", "digits", 0.0, 32)
SCENE = Scene(None, "load", "no cluster", PrometheusPlace("system", "prometheus:9090"))
PLAN = Plan(
    networks=("digits",),
    profiles=(PROFILES["n75"].lasting(4),),
    only=("a0-b32",),
    protocols=("rest",),
    baselines=(),
    blocks=2,
    saturation_seconds=10,
    patience=Patience(error_seconds=0),
)


@pytest.fixture
def journal(tmp_path):
    told = Provenance(
        command="test", started_at="now", commit="0", dirty=False, seed=0, hardware="h", cores=2, memory_gi_b=8.0,
        kernel="6", versions={}, cluster="none", data="digits",
    )  # fmt: skip
    return Journal(tmp_path / "results.json", told)


def make_conductor(journal, generate):
    """A conductor whose one configuration answers where the generator says."""
    generators = Generators({"rest": generate}, generate, {"digits": journal.folder}, "digits")
    target = Target(PLANNED.name, "127.0.0.1", 1, 2, journal.folder)
    return Conductor(SCENE, PLAN, journal, generators, print, {PLANNED.name: Subject(SCENE, PLANNED, target)})


def generate_by(*, late_seconds=0.0, load_cpu_seconds=0.1, milliseconds=2.0, unsent=0):
    """A generator that sends nothing and says what it would have seen, but for the first ones, which it left out."""

    def generate(_target, profile, seed, out):
        due = plan_arrivals(profile, seed)
        left_out = [(t, t, 0.0, "not sent", False) for t in due[:unsent]]
        sent = [(t, t + late_seconds, milliseconds, "200", True) for t in due[unsent:]]
        write_samples(make_samples([*left_out, *sent]), out)
        return GeneratorRun(out, 3, 20, load_cpu_seconds, profile.seconds, 0, "python", "1", 2, 4)

    return generate


def make_run(key, void=None, **changed):
    told = {
        "configuration": key.configuration, "profile": key.profile, "protocol": key.protocol, "generator": "python",
        "block": key.block, "started_unix": 0.0, "ended_unix": 1.0, "samples": key.path, "requests": 3,
        "requests_per_second": 3.0, "generator_cpu_seconds": 0.1, "node_cpu_seconds": 1.0,
        "generator_share_percent": 5.0, "void": void,
    }  # fmt: skip
    return Run(**{**told, **changed})


def test_a_flat_rate_whose_requests_left_late_is_void(journal):
    step = make_conductor(journal, generate_by(late_seconds=0.2)).step(PLANNED, "rest", 8.0)
    assert step.void.startswith("one request in a hundred left over 200 ms after its planned time")
    assert make_conductor(journal, generate_by()).step(PLANNED, "rest", 8.0).void is None


def test_a_flat_rate_whose_generator_took_too_much_of_the_node_is_void(journal):
    step = make_conductor(journal, generate_by(load_cpu_seconds=1e4)).step(PLANNED, "rest", 8.0)
    assert "of the node, where 30 % is the most" in step.void


def test_a_flat_rate_of_which_a_request_was_not_sent_is_void(journal):
    for unsent in (1, 80):
        step = make_conductor(journal, generate_by(unsent=unsent)).step(PLANNED, "rest", 8.0)
        assert step.void.startswith(f"{unsent} of 80 planned requests were not sent")


def test_a_run_of_which_a_request_was_not_sent_is_void_and_counts_for_nothing(journal, monkeypatch):
    monkeypatch.setattr("load.measuring.read_served", lambda *_: None)
    monkeypatch.setattr("load.measuring.read_ready", lambda *_: (1, {}))
    monkeypatch.setattr("load.measuring.listen", lambda *_: Told(PrometheusKpis(), None, []))
    key = Key(PLANNED.name, "n75", "rest", 0)
    for unsent, words in ((0, None), (1, "1 of 30 planned requests were not sent")):
        run = make_conductor(journal, generate_by(unsent=unsent)).run(key, PLAN.profiles[0])
        assert run.void is None if words is None else run.void.startswith(words)
        assert sum(run.failures.values()) == unsent
    assert count_failures(journal.results.runs) == {}


def test_answers_after_the_time_of_a_flat_rate_are_not_achieved(journal):
    step = make_conductor(journal, generate_by(milliseconds=5_000)).step(PLANNED, "rest", 8.0)
    assert 3.2 < step.achieved < 4.8


def test_a_void_flat_rate_is_made_once_more_and_ends_the_search_with_a_lower_bound(journal):
    made, generate, late = [], generate_by(), generate_by(late_seconds=0.2)

    def overloaded(target, profile, seed, out):
        made.append(profile.peak_requests_per_second)
        return (late if made[-1] > 10 or made == [2.0] else generate)(target, profile, seed, out)

    conductor = make_conductor(journal, overloaded)
    conductor.find_saturation([PLANNED])
    assert made == [2, 2, 8, 16, 16]
    (found,) = read_results(journal.folder / "results.json").saturation
    assert (found.requests_per_second, found.at_least, found.seconds) == (8, True, 10)


def test_a_search_by_flat_rates_of_another_length_is_refused_before_anything_is_deployed(journal, monkeypatch):
    deployed = []
    conductor = make_conductor(journal, generate_by())
    monkeypatch.setattr(conductor, "prepare", deployed.append)
    monkeypatch.setattr(conductor, "run_all", list)
    known = {"configuration": PLANNED.name, "protocol": "rest", "rule": "r", "steps": []}
    # an older file does not tell it
    journal.add_saturation(Saturation(**known))
    conductor.conduct()
    assert len(deployed) == 1
    journal.add_saturation(Saturation(**known | {"protocol": "grpc", "seconds": 20}))
    with pytest.raises(ResultsError, match="by flat rates of 20 s instead of 10: name another folder with -o"):
        conductor.conduct()
    assert len(deployed) == 1


def test_an_unloaded_rate_that_is_void_each_time_is_no_verdict_and_is_searched_again(journal):
    conductor = make_conductor(journal, generate_by(late_seconds=0.2))
    conductor.find_saturation([PLANNED])
    assert read_results(journal.folder / "results.json").saturation == []
    told = [(each.of, each.again) for each in journal.results.troubles]
    assert told == [("digits-a0-b32 rest saturation", again) for again in (True, True, False)]
    assert "2 requests/s, the unloaded rate, are void twice: one request" in journal.results.troubles[0].error
    generate, late = generate_by(), generate_by(late_seconds=0.2)

    def overloaded(target, profile, seed, out):
        return (late if profile.peak_requests_per_second > 10 else generate)(target, profile, seed, out)

    make_conductor(journal, overloaded).find_saturation([PLANNED])
    (found,) = read_results(journal.folder / "results.json").saturation
    assert (found.requests_per_second, found.at_least) == (8, True)


def test_a_run_that_ended_in_an_error_is_made_again_and_told(journal, monkeypatch):
    errors = [ClusterError("no pod answers"), GeneratorError("it hung")]
    conductor = make_conductor(journal, generate_by())

    def run(key, _profile):
        if errors:
            raise errors.pop(0)
        journal.add_run(make_run(key))
        return journal.results.runs[-1]

    monkeypatch.setattr(conductor, "run", run)
    assert [made.block for made in conductor.run_all()] == [0, 1]
    told = [(each.of, each.error, each.again) for each in read_results(journal.folder / "results.json").troubles]
    first = "digits-a0-b32 n75 rest block 0"
    assert told == [(first, "no pod answers", True), (first, "it hung", True)]


def test_a_run_that_ends_in_an_error_each_time_is_left_out_and_the_rest_is_made(journal, monkeypatch, capsys):
    conductor = make_conductor(journal, generate_by())

    def run(key, _profile):
        if key.block == 0:
            raise GeneratorError("it hung")
        journal.add_run(make_run(key))
        return journal.results.runs[-1]

    monkeypatch.setattr(conductor, "run", run)
    assert [made.block for made in conductor.run_all()] == [1]
    assert [each.again for each in journal.results.troubles] == [True] * (MOST_TRIES - 1) + [False]
    assert conclude(journal, PLAN, journal.folder) == 1
    assert "no run counts of 1 of 2: digits-a0-b32 n75 rest block 0" in capsys.readouterr().out


def test_nothing_is_tried_for_ever(journal):
    tries = Tries(journal.add_trouble, print, 0)

    def fail():
        raise ClusterError("the cluster is gone")

    assert tries.attempt("first", fail) is None
    assert tries.attempt("second", fail) is None
    assert tries.attempt("third", lambda: 3) == 3
    assert [tries.attempt(name, fail) for name in "ab"] == [None, None]
    with pytest.raises(ClusterError, match="the cluster is gone"):
        tries.attempt("c", fail)
    assert len(journal.results.troubles) == 5 * MOST_TRIES
    assert tries.left_out == ["first", "second", "a", "b", "c"]


def test_the_line_of_a_run_tells_the_generators_share():
    run = make_run(Key(PLANNED.name, "n75", "rest", 1), p95_milliseconds=4.5)
    assert format_run(run) == (
        "digits-a0-b32 n75 rest block 1: 3 requests, 0 failed, p95 4.50 ms, generator 5 % of the node"
    )


def test_runs_that_are_all_void_are_no_success(journal):
    keys = [Key(PLANNED.name, "n75", "rest", block) for block in range(2)]
    for key in keys:
        journal.add_run(make_run(key, void="the generator took too much"))
    assert conclude(journal, PLAN, journal.folder) == 1
    for key in keys:
        journal.add_run(make_run(key))
    assert conclude(journal, PLAN, journal.folder) == 0


def test_a_model_that_stalled_before_it_was_changed_is_waited_for():
    stalled = {"observedGeneration": 1, "conditions": [{"type": "Stalled", "status": "True"}]}
    assert has_stalled({"metadata": {"generation": 1}, "status": stalled})
    assert not has_stalled({"metadata": {"generation": 2}, "status": stalled})
