"""How an epoch and a learning rate are chosen from runs: by test images, as papers do, or by held-out ones. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from model_artifact.manifest import Epoch
from model_builder.reproduce.records import RunRecord


@dataclass(frozen=True)
class Choice:
    """One epoch of one run.

    Attributes:
        record: the run.
        epoch: that was chosen.
    """

    record: RunRecord
    epoch: Epoch

    @property
    def density_percent(self) -> float:
        """Share of the weights that pruning left in that epoch, as paper 004 counts."""
        kept = self.epoch.kept_percent
        return 100 - self.epoch.zeros_percent if kept is None else kept


def choose_by_test(records: Sequence[RunRecord]) -> Choice | None:
    """The run and epoch with the largest test accuracy: what paper 004 reports; the first of equals."""
    choices = [Choice(record, epoch) for record in records for epoch in record.curve]
    return max(choices, key=lambda choice: choice.epoch.test_quality, default=None)


def choose_by_validation(records: Sequence[RunRecord]) -> Choice | None:
    """The run and epoch with the largest accuracy on held-out images; the first of equals, None without any."""
    choices = [
        Choice(record, epoch)
        for record in records
        for epoch in record.curve
        if epoch.validation_accuracy_percent is not None
    ]
    return max(choices, key=lambda choice: choice.epoch.validation_accuracy_percent or 0.0, default=None)


@dataclass(frozen=True)
class Honest:
    """One choice for each seed, none of them made by the test images.

    Attributes:
        choices: the run and epoch of each seed.
        optimism_points: by how much choosing by the test images among the same runs says more, on average.
    """

    choices: tuple[Choice, ...]
    optimism_points: float

    @property
    def accuracy_percent(self) -> float:
        """Mean test accuracy over the seeds."""
        return fmean(choice.epoch.test_quality for choice in self.choices)

    @property
    def deviation_points(self) -> float | None:
        """Sample standard deviation over the seeds; None for one."""
        if len(self.choices) == 1:
            return None
        return stdev(choice.epoch.test_quality for choice in self.choices)

    @property
    def density_percent(self) -> float:
        """Mean over the seeds."""
        return fmean(choice.density_percent for choice in self.choices)


def choose_honestly(records: Sequence[RunRecord]) -> Honest | None:
    """For each seed the epoch and rate that held-out images choose; None where no run held any out."""
    chosen: list[Choice] = []
    optimism: list[float] = []
    for seed in sorted({record.recipe.training.seed for record in records}):
        of_seed = [
            record
            for record in records
            if record.recipe.training.seed == seed and record.recipe.training.validation_images
        ]
        honest, by_test = choose_by_validation(of_seed), choose_by_test(of_seed)
        if honest is not None and by_test is not None:
            chosen.append(honest)
            optimism.append(by_test.epoch.test_quality - honest.epoch.test_quality)
    return Honest(tuple(chosen), fmean(optimism)) if chosen else None
