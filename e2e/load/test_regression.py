"""The comparison of two experiments: alarms beyond the noise, silence within it, and a refusal of other machines."""

import numpy as np
import pytest

from load.made_up_results import MadeUp, make_provenance, make_results
from load.regression import Compared, IncomparableError, compare_results, format_sentence, judge, list_left_out, main
from load.report.bootstrap import Estimate
from load.results import read_results, write_results

LITTLE = {"networks": ("digits",), "blocks": 4, "seconds": 12.0, "noise": 0.02, "with_samples": False}


@pytest.fixture
def experiment(tmp_path):
    """Makes results.json of one small network from what is to be made up."""
    made = []

    def make(change=None, **wanted):
        folder = tmp_path / str(len(made))
        made.append(make_results(folder, MadeUp(**{**LITTLE, **wanted})))
        if change is not None:
            write_results(made[-1], change(read_results(made[-1])))
        return made[-1]

    return make


def test_the_same_again_is_no_regression(experiment, capsys):
    assert main([str(experiment(seed=1)), str(experiment(seed=2))]) == 0
    out = capsys.readouterr().out
    assert "regression" not in out.replace("A regression is", "")
    assert "digits-a125-b8" in out


def test_half_as_fast_is_one(experiment, capsys):
    assert main([str(experiment(seed=1)), str(experiment(seed=2, factor=2.0))]) == 1
    first = capsys.readouterr().out.splitlines()[1]
    assert first.endswith("regression")


def test_twice_as_fast_is_an_improvement(experiment):
    compared = compare_results(read_results(experiment(seed=1)), read_results(experiment(seed=2, factor=0.5)))
    cpu = [each for each in compared if each.figure.startswith("CPU")]
    assert {each.verdict for each in cpu if each.configuration == "digits-a125-b8"} == {"improved"}
    assert {each.verdict for each in cpu if each.configuration != "digits-a125-b8"} == {"not judged"}


def test_two_blocks_raise_no_alarm_whatever_they_say(experiment, capsys):
    assert main([str(experiment(seed=1)), str(experiment(seed=2, blocks=2, factor=3.0))]) == 0
    assert "too few blocks" in capsys.readouterr().out


def test_an_alarm_needs_the_whole_interval_beyond_the_margin():
    assert judge(Estimate(1.3, 1.06, 1.6, 5), 5) == "regression"
    assert judge(Estimate(1.3, 1.04, 1.6, 5), 5) == "not told apart"
    assert judge(Estimate(1.3, 1.06, 1.6, 5), 10) == "not told apart"
    assert judge(Estimate(1.0, 0.97, 1.03, 5), 5) == "same"
    assert judge(Estimate(0.8, 0.7, 0.94, 5), 5) == "improved"
    assert judge(Estimate(9.0, None, None, 2), 5) == "too few blocks"


def test_a_hundred_comparisons_of_equals_raise_few_alarms(experiment):
    """Noise far above the margin, so that chance alone would raise alarms in most pairs of experiments."""
    base = read_results(experiment(seed=1, seconds=1.0))
    source = np.random.default_rng(5)

    def shake(run):
        factor = float(np.exp(source.normal(0.0, 0.3)))
        told = run.prometheus.model_copy(
            update={"working_set_mebibytes": 50 * factor, "cpu_milliseconds_per_request": 2 * factor}
        )
        return run.model_copy(update={"p95_milliseconds": 9 * factor, "prometheus": told})

    def again():
        return base.model_copy(update={"runs": [shake(run) for run in base.runs]})

    pairs = 40
    found = [compare_results(again(), again()) for _ in range(pairs)]
    assert len(found[0]) == 3 * (6 * 4 + 2) + 7
    assert sum(each.verdict != "not judged" and bool(each.condition) for each in found[0]) == 3 * 4
    assert sum(any(each.verdict == "regression" for each in compared) for compared in found) <= 5


def test_three_blocks_see_a_third_more_cpu_and_say_what_they_see(experiment):
    """Four degrees of freedom at best: what is not judged must not widen the intervals of what is."""
    noisy = {"blocks": 3, "noise": 0.06}
    old, new = (read_results(experiment(seed=seed, factor=factor, **noisy)) for seed, factor in ((1, 1.0), (2, 1.33)))
    judged = [each for each in compare_results(old, new) if each.condition and each.verdict != "not judged"]
    assert {each.configuration for each in judged} == {"digits-a125-b8"}
    cpu = [each for each in judged if each.figure.startswith("CPU")]
    sees = [each.visible_percent(5) for each in cpu]
    assert {each.verdict for each in cpu} == {"regression"}, sees
    sentence = format_sentence(cpu, 5)
    assert f"It would have seen a figure worse by {min(sees):.0f} to {max(sees):.0f} %." in sentence


def test_a_change_just_above_what_is_seen_is_a_regression_and_one_below_is_not():
    def compared(value):
        change = Estimate(value, value / 1.3, value * 1.3, 3)
        return Compared("a", "n75", "p95, ms", 1.0, value, change, judge(change, 5))

    visible = compared(1.0).visible_percent(5)
    assert visible == pytest.approx(36.5)
    assert compared(1 + visible / 100 + 0.001).verdict == "regression"
    assert compared(1 + visible / 100 - 0.001).verdict != "regression"
    assert (
        Compared("a", "n75", "p95, ms", 1, 1, Estimate(1, None, None, 2), "too few blocks").visible_percent(5) is None
    )


def test_a_grown_artifact_is_a_regression_without_noise(experiment):
    def grow(results):
        made = [
            each.model_copy(update={"artifact_bytes": int(1.06 * each.artifact_bytes)})
            for each in results.configurations
        ]
        return results.model_copy(update={"configurations": made})

    old, new = read_results(experiment()), read_results(experiment(grow))
    grown = [each for each in compare_results(old, new) if each.verdict == "regression"]
    assert {each.figure for each in grown} == {"Size, bytes"}
    assert len(grown) == 7


def test_another_machine_is_refused(experiment, capsys):
    assert main([str(experiment()), str(experiment(hardware="Another processor"))]) == 2
    assert "the machines differ (old: Made-up processor, 2 cores, 8 GiB; new: Another" in capsys.readouterr().err


def test_a_file_that_is_none_is_refused(tmp_path, experiment, capsys):
    empty = tmp_path / "empty.json"
    empty.write_text("{}")
    assert main([str(empty), str(experiment())]) == 2
    assert "is no experiment's results" in capsys.readouterr().err


def test_nothing_in_common_is_refused(experiment):
    old, new = read_results(experiment()), read_results(experiment(networks=("cnn",)))
    with pytest.raises(IncomparableError, match="no configuration was run by both"):
        compare_results(old, new)


def test_void_runs_are_not_compared(experiment):
    def void(results):
        runs = [run.model_copy(update={"void": "made void", "p95_milliseconds": 9e9}) for run in results.runs[:13]]
        return results.model_copy(update={"runs": [*results.runs, *runs]})

    old, new = read_results(experiment()), read_results(experiment(void))
    assert max(each.change.value for each in compare_results(old, new)) == pytest.approx(1.0)


def test_what_vanished_or_was_deployed_otherwise_is_named(experiment):
    def change(results):
        first, second, *others = results.configurations
        other = second.model_copy(update={"cpu_limit": "1"})
        runs = [run for run in results.runs if run.configuration not in {first.name, others[0].name}]
        return results.model_copy(update={"configurations": [other, *others], "runs": runs})

    old, new = read_results(experiment()), read_results(experiment(change))
    left_out = list_left_out(old, new)
    assert left_out[:2] == ["digits-a0-b32", "digits-a50-b32"]
    assert "digits-a125-b32 (n75, REST by JMeter)" in left_out
    compared = {each.configuration for each in compare_results(old, new)}
    assert compared.isdisjoint({"digits-a0-b32", "digits-a50-b32"})


def alter(name, under=("n75", "rest"), block=None, **changed):
    """Results in which a configuration's runs under a profile by a protocol are others; of one block, or of all."""

    def change(results):
        runs = [
            run.model_copy(update=changed)
            if (run.configuration, run.profile, run.protocol) == (name, *under) and block in {None, run.block}
            else run
            for run in results.runs
        ]
        return results.model_copy(update={"runs": runs})

    return change


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"p95_milliseconds": None}, "no p95 response time, which the old one has; no run has it"),
        ({"prometheus": None}, "no Memory and no CPU a request, which the old one has; no run has it"),
        (
            {"void": "late"},
            "no p95 response time and no Memory and no CPU a request, which the old one has; every run is void",
        ),
    ],
)
def test_a_judged_figure_that_only_the_old_one_has_is_a_regression(changed, told, tmp_path, experiment, capsys):
    old = experiment()
    rest = alter("digits-a125-b8", **changed)
    summary = tmp_path / "summary.md"
    assert main([str(old), str(experiment(rest)), "--markdown", str(summary)]) == 1
    line = f"digits-a125-b8 (n75, REST by JMeter): {told}"
    assert [each for each in capsys.readouterr().out.splitlines() if each.startswith("regression: ")] == [
        f"regression: {line}"
    ]
    assert f"**Regression:** {line}" in summary.read_text()
    # what is not judged, or what the old one lacks too, is none
    assert main([str(old), str(experiment(alter("digits-a50-b8", **changed)))]) == 0
    assert main([str(experiment(rest)), str(experiment(rest))]) == 0


def test_runs_that_were_asked_in_another_way_are_named_and_no_regression(experiment, capsys):
    def ask_otherwise(results):
        runs = [run.model_copy(update={"generator": "python"}) for run in results.runs if run.protocol == "rest"]
        return results.model_copy(update={"runs": runs + [run for run in results.runs if run.protocol != "rest"]})

    assert main([str(experiment()), str(experiment(ask_otherwise))]) == 0
    assert "digits-a125-b8 (n75, REST by JMeter)" in capsys.readouterr().out


def test_more_failed_requests_of_ours_than_in_any_block_before_are_a_regression(experiment, capsys):
    def fail(name, number, block=0):
        return alter(name, block=block, failures={"503": number})

    old = experiment()
    assert main([str(old), str(experiment(fail("digits-a50-b8", 1)))]) == 1
    (told,) = [each for each in capsys.readouterr().out.splitlines() if each.startswith("regression: ")]
    assert told.startswith("regression: digits-a50-b8 (n75, REST by JMeter): 1 of ")
    assert told.endswith(" requests failed; before at most 0.00% of a block's did")
    assert main([str(old), str(experiment(fail("digits-flask", 9)))]) == 0
    some = experiment(fail("digits-a125-b8", 3))
    assert main([str(some), str(experiment(fail("digits-a125-b8", 3, block=1)))]) == 0
    assert main([str(some), str(experiment(fail("digits-a125-b8", 40)))]) == 1
    assert main([str(some), str(old)]) == 0


def test_markdown_has_what_changed_before_the_rest(tmp_path, experiment):
    summary = tmp_path / "summary.md"
    main([str(experiment(seed=1)), str(experiment(seed=2, factor=2.0)), "--markdown", str(summary)])
    text = summary.read_text()
    changed, folded = text.split("<details>")
    head = "| configuration | under | figure | old | new | new/old | interval | sees from | blocks | verdict |"
    assert head in changed
    assert "| regression |" in changed
    assert "| regression |" not in folded
    assert "Size, bytes" in folded


def test_provenance_of_the_made_up_says_so():
    assert "made-up" in make_provenance(MadeUp()).command
