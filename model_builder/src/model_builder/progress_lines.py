"""What a training says of itself while it runs: sentences for people, numbers for the operator."""

import time
from collections.abc import Callable
from typing import Any

from model_artifact.manifest import Epoch
from model_artifact.summary import BuildProgress
from model_builder.engine import Sums
from model_builder.objective import Objective
from model_builder.progress import Progress
from model_builder.schedule import Schedule

SECONDS_BETWEEN_REPORTS = 3.0  # so that a line comes every five seconds where a step takes two
SECONDS_BETWEEN_ZEROS = 30.0  # counting them takes as long as a tenth of a step of a large network


class Reporter:
    """Tells every few seconds how far a training is."""

    def __init__(self, schedule: Schedule, objective: Objective, progress: Progress) -> None:
        self._schedule, self._objective, self._progress = schedule, objective, progress
        self._reported = time.monotonic()
        self._first: tuple[int, float] | None = None
        self._zeros: tuple[float, float] | None = None

    def is_due(self, steps: int) -> bool:
        """Whether it is time to tell of a step.

        The first step of this process also compiles, and tells nothing of the others.
        """
        now = time.monotonic()
        if self._first is None:
            self._first = steps, now
            return False
        return now - self._reported >= SECONDS_BETWEEN_REPORTS

    def tell_step(self, steps: int, sums: Sums, count_zeros: Callable[[], float]) -> None:
        """How far training is.

        Args:
            steps: that are done in all.
            sums: since the epoch began.
            count_zeros: gives the share of zeros in percent; asked now and then.
        """
        epoch, within = divmod(steps - 1, self._schedule.steps_per_epoch)
        first, since = self._first or (0, self._reported)
        rate = (steps - first) / max(time.monotonic() - since, 1e-9)
        eta, quality = int((self._schedule.steps - steps) / rate), self._objective.measure(sums.tally, sums.images)
        zeros = self._recent_zeros(count_zeros)
        self._tell(
            epoch + 1,
            f"  step {within + 1}/{self._schedule.steps_per_epoch}  {self._name(quality, 1)}  zeros {zeros:.1f} %"
            f"  {rate:.1f} steps/s  ETA {format_eta(eta)}",
            steps_per_second=round(rate, 3),
            eta_seconds=eta,
            **self._objective.describe(quality),
            zeros_percent=round(zeros, 2),
            loss=round(sums.loss / sums.images, 4),
        )

    def _name(self, quality: float, decimals: int = 2) -> str:
        return f"{self._objective.name} {self._objective.format(quality, decimals)}"

    def _recent_zeros(self, count_zeros: Callable[[], float]) -> float:
        now = time.monotonic()
        if self._zeros is None or now - self._zeros[1] >= SECONDS_BETWEEN_ZEROS:
            self._zeros = count_zeros(), now
        return self._zeros[0]

    def tell_measuring(self, epoch: int, batch: int, which: str) -> None:
        """That a batch of the test or validation images is measured; not more often than every few seconds."""
        if time.monotonic() - self._reported >= SECONDS_BETWEEN_REPORTS:
            self._tell(epoch, f"  batch {batch} of the {which} images")

    def tell_epoch(self, entry: Epoch) -> None:
        """That an epoch is done."""
        validation, rate = entry.validation_quality, entry.steps_per_second
        steps_left = self._schedule.steps - entry.epoch * self._schedule.steps_per_epoch
        aside = "" if validation is None else f"validation {self._objective.format(validation)}, "
        self._tell(
            entry.epoch,
            f" done: loss {entry.loss:.4f}, {self._name(entry.quality)}, {aside}"
            f"test {self._objective.format(entry.test_quality)}, zeros {entry.zeros_percent:.2f} %",
            steps_per_second=round(rate, 3),
            eta_seconds=int(steps_left / rate),
            **self._objective.describe(entry.quality, entry.test_quality),
            zeros_percent=round(entry.zeros_percent, 2),
            loss=round(entry.loss, 4),
        )

    def tell_cut(self, epoch: int, sums: Sums, zeros: float) -> None:
        """That the recipe's maximum of steps ended training within an epoch."""
        loss, quality = sums.loss / sums.images, self._objective.measure(sums.tally, sums.images)
        self._tell(
            epoch + 1,
            f" ended after {self._schedule.steps} of {self._schedule.whole} steps: loss {loss:.4f},"
            f" {self._name(quality)}, zeros {zeros:.2f} %",
            **self._objective.describe(quality),
            zeros_percent=round(zeros, 2),
            loss=round(loss, 4),
        )

    def tell_resumed(self, steps: int) -> None:
        """That training goes on from where it was saved."""
        epoch = steps // self._schedule.steps_per_epoch
        self._tell(
            min(epoch + 1, self._schedule.epochs), f": going on after step {steps:,} of {self._schedule.steps:,}"
        )

    def _tell(self, epoch: int, text: str, **facts: Any) -> None:
        self._reported = time.monotonic()
        epochs = self._schedule.epochs
        message = f"epoch {epoch}/{epochs}{text}"
        self._progress(BuildProgress(phase="Training", epoch=epoch, epochs=epochs, message=message, **facts))


def format_eta(seconds: int) -> str:
    """Minutes and seconds, or hours, minutes and seconds."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
