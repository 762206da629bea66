"""The results on disk: whole at any time, gone on with, and never mixed with another machine's."""

import json

import pytest

from load.arguments import make_parser, make_plan
from load.experiment import check_images
from load.journal import Journal, count_failures
from load.machine import read_node_cpu_seconds
from load.measuring import Key
from load.profiles import PROFILES
from load.provenance import read_commit, read_prices
from load.results import (
    Configuration,
    Prices,
    Provenance,
    ResultsError,
    Run,
    Saturation,
    SaturationStep,
    format_results,
    read_results,
    render_schema,
)

KEY = Key("cnn-a0-b32", "n75", "rest", 0)


def provenance(**changed):
    told = {
        "command": "modelpress-bench run", "started_at": "2026-01-01T00:00:00+00:00", "commit": "0" * 40,
        "dirty": False, "seed": 0, "hardware": "a processor", "cores": 2, "memory_gi_b": 8.0, "kernel": "6.1",
        "versions": {}, "cluster": "embedded node", "data": "digits", "conditions": {"cpuLimit": "1"},
    }  # fmt: skip
    return Provenance(**{**told, **changed})


def run(void=None, key=KEY, **changed):
    told = {
        "configuration": key.configuration, "profile": key.profile, "protocol": key.protocol, "generator": "python",
        "block": key.block, "started_unix": 0.0, "ended_unix": 1.0, "samples": key.path, "requests": 3,
        "requests_per_second": 3.0, "generator_cpu_seconds": 0.1, "node_cpu_seconds": 1.0,
        "generator_share_percent": 5.0, "void": void,
    }  # fmt: skip
    return Run(**{**told, **changed})


def configuration(**changed):
    told = {
        "name": "cnn-a0-b32", "network": "cnn", "alpha": 0, "bits": 32, "kind": "modelpress", "trained": False,
        "cpu_limit": "1", "memory_limit": "2Gi", "image": "server:1",
    }  # fmt: skip
    return Configuration(**{**told, **changed})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "results.json"


def test_a_run_is_on_disk_as_soon_as_it_is_over_and_is_not_made_again(path):
    journal = Journal(path, provenance(), Prices())
    assert not journal.has(KEY)
    journal.add_run(run())
    assert read_results(path).runs == [run(session="2026-01-01T00:00:00+00:00")]
    again = Journal(path, provenance(started_at="later", commit="1" * 40), Prices())
    assert again.has(KEY)
    assert not again.has(Key("cnn-a0-b32", "n75", "rest", 1))
    assert again.results.provenance.commit == "0" * 40
    # what is measured now is of another session than what was measured then
    again.add_run(run(key=Key("cnn-a0-b32", "n75", "rest", 1)))
    assert [each.session for each in read_results(path).runs] == ["2026-01-01T00:00:00+00:00", "later"]


def test_a_void_run_is_made_once_more_and_no_more(path):
    journal = Journal(path, provenance(), Prices())
    journal.add_run(run(void="the generator took too much"))
    assert not journal.has(KEY)
    journal.add_run(run(void="the generator took too much"))
    assert journal.has(KEY)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"hardware": "another"}, "with hardware 'a processor', not 'another'"),
        ({"seed": 1}, "with seed 0, not 1"),
        ({"conditions": {"cpuLimit": "2"}}, "with cpuLimit '1', not '2'"),
        ({"conditions": {}}, "with cpuLimit '1', not None"),
    ],
)
def test_what_was_measured_under_other_conditions_is_refused(path, changed, words):
    Journal(path, provenance(), Prices())
    with pytest.raises(ResultsError, match=words):
        Journal(path, provenance(**changed), Prices())


def test_a_configuration_of_another_image_is_refused(path):
    journal = Journal(path, provenance(), Prices())
    journal.note_configurations([configuration()])
    journal.note_configurations([configuration()])
    assert journal.results.configurations == [configuration()]
    with pytest.raises(ResultsError, match="cnn-a0-b32 with another image"):
        journal.note_configurations([configuration(image="server:2")])


def test_a_profile_of_another_length_is_refused(path):
    journal = Journal(path, provenance(), Prices())
    journal.note_profiles([PROFILES["n75"]])
    (told,) = read_results(path).profiles
    assert (told.users, told.seconds, told.user_seconds, told.peak_requests_per_second) == (75, 120, 7.5, 10)
    assert told.points == [(0, 0), (30, 75), (90, 75), (120, 0)]
    with pytest.raises(ResultsError, match="n75 over 120 s instead of 20"):
        journal.note_profiles([PROFILES["n75"].lasting(20)])


def test_the_end_is_told_only_when_nothing_is_missing(path):
    journal = Journal(path, provenance(), Prices())
    assert read_results(path).provenance.finished_at is None
    journal.add_saturation(Saturation(configuration="cnn-a0-b32", protocol="rest", rule="r", steps=[]))
    assert journal.has_saturation("cnn-a0-b32", "rest")
    assert not journal.has_saturation("cnn-a0-b32", "grpc")
    journal.finish()
    assert read_results(path).provenance.finished_at is not None
    Journal(path, provenance(), Prices())
    assert read_results(path).provenance.finished_at is None


def test_a_search_whose_unloaded_rate_was_void_is_made_again_and_gives_way_to_what_is_found(path):
    journal = Journal(path, provenance(), Prices())
    steps = [SaturationStep(rate=2, achieved=2, p95_milliseconds=5, void="late"), SaturationStep(rate=2, achieved=2)]
    nothing, found = (Saturation(configuration="cnn-a0-b32", protocol="rest", rule="r", steps=[step]) for step in steps)
    journal.add_saturation(nothing)
    assert not journal.has_saturation("cnn-a0-b32", "rest")
    journal.add_saturation(found)
    assert journal.has_saturation("cnn-a0-b32", "rest")
    assert read_results(path).saturation == [found]


def test_failures_of_void_runs_do_not_count():
    assert count_failures([run(failures={"429": 2}), run(failures={"429": 1, "timeout": 1})]) == {
        "429": 3,
        "timeout": 1,
    }
    assert count_failures([run(void="x", failures={"429": 2})]) == {}


def test_the_file_is_of_its_schema_and_camel_case(path):
    journal = Journal(path, provenance(), Prices())
    journal.add_run(run(prometheus={"p95LatencyMilliseconds": 3.0}, replicas=[(0.0, 1)]))
    document = json.loads(path.read_text())
    assert document["schema"] == 1
    assert document["provenance"]["memoryGiB"] == 8.0
    assert document["runs"][0]["prometheus"]["p95LatencyMilliseconds"] == 3.0
    # what was not measured is null, never 0
    assert document["runs"][0]["prometheus"]["cpuMillicores"] is None
    assert set(document) == set(render_schema()["properties"])
    assert format_results(read_results(path)) == path.read_text()


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 2}', "[]"])
def test_another_file_is_refused_in_a_sentence(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ResultsError, match=r"is no experiment's results \(.+\): name one that this version wrote"):
        read_results(path)
    with pytest.raises(ResultsError, match="cannot be read"):
        read_results(tmp_path / "none.json")


def test_prices_that_were_given_stay_and_without_any_those_of_the_example_stand_there(path):
    mine = Prices(cpu_core_hour=0.07, source="mine")
    assert Journal(path, provenance()).results.prices.example
    assert Journal(path, provenance(), mine).results.prices == mine
    assert Journal(path, provenance()).results.prices == mine
    assert read_results(path).prices == mine


def test_another_image_or_other_weights_are_refused_before_anything_is_deployed(path):
    digest = "sha256:" + "1" * 64
    journal = Journal(path, provenance())
    journal.note_configurations([configuration(), configuration(name="t", trained=True, weights=f"trained, {digest}")])
    journal.require_alike("cnn-a0-b32", image="server:1", digest=None)
    journal.require_alike("cnn-a0-b32", image="", digest=None)
    journal.require_alike("cnn-flask", image="another:1", digest=None)
    journal.require_alike("t", image="server:1", digest=digest)
    for name, image, other in (
        ("cnn-a0-b32", "server:2", None),
        ("cnn-a0-b32", "server:1", digest),
        ("t", "server:1", None),
        ("t", "server:1", digest.replace("1", "2")),
    ):
        with pytest.raises(ResultsError, match=f"holds runs of {name} with another image, other weights or limits"):
            journal.require_alike(name, image=image, digest=other)


def test_another_image_is_refused_before_the_node_is_touched(path):
    plan = make_plan(make_parser().parse_args(["run", "--networks", "cnn", "--configurations", "a0-b32"]))
    check_images(path, plan, path.parent, "server:2", "flask:1")
    Journal(path, provenance()).note_configurations([configuration()])
    check_images(path, plan, path.parent, "server:1", "flask:1")
    with pytest.raises(ResultsError, match="holds runs of cnn-a0-b32 with another image"):
        check_images(path, plan, path.parent, "server:2", "flask:1")


def test_prices_come_from_a_file(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text('{"cpuCoreHour": 0.05, "memoryGibibyteHour": 0.01, "currency": "EUR", "source": "mine"}')
    assert read_prices(path).cpu_core_hour == 0.05
    path.write_text('{"cpuCoreHour": -1}')
    with pytest.raises(ResultsError, match="is no price list"):
        read_prices(path)


def test_the_machine_s_cpu_time_grows_with_what_it_computes():
    begun = read_node_cpu_seconds()
    assert begun > 0
    total = 0
    while read_node_cpu_seconds() - begun < 0.05:
        total += sum(range(10_000))
    assert total > 0


def test_the_commit_is_told():
    commit, dirty = read_commit()
    assert commit == "unknown" or len(commit) == 40
    assert isinstance(dirty, bool)
