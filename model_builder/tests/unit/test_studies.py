from itertools import product
from pathlib import Path

import pytest

from model_builder.errors import BuildError
from model_builder.published import PAPER_004_BITS, PAPER_004_GAMMAS, PAPER_004_LEARNING_RATES
from model_builder.recipe_file import read_recipe
from model_builder.reproduce.studies import SHORT_EPOCHS, STRONG_LEARNING_RATE, plan_study, select_runs

ROOT = Path(__file__).parents[3]
STUDIES = ("paper000", "paper004", "readings", "best", "short")


@pytest.mark.parametrize(("study", "quick"), list(product(STUDIES, (False, True))))
def test_names_and_recipes_are_unique_and_every_recipe_is_valid(study, quick):
    runs = plan_study(study, quick=quick)
    assert len({run.name for run in runs}) == len({run.recipe.digest for run in runs}) == len(runs) > 0
    for run in runs:
        assert type(run.recipe).model_validate_json(run.recipe.model_dump_json(by_alias=True)) == run.recipe


def test_paper_004_in_full_is_its_grid_at_every_rate_once_as_published_and_three_times_honestly():
    runs = plan_study("paper004", quick=False)
    grid = set(product(PAPER_004_GAMMAS, PAPER_004_BITS, PAPER_004_LEARNING_RATES))
    found = [
        (
            (run.recipe.compression.alpha, run.recipe.compression.bits, run.recipe.training.learning_rate),
            run.recipe.training.validation_images,
            run.recipe.training.seed,
        )
        for run in runs
    ]
    assert sorted(found) == sorted(
        [(cell, 0, 0) for cell in grid] + [(cell, 5_000, s) for cell in grid for s in range(3)]
    )


def test_paper_000_in_full_has_six_configurations_as_published():
    published = [run.recipe for run in plan_study("paper000", quick=False) if not run.recipe.training.validation_images]
    assert {(r.compression.alpha, r.compression.bits) for r in published} == set(product((0, 0.5, 1.25), (32, 8)))
    assert {r.compression.rule for r in published} == {"Floor"}
    training = {
        (
            r.training.architecture,
            r.training.learning_rate,
            r.training.momentum,
            r.training.batch_size,
            r.training.epochs,
        )
        for r in published
    }
    assert training == {("VGG16", 0.05, 0.9, 64, 50)}


@pytest.mark.parametrize("study", STUDIES[:-1])
def test_quick_is_the_cnn_alone(study):
    assert {run.recipe.training.architecture for run in plan_study(study, quick=True)} == {"CNN"}


def test_short_is_the_best_of_vgg_16_in_fewer_epochs():
    fewer = {run.recipe.training.epochs for run in plan_study("short", quick=False)}
    assert fewer == {run.recipe.training.epochs for run in plan_study("short", quick=True)} == {SHORT_EPOCHS}
    of_best = [run.recipe.compression for run in plan_study("best", quick=False)]
    assert [run.recipe.compression for run in plan_study("short", quick=False)] == of_best


@pytest.mark.parametrize("name", ["vgg16-strong-a0-b32", "vgg16-strong-a125-b8"])
def test_the_examples_of_vgg_16_train_at_the_rate_of_the_study(name):
    recipe = read_recipe(ROOT / "examples" / "recipes" / f"{name}.yaml")
    assert recipe.training.learning_rate == STRONG_LEARNING_RATE


def test_the_page_has_a_row_for_every_study():
    page = (ROOT / "docs" / "model-builder.md").read_text()
    assert [study for study in STUDIES if f"\n| `{study}` |" not in page] == []


def test_readings_cover_both_readings_of_both_rules():
    found = {
        (run.recipe.compression.rule, run.recipe.compression.chosen_update, run.recipe.compression.frequency)
        for run in plan_study("readings", quick=True)
    }
    assert found == {
        (rule, *reading)
        for rule in ("Floor", "OffsetRound")
        for reading in (("Masters", "Step"), ("InPlace", "Step"), ("InPlace", "Epoch"))
    }


def test_only_takes_the_runs_that_have_a_pattern():
    runs = plan_study("paper004", quick=True)
    assert [run.name for run in select_runs(runs, ["a0.375-b8"])] == [
        "paper004-cnn-offsetround-a0.375-b8-r0.01-e3-v5000-s0"
    ]
    assert select_runs(runs, []) == runs


def test_only_with_a_pattern_that_fits_none_says_what_there_is():
    with pytest.raises(BuildError, match="--only nothing: fits no run; there are paper004-cnn"):
        select_runs(plan_study("paper004", quick=True), ["nothing"])
