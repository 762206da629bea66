from itertools import product
from pathlib import Path

import pytest

from model_artifact.recipe import MAXIMUM_EPOCHS
from model_builder.arguments import make_parser
from model_builder.errors import BuildError
from model_builder.published import PAPER_004_BITS, PAPER_004_GAMMAS, PAPER_004_LEARNING_RATES
from model_builder.recipe_file import read_recipe
from model_builder.reproduce.studies import STRONG_LEARNING_RATE, Part, plan_study, select_runs

ROOT = Path(__file__).parents[3]
STUDIES = ("paper000", "paper004", "readings", "best")


@pytest.mark.parametrize(("study", "quick"), list(product(STUDIES, (False, True))))
def test_names_and_recipes_are_unique_and_every_recipe_is_valid(study, quick):
    runs = plan_study(Part(study, quick=quick))
    assert len({run.name for run in runs}) == len({run.recipe.digest for run in runs}) == len(runs) > 0
    for run in runs:
        assert type(run.recipe).model_validate_json(run.recipe.model_dump_json(by_alias=True)) == run.recipe


def test_paper_004_in_full_is_its_grid_at_every_rate_once_as_published_and_three_times_honestly():
    runs = plan_study(Part("paper004"))
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
    published = [run.recipe for run in plan_study(Part("paper000")) if not run.recipe.training.validation_images]
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


@pytest.mark.parametrize("study", ["paper000", "paper004"])
def test_quick_has_every_cell_with_one_seed_before_another(study):
    found = [(run.recipe.compression, run.recipe.training.seed) for run in plan_study(Part(study, quick=True))]
    cells = [compression for compression, seed in found if seed == 0]
    assert found == [(cell, seed) for seed in (0, 1, 2) for cell in cells]


@pytest.mark.parametrize("study", STUDIES)
def test_quick_is_the_cnn_alone(study):
    assert {run.recipe.training.architecture for run in plan_study(Part(study, quick=True))} == {"CNN"}


@pytest.mark.parametrize(("study", "quick"), list(product(STUDIES, (False, True))))
def test_other_epochs_change_nothing_else_of_the_runs_but_their_names(study, quick):
    whole, fewer = (plan_study(Part(study, quick, epochs)) for epochs in (None, 7))
    assert all("-e7-" in run.name for run in fewer)
    assert [run.recipe.compression for run in fewer] == [run.recipe.compression for run in whole]
    assert [run.recipe.training for run in fewer] == [
        run.recipe.training.model_copy(update={"epochs": 7}) for run in whole
    ]


def test_the_epochs_of_the_study_itself_give_its_own_runs():
    assert plan_study(Part("best", epochs=160)) == plan_study(Part("best"))


@pytest.mark.parametrize("epochs", [-1, 0, MAXIMUM_EPOCHS + 1])
def test_epochs_that_no_recipe_may_have_are_refused(epochs):
    with pytest.raises(BuildError, match=f"--epochs {epochs}: a run of a study has 1 to 10,000"):
        plan_study(Part("best", epochs=epochs))


def test_as_many_epochs_as_a_recipe_may_have_make_one():
    recipe = plan_study(Part("best", epochs=MAXIMUM_EPOCHS))[0].recipe
    assert type(recipe).model_validate_json(recipe.model_dump_json(by_alias=True)) == recipe


@pytest.mark.parametrize(
    ("part", "arguments"),
    [
        (Part("best"), "best"),
        (Part("best", quick=True), "best --quick"),
        (Part("best", epochs=4), "best --epochs 4"),
        (Part("best", True, 4), "best --quick --epochs 4"),
    ],
)
def test_a_part_is_told_as_the_command_takes_it(part, arguments):
    assert part.arguments == arguments
    parsed = make_parser().parse_args(["reproduce", *arguments.split(), "-o", "DIR"])
    assert Part(parsed.study, parsed.quick, parsed.epochs) == part


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
        for run in plan_study(Part("readings", quick=True))
    }
    assert found == {
        (rule, *reading)
        for rule in ("Floor", "OffsetRound")
        for reading in (("Masters", "Step"), ("InPlace", "Step"), ("InPlace", "Epoch"))
    }


def test_only_takes_the_runs_that_have_a_pattern():
    runs = plan_study(Part("paper004", quick=True))
    assert [run.name for run in select_runs(runs, ["a0.375-b8"])] == [
        f"paper004-cnn-offsetround-a0.375-b8-r0.01-e3-v5000-s{seed}" for seed in (0, 1, 2)
    ]
    assert select_runs(runs, []) == runs


def test_only_with_a_pattern_that_fits_none_says_what_there_is():
    with pytest.raises(BuildError, match="--only nothing: fits no run; there are paper004-cnn"):
        select_runs(plan_study(Part("paper004", quick=True)), ["nothing"])
