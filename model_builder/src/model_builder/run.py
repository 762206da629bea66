"""One training from its first step, or from where it was saved, to its end."""

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from model_artifact.manifest import Epoch, Surroundings
from model_artifact.recipe import NOT_QUANTISED, Recipe
from model_builder.checkpoint import Checkpoints, Position, digest_training
from model_builder.dataset import LabelledImages
from model_builder.engine import Arrays, Steps, make_engine
from model_builder.errors import DivergedError, TrainingInterruptedError
from model_builder.interruption import Interruption
from model_builder.machine import read_surroundings
from model_builder.masters import encode_histogram, make_histogram
from model_builder.memory import explain_memory
from model_builder.progress import Progress
from model_builder.progress_lines import Reporter
from model_builder.rules import Compressed
from model_builder.schedule import (
    Pruning,
    draw_order,
    draw_shifts,
    draw_split,
    plan_calls,
    plan_freeze,
    plan_learning_rate,
    plan_pruning,
    plan_schedule,
    whole_pruning,
)
from model_builder.step import plan_step


@dataclass(frozen=True)
class Outcome:
    """What came out of a training.

    Attributes:
        curve: an entry for each epoch that is done.
        weights: the trainable values in the network's order: masters, or code x step where nothing else is left.
        fixed: the other values.
        kernels: what is deployed of each kernel.
        masters: histograms of the float kernels, where they are others than what is deployed; see `encode_histogram`.
        trained_on: what the training ran on; absent where older versions began it.
    """

    curve: tuple[Epoch, ...]
    weights: list[NDArray[Any]]
    fixed: list[NDArray[Any]]
    kernels: list[Compressed]
    masters: list[NDArray[np.float64]]
    trained_on: tuple[Surroundings, ...] | None


class Run:
    """A training: the loop over epochs and calls, its measurements, its saves."""

    def __init__(
        self,
        network: keras.Model,
        recipe: Recipe,
        data: LabelledImages,
        progress: Progress,
        *,
        checkpoints: Checkpoints | None = None,
        interruption: Interruption | None = None,
    ) -> None:
        self._recipe, self._training, self._rule = recipe, recipe.training, recipe.compression
        self._data, self._checkpoints, self._interruption = data, checkpoints, interruption or Interruption()
        self._schedule = plan_schedule(self._training, len(data.training_labels))
        kept, aside = draw_split(self._training.seed, len(data.training_labels), self._training.validation_images)
        self._trained_on, self._aside = kept, aside
        self._freeze_at = plan_freeze(self._rule, self._schedule)
        self._step = plan_step(network, recipe)
        with self._explained():
            self._engine = make_engine(self._step, data.training_images, data.training_labels)
        backend = keras.backend.backend()
        self._surroundings = read_surroundings(backend, self._engine.accelerator)
        self._position = Position(
            recipe=recipe,
            training_digest=digest_training(recipe),
            data_digest=data.facts.digest,
            backend=backend,
            steps=0,
            seconds=0.0,
            epoch_seconds=0.0,
            curve=(),
            trained_on=(self._surroundings,),
        )
        self._best: Arrays = {}
        self._objective = self._step.objective
        self._report = Reporter(self._schedule, self._objective, progress)
        self._clock = self._saved = time.monotonic()

    def go(self) -> Outcome:
        """Train to the end.

        Raises:
            TrainingError: as `training.train` says.
        """
        with self._interruption.training(), self._explained():
            found = self._checkpoints.read(self._position) if self._checkpoints else None
            if found is not None:
                self._take_up(*found)
                if self._position.finished:
                    return self._outcome_of_arrays(found[1])
            self._clock = self._saved = time.monotonic()
            self._train()
            return self._finish()

    def _take_up(self, position: Position, arrays: Arrays) -> None:
        self._position = position
        self._report.tell_resumed(position.steps)
        if position.finished:
            return
        self._best = {name: values for name, values in arrays.items() if name.startswith("best_")}
        self._note_surroundings()
        names = self._engine.state
        self._engine.load_state({name: arrays.get(name, []) for name in names})

    def _note_surroundings(self) -> None:
        """Add what this process runs on; where older versions began, nobody knows all of it, and none is told."""
        before = self._position.trained_on
        if before is not None and before[-1] != self._surroundings:
            self._position = self._position.model_copy(update={"trained_on": (*before, self._surroundings)})

    def _train(self) -> None:
        schedule = self._schedule
        while True:
            epoch, within = divmod(self._position.steps, schedule.steps_per_epoch)
            if within == 0 and len(self._position.curve) < epoch:
                self._measure_epoch(epoch)
            if self._position.steps >= schedule.steps or self._has_lost_patience():
                return
            if within == 0:
                self._begin_epoch(epoch)
            self._train_epoch(epoch)

    def _begin_epoch(self, epoch: int) -> None:
        overwrite = epoch > 0 and self._rule.compresses and self._rule.frequency == "Epoch"
        self._engine.begin_epoch(overwrite=overwrite, pruning=whole_pruning(self._rule))
        self._position = self._position.model_copy(update={"epoch_seconds": 0.0})

    def _train_epoch(self, epoch: int) -> None:
        seed, count = self._training.seed, len(self._trained_on)
        order = self._trained_on[draw_order(seed, epoch, count)]
        sides = self._data.training_images.shape[1:3]
        shifts = draw_shifts(seed, epoch, count, sides) if self._training.recipe == "Strong" else None
        calls = plan_calls(self._schedule, epoch, steps_a_call=self._engine.steps_a_call, apart=self._freeze_at)
        for begin, end in calls:
            if end <= self._position.steps:
                continue
            if begin >= self._freeze_at and not self._engine.state["masks"]:
                self._engine.freeze(whole_pruning(self._rule))
            # Where it went on with calls of another length, a part of this one may be done.
            self._engine.run(self._plan_steps(epoch, max(begin, self._position.steps), end, order, shifts))
            self._count(end)
        if self._position.steps % self._schedule.steps_per_epoch:
            self._report_cut(epoch)

    def _plan_steps(
        self, epoch: int, begin: int, end: int, order: NDArray[np.int32], shifts: NDArray[np.int32] | None
    ) -> Steps:
        size, first = self._training.batch_size, epoch * self._schedule.steps_per_epoch
        places = slice((begin - first) * size, (end - first) * size)
        numbers = range(begin, end)
        prunings = [plan_pruning(self._rule, self._schedule, step) for step in numbers]
        return Steps(
            order[places].reshape(end - begin, -1),
            None if shifts is None else shifts[places].reshape(end - begin, -1, 3),
            np.array([plan_learning_rate(self._training, self._schedule, step) for step in numbers], np.float32),
            Pruning(*(np.array(part, np.float32) for part in zip(*prunings, strict=True))),
        )

    def _count(self, steps: int) -> None:
        """After a call: note where we are, tell it, save it where it is time, and end where that was asked for."""
        self._advance_clock()
        self._position = self._position.model_copy(update={"steps": steps})
        if self._report.is_due(steps):
            self._check_loss(self._engine.read_sums().loss)
            self._report.tell_step(steps, self._engine.read_sums(), self._zeros_percent)
        if self._interruption.asked:
            self._end_early()
        if self._checkpoints and time.monotonic() - self._saved >= self._checkpoints.seconds_between:
            self._save()

    def _advance_clock(self) -> None:
        now = time.monotonic()
        passed, self._clock = now - self._clock, now
        position = self._position
        self._position = position.model_copy(
            update={"seconds": position.seconds + passed, "epoch_seconds": position.epoch_seconds + passed}
        )

    def _measure_epoch(self, epoch: int) -> None:
        """Measure the compressed weights and append to the curve."""
        loss, tally, images, kept = self._engine.read_sums()
        self._check_loss(loss)
        pruning = plan_pruning(self._rule, self._schedule, self._position.steps)
        kernels = self._engine.deploy(pruning)
        weights = self._engine.deployed_weights(kernels, pruning)
        aside = self._data.training_images[self._aside], self._data.training_labels[self._aside]
        validation = self._judge(weights, *aside, "validation") if len(self._aside) else None
        test = self._judge(weights, self._data.test_images, self._data.test_labels, "test")
        entry = Epoch(
            epoch=epoch,
            loss=loss / images,
            **self._objective.record(self._objective.measure(tally, images), test, validation),
            zeros_percent=self._zeros_percent_of(kernels),
            kept_percent=self._kept_percent(kernels, kept),
            steps_per_second=self._schedule.steps_per_epoch / self._position.epoch_seconds,
        )
        self._position = self._position.model_copy(update={"curve": (*self._position.curve, entry)})
        self._note_best(kernels, pruning)
        self._report.tell_epoch(entry)
        self._clock = time.monotonic()

    def _judge(self, weights: Sequence[Any], images: NDArray[Any], labels: NDArray[Any], which: str) -> float:
        tally = np.zeros(self._objective.tally_shape)
        for batch, part in enumerate(self._engine.count(weights, images, labels), 1):
            tally += part
            self._report.tell_measuring(len(self._position.curve) + 1, batch, which)
            if self._interruption.asked:
                self._end_early()
        value = self._objective.measure(tally, len(labels))
        self._check_number(value, f"the {self._objective.name} of the {which} images")
        return value

    def _kept_percent(self, kernels: Sequence[Compressed], kept: float) -> float:
        """Share of the weights that pruning left: in the last step, where what it left is not kept."""
        if not self._step.overwrites:
            kept = float(sum(int(np.asarray(kernel.kept)) for kernel in kernels))
        return 100 * kept / _count_weights(kernels)

    def _note_best(self, kernels: list[Compressed], pruning: Pruning) -> None:
        """Keep the weights of the epoch with the best quality, once alpha has risen to the recipe's."""
        best = self._best_of_curve()
        if best is not None and best.epoch == self._position.curve[-1].epoch:
            self._position = self._position.model_copy(update={"best_epoch": best.epoch})
            if self._training.keep == "Best":
                self._best = {f"best_{name}": values for name, values in self._snapshot(kernels, pruning).items()}

    def _best_of_curve(self) -> Epoch | None:
        risen = self._rule.chosen_ramp * self._schedule.whole
        counted = [entry for entry in self._position.curve if entry.epoch * self._schedule.steps_per_epoch >= risen]
        best = max if self._objective.larger_is_better else min
        return best(counted, key=_judged_quality, default=None)  # the first of equals

    def _has_lost_patience(self) -> bool:
        best = self._best_of_curve()
        if self._training.patience is None or best is None:
            return False
        return self._position.curve[-1].epoch - best.epoch >= self._training.patience

    def _snapshot(self, kernels: Sequence[Compressed], pruning: Pruning) -> Arrays:
        """What is deployed: kernels as codes, the other values as they are."""
        state, weights = self._engine.read_state(), self._engine.deployed_weights(kernels, pruning)
        others = [np.asarray(value) for index, value in enumerate(weights) if index not in self._step.kernels]
        codes = [np.asarray(kernel.codes) for kernel in kernels]
        if self._rule.bits != NOT_QUANTISED:
            codes = [narrow_whole(kernel) for kernel in codes]
        counts = [np.array([int(np.asarray(part)) for part in kernel[2:]], np.int64) for kernel in kernels]
        steps = [np.asarray(kernel.step, np.float32) for kernel in kernels]
        made = {"codes": codes, "steps": steps, "counts": counts, "others": others, "fixed": state["fixed"]}
        masters = [state["weights"][index] for index in self._step.kernels]
        return {**made, "masters": self._describe_masters(masters, kernels)}

    def _describe_masters(
        self, masters: Sequence[NDArray[Any]], kernels: Sequence[Compressed]
    ) -> list[NDArray[np.float64]]:
        """Histograms of the float kernels (paper 000, fig. 2a); none where nothing else than C is left of them."""
        if not self._rule.compresses or self._step.overwrites:
            return []
        pairs = zip(masters, kernels, strict=True)
        if all(np.array_equal(master, np.asarray(kernel.weights)) for master, kernel in pairs):
            return []
        return [encode_histogram(make_histogram("", master)) for master in masters]

    def _finish(self) -> Outcome:
        best = {name.removeprefix("best_"): values for name, values in self._best.items()}
        pruning = whole_pruning(self._rule)
        arrays = best or self._snapshot(self._engine.deploy(pruning), pruning)
        self._position = self._position.model_copy(update={"finished": True})
        if self._checkpoints:
            self._checkpoints.write(self._position, arrays)
        outcome = self._outcome_of_arrays(arrays)
        if best or self._step.overwrites:
            return outcome
        masters = {index: np.asarray(self._engine.state["weights"][index]) for index in self._step.kernels}
        return replace(outcome, weights=[masters.get(index, value) for index, value in enumerate(outcome.weights)])

    def _outcome_of_arrays(self, arrays: Arrays) -> Outcome:
        triples = zip(arrays["codes"], arrays["steps"], arrays["counts"], strict=True)
        kernels = [Compressed(codes.astype(np.float32), step, *counts) for codes, step, counts in triples]
        others = iter(arrays["others"])
        deployed = dict(zip(self._step.kernels, kernels, strict=True))
        count = len(kernels) + len(arrays["others"])
        weights = [deployed[index].weights if index in deployed else next(others) for index in range(count)]
        fixed, masters = arrays.get("fixed", []), arrays.get("masters", [])  # a network may have none
        return Outcome(self._position.curve, weights, fixed, kernels, masters, self._position.trained_on)

    def _save(self) -> None:
        if self._checkpoints:
            self._check_loss(self._engine.read_sums().loss)
            self._checkpoints.write(self._position, {**self._engine.read_state(), **self._best})
        self._saved = self._clock = time.monotonic()

    def _end_early(self) -> None:
        self._save()
        where = (
            f"saved in {self._checkpoints.folder}, it goes on from there" if self._checkpoints else "nothing is saved"
        )
        raise TrainingInterruptedError(
            f"training ended on request after step {self._position.steps:,} of {self._schedule.steps:,}; {where}",
            self._interruption.exit_code,
        )

    def _report_cut(self, epoch: int) -> None:
        sums = self._engine.read_sums()
        self._check_loss(sums.loss)
        self._report.tell_cut(epoch, sums, self._zeros_percent())

    def _zeros_percent(self) -> float:
        pruning = plan_pruning(self._rule, self._schedule, self._position.steps)
        return self._zeros_percent_of(self._engine.deploy(pruning))

    def _zeros_percent_of(self, kernels: Sequence[Compressed]) -> float:
        return 100.0 * (1 - self._engine.count_nonzero(kernels) / _count_weights(kernels))

    def _check_loss(self, loss: float) -> None:
        self._check_number(loss, "the loss")

    def _check_number(self, value: float, what: str) -> None:
        if not np.isfinite(value):
            classifies, learns = self._training.task == "Classification", self._training.task == "Regression"
            other = ", or take the recipe Strong" if classifies else ", or scale the targets down" if learns else ""
            raise DivergedError(
                f"{what} is no number any more by step {self._position.steps:,}: learningRate"
                f" {self._training.learning_rate:g} is too high for this network; lower it{other}",
                max(self._position.steps - 1, 0) // self._schedule.steps_per_epoch + 1,
            )

    def _explained(self) -> AbstractContextManager[None]:
        return explain_memory(f"train with batchSize {self._training.batch_size}", lower="it")


_INTEGERS = ((8, np.int8), (16, np.int16), (32, np.int32), (64, np.int64))


def _count_weights(kernels: Sequence[Compressed]) -> int:
    return sum(math.prod(kernel.codes.shape) for kernel in kernels)


def _judged_quality(entry: Epoch) -> float:
    """Of the images set aside; of the test images where none are, as the papers did."""
    aside = entry.validation_quality
    return entry.test_quality if aside is None else aside


def narrow_whole(codes: NDArray[np.float32]) -> NDArray[Any]:
    """Whole numbers in the smallest signed integers that hold them, and as they are where none do: nothing wraps."""
    largest = float(np.max(np.abs(codes), initial=0))
    return codes.astype(next((kind for bits, kind in _INTEGERS if largest < 2 ** (bits - 1)), np.float32))
