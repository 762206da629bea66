"""How long an experiment takes is told before it begins, and grows with what it is to do."""

import pytest

from load.arguments import make_parser, make_plan
from load.configurations import PlanError
from load.estimating import expect, format_expected


def expected(*arguments):
    options = make_parser().parse_args(["run", *arguments])
    return expect(make_plan(options), options.rest_generator)


def test_the_whole_experiment_takes_many_hours_and_says_so():
    whole = expected()
    assert (whole.runs, whole.steps) == (180, 9 * 30)
    assert 8 < whole.seconds / 3600 < 14
    assert format_expected(whole) == (
        f"about {round(whole.seconds / 60)} minutes ({whole.seconds // 3600:.0f} h"
        f" {round(whole.seconds / 60) % 60} min): 180 runs of {whole.runs_seconds / 180:.0f} s and 270 flat rates of"
        f" {whole.steps_seconds / 270:.0f} s, once all is deployed"
    )


def test_a_run_takes_its_profile_and_what_stands_around_it():
    one = expected("--networks", "digits", "--configurations", "a0-b32", "--baselines", "", "--protocols", "grpc",
                   "--profiles", "n75", "--blocks", "1", "--saturation-seconds", "0")  # fmt: skip
    assert (one.runs, one.steps) == (1, 0)
    # warm-up 5 s and two starts of 1 s, the profile, 15 s until the scrapes are in, 5 s of queries
    assert one.seconds == 5 + 1 + 1 + 120 + 15 + 5
    by_jmeter = expected("--networks", "digits", "--configurations", "a0-b32", "--baselines", "", "--protocols", "rest",
                         "--profiles", "n75", "--blocks", "1", "--saturation-seconds", "0")  # fmt: skip
    # JMeter waits for late answers longer than until the scrapes are in
    assert by_jmeter.seconds == 5 + 1 + 7 + 120 + 21 + 5
    assert format_expected(one) == "about 2 minutes: 1 runs of 147 s, once all is deployed"


def test_a_pair_and_the_baseline_are_measured_in_an_hour():
    pair = expected("--networks", "vgg16", "--configurations", "a0-b32,a125-b8", "--protocols", "rest",
                    "--saturation-seconds", "0")  # fmt: skip
    assert pair.runs == 3 * 2 * 3
    assert pair.seconds < 3600


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("a0-b32,a125-b8", ["cnn-a0-b32", "cnn-a125-b8", "digits-a0-b32", "digits-a125-b8"]),
        ("cnn-a0-b32", ["cnn-a0-b32"]),
        ("*-b32", [f"{network}-a{alpha}-b32" for network in ("cnn", "digits") for alpha in (0, 50, 125)]),
    ],
)
def test_configurations_are_chosen_by_compression_name_or_pattern(asked, names):
    options = make_parser().parse_args(
        ["run", "--networks", "cnn,digits", "--baselines", "", "--configurations", asked]
    )
    assert [each.name for each in make_plan(options).configurations()] == names


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("a125-b8", "vgg16-a0-b32 is what vgg16-a125-b8 is compared with: add a0-b32"),
        ("a0-b32,a125-b9", "'a125-b9' is none of vgg16-a0-b32, vgg16-a50-b32"),
    ],
)
def test_configurations_that_cannot_be_compared_are_refused(asked, words):
    with pytest.raises(PlanError, match=words):
        expected("--networks", "vgg16", "--configurations", asked)


def test_a_baseline_of_a_network_without_configurations_is_left_out():
    options = make_parser().parse_args(["run", "--networks", "cnn,digits", "--configurations", "cnn-a0-b32"])
    assert [each.name for each in make_plan(options).configurations()] == ["cnn-a0-b32", "cnn-flask"]
