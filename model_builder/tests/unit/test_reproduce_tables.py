import pytest

from model_artifact.manifest import Dataset, Epoch, Quality, Surroundings
from model_builder.errors import BuildError
from model_builder.reproduce.choosing import choose_by_test, choose_by_validation, choose_honestly
from model_builder.reproduce.page import END, format_marker, replace_tables
from model_builder.reproduce.records import (
    RUNS_FILE,
    DivergedRun,
    RunRecord,
    append_record,
    read_records,
    read_runs,
    select_records,
)
from model_builder.reproduce.studies import Part, plan_study
from model_builder.reproduce.tables import render_study

HELD_OUT = 5_000


def make_epoch(number, test, validation=None, zeros=25.0, kept=None):
    return Epoch(
        epoch=number,
        loss=1.0,
        accuracy_percent=50.0,
        test_accuracy_percent=test,
        validation_accuracy_percent=validation,
        zeros_percent=zeros,
        kept_percent=kept,
        steps_per_second=7.0,
    )


def make_record(recipe, *curve, deployed=60.0, size_bytes=1_000_000):
    return RunRecord(
        name="a run",
        recipe=recipe,
        recipe_digest=recipe.digest,
        artifact_digest="sha256:0",
        size_bytes=size_bytes,
        plain_zip_bytes=2 * size_bytes,
        weights=2_000_000,
        deployed_weights=2_000_000,
        zeros_percent=25.0,
        bits_per_weight=4.0,
        entropy_bits_per_weight=3.9,
        code_bits=recipe.compression.bits,
        saturated=0,
        quality=Quality(deployed=deployed, float_model=deployed, samples=10_000),
        curve=curve or (make_epoch(1, 60.0, 61.0),),
        dataset=Dataset(name="CIFAR-10", digest="sha256:1", training_images=50_000, test_images=10_000),
        command="model-builder reproduce",
        commit="abc",
        source_digest="sha256:2",
        versions={"keras": "3", "tensorflow": "2"},
        hardware="a machine",
        finished="2026-01-01T00:00:00Z",
        seconds=3600.0,
    )


def test_the_test_images_choose_the_largest_test_accuracy_over_runs_and_epochs(recipe):
    low = make_record(recipe(seed=1), make_epoch(1, 50.0), make_epoch(2, 40.0))
    high = make_record(recipe(seed=2), make_epoch(1, 45.0), make_epoch(2, 55.0, zeros=90.0))
    chosen = choose_by_test([low, high])
    assert (chosen.record, chosen.epoch.epoch, chosen.density_percent) == (high, 2, 10.0)
    assert choose_by_test([]) is None


def test_density_is_what_pruning_kept_where_the_curve_says_it(recipe):
    chosen = choose_by_test([make_record(recipe(), make_epoch(1, 50.0, zeros=40.0, kept=77.5))])
    assert chosen.density_percent == 77.5


def test_held_out_images_choose_without_looking_at_the_test_images(recipe):
    held_out = recipe(dataset="CIFAR10", architecture="CNN", validation_images=HELD_OUT)
    record = make_record(held_out, make_epoch(1, 70.0, 60.0), make_epoch(2, 65.0, 62.0))
    assert choose_by_validation([record]).epoch.epoch == 2
    honest = choose_honestly([record])
    assert (honest.accuracy_percent, honest.optimism_points, honest.deviation_points) == (65.0, 5.0, None)


def test_each_seed_chooses_its_own_rate_and_the_mean_is_reported(recipe):
    def run(seed, rate, test, validation):
        made = recipe(dataset="CIFAR10", architecture="CNN", validation_images=HELD_OUT, seed=seed, learning_rate=rate)
        return make_record(made, make_epoch(1, test, validation))

    honest = choose_honestly([run(0, 0.1, 70.0, 60.0), run(0, 0.01, 60.0, 65.0), run(1, 0.1, 64.0, 60.0)])
    assert [choice.epoch.test_accuracy_percent for choice in honest.choices] == [60.0, 64.0]
    assert honest.accuracy_percent == 62.0
    assert honest.deviation_points == pytest.approx(2.8284, abs=1e-4)
    assert honest.optimism_points == 5.0


def test_runs_that_held_nothing_out_are_no_honest_choice(recipe):
    assert choose_honestly([make_record(recipe())]) is None
    assert choose_by_validation([make_record(recipe(), make_epoch(1, 50.0))]) is None


def test_records_come_back_the_latest_of_each_recipe(recipe, tmp_path):
    first, other = make_record(recipe()), make_record(recipe(seed=5))
    later = first.model_copy(update={"size_bytes": 7})
    for record in (first, other, later):
        append_record(tmp_path, record)
    assert read_records(tmp_path) == [later, other]
    assert select_records([later, other], [recipe(seed=5), recipe(seed=6)]) == [other]


def test_half_a_line_of_a_killed_process_is_dropped_and_written_over(recipe, tmp_path):
    append_record(tmp_path, make_record(recipe()))
    whole = (tmp_path / RUNS_FILE).read_text()
    (tmp_path / RUNS_FILE).write_text(whole + whole[:40])
    assert len(read_records(tmp_path)) == 1
    append_record(tmp_path, make_record(recipe(seed=5)))
    assert len(read_records(tmp_path)) == 2


def test_a_line_that_is_no_record_is_named(tmp_path):
    (tmp_path / RUNS_FILE).write_text('{"name": "x"}\n')
    with pytest.raises(BuildError, match=r"runs\.jsonl, line 1: not a run's record"):
        read_records(tmp_path)


@pytest.mark.parametrize("study", ["paper000", "paper004", "readings", "best"])
def test_without_runs_every_cell_of_ours_says_not_run(study):
    tables = render_study(study, plan_study(Part(study, quick=True)), [], "the command")
    rows = [line for line in tables.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    assert "0 of" in tables
    assert all("*not run*" in row for row in rows if row.split("|")[1].strip() not in {"alpha", "gamma", "rule"})


def test_a_cell_that_was_run_stands_beside_the_papers():
    runs = plan_study(Part("paper004", quick=True))
    by_setting = {(run.recipe.compression.alpha, run.recipe.compression.bits): run.recipe for run in runs}
    records = [
        make_record(by_setting[0.0, 32], make_epoch(1, 80.0, 79.0, zeros=0.0)),
        make_record(
            by_setting[0.375, 8],
            make_epoch(1, 70.0, 69.0, kept=50.0),
            make_epoch(2, 71.0, 68.0, kept=40.0),
            deployed=30.0,
        ),
    ]
    tables = render_study("paper004", runs, records, "the command")
    assert "2 of 27 runs are done" in tables
    assert (
        "| 0.375 | 8 | 84.78 % (8.68 %) | 71.00 % (40.00 %) | 70.00 % (50.00 %), n = 1 | +1.00 | 30.00 % | 8 |"
        in tables
    )
    # (71 / 80)^p / (0.4 * 8 / 32), and with what is stored: 30 %, (30 / 60)^p, and 4 bits of 32.
    assert "| 0.375 | 8 | 44.81 / 43.56 / 42.35 | 8.87 / 7.88 / 6.99 | 4.00 / 2.00 / 1.00 |" in tables


def test_what_is_deployed_is_of_the_rate_that_was_chosen():
    plan = plan_study(Part("paper004"))
    rates = [
        run.recipe
        for run in plan
        if (run.recipe.compression.alpha, run.recipe.compression.bits) == (0.375, 8)
        and run.recipe.training.validation_images
        and run.recipe.training.seed == 0
    ]
    chosen = make_record(rates[1], make_epoch(1, 70.0, 65.0, kept=50.0), deployed=69.0)
    passed_over = [
        make_record(rate, make_epoch(1, 20.0, 20.0, kept=50.0), deployed=10.0).model_copy(update={"code_bits": 11})
        for rate in (rates[0], *rates[2:])
    ]
    assert len(passed_over) > 1
    tables = render_study("paper004", plan, [chosen, *passed_over], "the command")
    assert next(line for line in tables.splitlines() if line.startswith("| 0.375 | 8 |")).endswith("| 69.00 % | 8 |")


@pytest.mark.parametrize("study", ["paper000", "paper004"])
def test_of_several_seeds_the_first_is_chosen_by_test_and_all_count_for_the_mean(study):
    """As a paper would report one of them: the best seed is no way to choose."""
    runs = [run for run in plan_study(Part(study, quick=True)) if run.recipe.compression == plan_first(study)]
    tests = (60.0, 70.0, 62.0)
    records = [make_record(run.recipe, make_epoch(1, test, 50.0)) for run, test in zip(runs, tests, strict=True)]
    tables = render_study(study, plan_study(Part(study, quick=True)), records[::-1], "the command")
    row = next(line for line in tables.splitlines() if line.startswith("| 0 | 32 |") and "n = 3" in line)
    assert "| 60.00 %" in row
    assert "70.00 %" not in row
    assert "64.00 ± 5.29 %" in row


def plan_first(study):
    """The compression of a study's first run."""
    return plan_study(Part(study, quick=True))[0].recipe.compression


def make_diverged(recipe, epoch=2):
    return DivergedRun(
        name="a run",
        recipe=recipe,
        recipe_digest=recipe.digest,
        diverged_in_epoch=epoch,
        sentence="the loss is no number any more",
        command="model-builder reproduce",
        commit=None,
        source_digest="sha256:2",
        versions={},
        hardware="a machine",
        finished="2026-01-01T00:00:00Z",
    )


def test_runs_that_diverged_come_back_and_count_until_they_are_done(recipe, tmp_path):
    gone, done = make_diverged(recipe()), make_record(recipe(seed=5))
    append_record(tmp_path, gone)
    append_record(tmp_path, done)
    assert read_runs(tmp_path) == [gone, done]
    assert read_records(tmp_path) == [done]
    append_record(tmp_path, make_record(recipe()))
    assert read_runs(tmp_path) == read_records(tmp_path) == [make_record(recipe()), done]


@pytest.mark.parametrize("study", ["paper000", "paper004", "readings", "best"])
def test_every_cell_of_a_run_that_diverged_says_so(study):
    runs = plan_study(Part(study, quick=True))
    tables = render_study(study, runs, [make_diverged(run.recipe) for run in runs], "the command")
    assert f"0 of {len(runs)} runs are done" in tables
    assert tables.count("- `a run`, in epoch 2: the loss is no number any more") == len(runs)
    first = runs[0].recipe.compression
    rows = [row for row in tables.splitlines() if f"| {first.alpha:g} | {first.bits} |" in row]
    assert all("*diverged in epoch 2*" in row for row in rows if "OffsetRound" in row or study != "readings")
    assert rows


def test_the_tables_tell_what_a_training_elsewhere_ran_on():
    runs = plan_study(Part("best", quick=True))
    surroundings = Surroundings(
        backend="jax",
        versions={"keras": "3.1", "jax": "0.9"},
        hardware="another machine",
        accelerator="an accelerator",
        commit="def",
        source_digest="sha256:3",
    )
    here = make_record(runs[0].recipe)
    there = make_record(runs[1].recipe).model_copy(update={"trained_on": (surroundings,)})
    tables = render_study("best", runs, [here, there], "the command")
    assert (
        "seeds 0; a machine, an accelerator beside another machine; Keras 3 on TensorFlow 2, Keras 3.1 on JAX 0.9;"
        " commit abc, commit def; 2.0 hours" in tables
    )


def test_our_best_has_a_row_for_each_compression_against_the_float_network():
    runs = plan_study(Part("best", quick=True))
    records = [make_record(run.recipe, deployed=60.0 - place) for place, run in enumerate(runs) if place != 2]
    rows = render_study("best", runs, records, "the command").splitlines()[-len(runs) :]
    assert [[cell.strip() for cell in row.split("|")[1:8]] for row in rows] == [
        ["0", "32", "none", "none", "as all", "60.00 %", "+0.00"],
        ["1.25", "8", "tensor", "none", "as all", "59.00 %", "-1.00"],
        ["1.75", "4", "tensor", "none", "as all", "*not run*", "*not run*"],
        ["1.75", "4", "channel", "none", "as all", "57.00 %", "-3.00"],
        ["1.25", "8", "tensor", "50 %", "as all", "56.00 %", "-4.00"],
        ["1.75", "4", "tensor", "50 %", "as all", "55.00 %", "-5.00"],
        ["1.75", "32", "none", "none", "as all", "54.00 %", "-6.00"],
        ["1.25", "8", "tensor", "none", "dense", "53.00 %", "-7.00"],
        ["1.75", "4", "tensor", "none", "dense", "52.00 %", "-8.00"],
        ["1.75", "4", "tensor", "5 %", "dense", "51.00 %", "-9.00"],
        ["1.25", "8", "tensor", "50 %", "dense", "50.00 %", "-10.00"],
    ]


def test_readings_with_weight_decay_stand_apart_from_those_without():
    runs = plan_study(Part("readings", quick=True))
    chosen = [run for run in runs if run.recipe.training.learning_rate == 0.05]
    records = [make_record(run.recipe, make_epoch(1, 50.0 + place, 50.0 + place)) for place, run in enumerate(chosen)]
    rows = [row.split("|")[1:-1] for row in render_study("readings", runs, records, "the command").splitlines()]
    by_rate = [[cell.strip()[:7] for cell in row] for row in rows if len(row) == 5 and row[3].strip() == "0.05"]
    decayed = [[cell.strip()[:7] for cell in row] for row in rows if len(row) == 8 and row[3].strip() == "0.05"]
    assert by_rate == [["OffsetR", "0.375", "8", "0.05", "50.00 %"]]
    assert decayed == [["OffsetR", "0.375", "8", "0.05", "30", "004: 84", "51.00 %", "52.00 %"]]


@pytest.mark.parametrize(("alpha", "bits", "kept"), [(0.375, 32, None), (0.0, 16, 100.0)])
def test_readings_in_place_tell_how_many_weights_are_not_zero_after_which_epoch(alpha, bits, kept):
    """At gamma 0 pruning keeps all of them."""
    runs = plan_study(Part("readings", quick=True))
    run = next(run for run in runs if (run.recipe.compression.alpha, run.recipe.compression.bits) == (alpha, bits))
    curve = [
        make_epoch(epoch, 80.0 if epoch == 5 else 70.0, None, zeros=10.0 * epoch, kept=kept)
        for epoch in (1, 2, 3, 4, 5, 6)
    ]
    tables = render_study("readings", runs, [make_record(run.recipe, *curve)], "the command")
    best = f"80.00 % ({50.0 if kept is None else kept:.2f} %), 5"
    left = "90.0 % | 80.0 % | 50.0 % | *not run* | *not run* | *not run* | *not run*"
    row = next(line for line in tables.splitlines() if line.startswith(f"| {alpha:g} | {bits} "))
    assert f"| {best} | {left} |" in row


def test_runs_of_another_plan_do_not_count(recipe):
    tables = render_study("paper004", plan_study(Part("paper004", quick=True)), [make_record(recipe())], "the command")
    assert "0 of 27 runs are done" in tables


def test_tables_replace_what_stands_between_their_markers():
    marker = format_marker(Part("paper004", quick=True))
    page = f"before\n{marker}\nold\n{END}\nafter\n"
    assert replace_tables(page, marker, "new\n") == f"before\n{marker}\nnew\n{END}\nafter\n"
    assert replace_tables(replace_tables(page, marker, "new"), marker, "old") == page


@pytest.mark.parametrize("page", ["nothing", "<!-- reproduce best -->\nno end"])
def test_a_page_without_markers_is_refused(page):
    with pytest.raises(BuildError, match="the page has no"):
        replace_tables(page, format_marker(Part("best")), "tables")
