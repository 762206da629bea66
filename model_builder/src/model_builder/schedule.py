"""What happens at which step of a training: learning rate, alpha, frozen mask, order and shifts of the images.

Pure: every value follows from the recipe and the number of the step, so a training that is taken up again needs no
state of its own for them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_artifact.recipe import Compression, Training
from model_builder.errors import BuildError

WARM_UP = 0.05
"""Share of a Strong training in which the learning rate rises."""
CROP_SHARE = 8
"""A Strong training moves an image by at most this part of its side, in each direction: 4 of 32 pixels."""

_ORDER, _SHIFTS, _SPLIT = 0, 1, 2  # apart, so that one more draw of one kind changes none of another


@dataclass(frozen=True)
class Schedule:
    """How many steps a training takes, and how many of them are done.

    Attributes:
        epochs: that the recipe asks for.
        steps_per_epoch: batches of the training images, the last one perhaps smaller.
        steps: that are done in all.
    """

    epochs: int
    steps_per_epoch: int
    steps: int

    @property
    def whole(self) -> int:
        """Steps of all epochs, also where a maximum cuts them short: what rates and shares refer to."""
        return self.epochs * self.steps_per_epoch

    @property
    def in_full(self) -> bool:
        """Whether every epoch is done to its end."""
        return self.steps == self.whole

    @property
    def full_epochs(self) -> int:
        """Epochs that are done to their end."""
        return self.steps // self.steps_per_epoch


def plan_schedule(training: Training, images: int) -> Schedule:
    """All epochs over that many images without those set aside, or fewer steps where the recipe has a maximum.

    Raises:
        BuildError: when no image is left to train on.
    """
    left = images - training.validation_images
    if left < 1:
        raise BuildError(
            f"validationImages is {training.validation_images:,}, but there are {images:,} training images; lower it"
        )
    steps_per_epoch = -(-left // training.batch_size)
    whole = training.epochs * steps_per_epoch
    return Schedule(training.epochs, steps_per_epoch, min(whole, training.maximum_steps or whole))


def plan_learning_rate(training: Training, schedule: Schedule, step: int) -> float:
    """The learning rate of a step, from 0.

    Constant; Cosine, from the recipe's rate to zero over all steps; or that of Strong, which rises linearly to the
    recipe's rate in the first twentieth and falls to zero as a cosine in the rest.
    """
    if training.recipe == "Strong":
        rising = max(1, round(WARM_UP * schedule.whole))
        if step < rising:
            return training.learning_rate * (step + 1) / rising
        return training.learning_rate * _cosine((step - rising) / max(1, schedule.whole - rising))
    if training.learning_rate_schedule == "Cosine":
        return training.learning_rate * _cosine(step / schedule.whole)
    return training.learning_rate


def _cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


class Pruning(NamedTuple):
    """How hard a step prunes: numbers, or tensors of them.

    Attributes:
        alpha: pruning strength.
        channels: share of each hidden layer's channels that goes as a whole; 0 where a recipe does not ask for it.
    """

    alpha: Any
    channels: Any


def whole_pruning(compression: Compression) -> Pruning:
    """What the recipe asks for, when nothing rises any more."""
    return Pruning(compression.alpha, compression.channel_sparsity or 0.0)


def plan_pruning(compression: Compression, schedule: Schedule, step: int) -> Pruning:
    """What a step prunes: all of it times 1 - (1 - t)^3, t from 0 to 1 over the ramp's share of the training."""
    rising = compression.chosen_ramp * schedule.whole
    share = min(1.0, step / rising) if rising > 0 else 1.0
    whole = whole_pruning(compression)
    return Pruning(*(float(part * (1 - (1 - share) ** 3)) for part in whole))


def plan_freeze(compression: Compression, schedule: Schedule) -> int:
    """The first step whose mask is the one that was frozen; the number of all steps where none is."""
    if not compression.compresses:
        return schedule.whole
    return schedule.whole - round(compression.chosen_freeze * schedule.whole)


def plan_calls(schedule: Schedule, epoch: int, *, steps_a_call: int, apart: int) -> Iterator[tuple[int, int]]:
    """The steps [begin, end) of an epoch that are run by one call each, counted over all epochs.

    Args:
        schedule: of the training.
        epoch: from 0.
        steps_a_call: in a call at most; those at the end that do not fill one are called one by one, so that there are
            few lengths to compile. The epoch's last step is always alone, its batch being smaller.
        apart: a step that must begin a call.
    """
    begin = epoch * schedule.steps_per_epoch
    last = begin + schedule.steps_per_epoch - 1
    ends = sorted({min(max(apart, begin), last), last, last + 1})
    for end in ends:
        while begin < end:
            length = steps_a_call if begin + steps_a_call <= end else 1
            stop = min(begin + length, schedule.steps)
            if begin >= stop:
                return
            yield begin, stop
            begin = stop


def draw_order(seed: int, epoch: int, images: int) -> NDArray[np.int32]:
    """The order in which an epoch takes the training images: a permutation, int32."""
    return np.random.default_rng((seed, _ORDER, epoch)).permutation(images).astype(np.int32)


def draw_shifts(seed: int, epoch: int, images: int, sides: tuple[int, int]) -> NDArray[np.int32]:
    """For each place of an epoch's order: rows and columns to move by, and 1 to flip; int32, shape (n, 3).

    Args:
        seed: of the recipe.
        epoch: from 0.
        images: in the order.
        sides: their height and width; an eighth of each is the largest move.
    """
    random = np.random.default_rng((seed, _SHIFTS, epoch))
    moves = [random.integers(-(side // CROP_SHARE), side // CROP_SHARE + 1, images) for side in sides]
    return np.stack([*moves, random.integers(0, 2, images)], axis=1).astype(np.int32)


def draw_split(seed: int, images: int, aside: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Which training images are trained on and which are set aside for validation, each in their own order."""
    drawn = np.random.default_rng((seed, _SPLIT)).permutation(images).astype(np.int32)
    return np.sort(drawn[aside:]), np.sort(drawn[:aside])
