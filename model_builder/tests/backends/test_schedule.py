import numpy as np
import pytest

from model_artifact.recipe import Compression, Training
from model_builder.augmentation import shift_images
from model_builder.schedule import (
    Schedule,
    draw_order,
    draw_shifts,
    draw_split,
    plan_calls,
    plan_freeze,
    plan_learning_rate,
    plan_pruning,
)

WHOLE = Schedule(epochs=10, steps_per_epoch=10, steps=100)


def training(**fields):
    return Training(architecture="SmallCNN", dataset="Digits", learning_rate=0.1, **fields)


def rates(chosen):
    return [plan_learning_rate(chosen, WHOLE, step) for step in range(WHOLE.whole)]


def test_a_constant_rate_stays():
    assert set(rates(training())) == {0.1}


def test_a_cosine_falls_from_the_rate_to_zero():
    found = rates(training(learning_rate_schedule="Cosine"))
    assert found[0] == 0.1
    assert found[50] == pytest.approx(0.05)
    assert found == sorted(found, reverse=True)
    assert found[-1] < 1e-4


def test_strong_rises_linearly_and_falls_as_a_cosine():
    found = rates(training(recipe="Strong"))
    assert found[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert found[5] == 0.1
    assert found[5:] == sorted(found[5:], reverse=True)
    assert found[-1] < 1e-4


def test_alpha_rises_cubically_over_the_ramp_and_stays():
    shadow = Compression(alpha=2.0, bits=8, rule="Shadow", ramp=0.5)
    found = [plan_pruning(shadow, WHOLE, step).alpha for step in range(101)]
    assert found[0] == 0
    assert found[25] == pytest.approx(2 * (1 - 0.5**3))
    assert found == sorted(found)
    assert set(found[50:]) == {2.0}


def test_the_share_of_channels_that_goes_rises_as_alpha_does():
    shadow = Compression(alpha=0.0, bits=8, rule="Shadow", ramp=0.5, channel_sparsity=0.5)
    found = [plan_pruning(shadow, WHOLE, step).channels for step in range(101)]
    assert found[0] == 0
    assert found[25] == pytest.approx(0.5 * (1 - 0.5**3))
    assert set(found[50:]) == {0.5}


@pytest.mark.parametrize("rule", ["Floor", "OffsetRound"])
def test_published_rules_have_their_alpha_at_once_and_freeze_nothing(rule):
    compression = Compression(alpha=1.25, bits=8, rule=rule)
    assert plan_pruning(compression, WHOLE, 0) == (1.25, 0.0)
    assert plan_freeze(compression, WHOLE) == 100


def test_the_mask_is_frozen_for_the_last_share():
    assert plan_freeze(Compression(alpha=1, bits=8, rule="Shadow", freeze=0.2), WHOLE) == 80
    assert plan_freeze(Compression(alpha=1, bits=8, rule="Shadow"), WHOLE) == 75
    assert plan_freeze(Compression(alpha=0, bits=32, rule="Shadow"), WHOLE) == 100


@pytest.mark.parametrize(
    ("at_once", "apart", "expected"),
    [
        (1, 100, [(n, n + 1) for n in range(10, 20)]),
        (4, 100, [(10, 14), (14, 18), (18, 19), (19, 20)]),
        (4, 15, [(10, 14), (14, 15), (15, 19), (19, 20)]),
        (4, 12, [(10, 11), (11, 12), (12, 16), (16, 17), (17, 18), (18, 19), (19, 20)]),
        (64, 100, [(n, n + 1) for n in range(10, 20)]),
    ],
)
def test_calls_cover_an_epoch_once_and_begin_where_they_must(at_once, apart, expected):
    assert list(plan_calls(WHOLE, 1, steps_a_call=at_once, apart=apart)) == expected


def test_calls_end_with_the_last_step_that_is_done():
    cut = Schedule(epochs=10, steps_per_epoch=10, steps=16)
    assert list(plan_calls(cut, 1, steps_a_call=4, apart=100)) == [(10, 14), (14, 16)]


def test_every_epoch_has_an_order_of_its_own():
    first, second = draw_order(0, 0, 100), draw_order(0, 1, 100)
    assert sorted(first) == sorted(second) == list(range(100))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, draw_order(0, 0, 100))


def test_images_set_aside_are_not_trained_on():
    kept, aside = draw_split(3, 100, 20)
    assert (len(kept), len(aside)) == (80, 20)
    assert sorted([*kept, *aside]) == list(range(100))


def test_shifts_move_by_an_eighth_at_most():
    shifts = draw_shifts(0, 0, 4000, (32, 16))
    assert [(int(column.min()), int(column.max())) for column in shifts.T] == [(-4, 4), (-2, 2), (0, 1)]


def test_no_shift_leaves_images_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    assert np.array_equal(np.asarray(shift_images(images, np.zeros((3, 3), np.int32))), images)


def test_shifts_move_and_flip_each_image_by_itself():
    images = np.random.default_rng(0).integers(1, 256, (3, 16, 8, 1)).astype(np.uint8)
    moved = np.asarray(shift_images(images, np.array([[1, 0, 0], [-2, 1, 0], [0, 0, 1]], np.int32)))
    assert np.array_equal(moved[0, :-1], images[0, 1:])
    assert not moved[0, -1].any()
    assert np.array_equal(moved[1, 2:, :-1], images[1, :-2, 1:])
    assert not moved[1, :2].any()
    assert np.array_equal(moved[2], images[2, :, ::-1])
