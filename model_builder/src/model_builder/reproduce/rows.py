"""Markdown tables and the numbers in them. Pure."""

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from model_builder.reproduce.choosing import Choice, Honest
from model_builder.reproduce.records import DivergedRun, RunRecord

NOT_RUN = "*not run*"
_COPIES = {
    "sha256:7772166cd5373d3444501ff3056763f705598525770e33b1f7302cbf038d599a": "CIFAR-10, re-encoded once as JPEG",
}


def format_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; its columns are not aligned, since nobody edits it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tell_diverged(row: Sequence[str], diverged: Sequence[DivergedRun]) -> tuple[str, ...]:
    """The row of a setting of which no run came to its end: where some diverged, it says so in place of *not run*."""
    if not diverged:
        return tuple(row)
    said = f"*diverged in epoch {min(run.diverged_in_epoch for run in diverged)}*"
    return tuple(said if cell == NOT_RUN else cell for cell in row)


def format_percent(value: float | None) -> str:
    """Two decimals; what was not run is said."""
    return NOT_RUN if value is None else f"{value:.2f} %"


def format_points(value: float | None) -> str:
    """A difference of percentages, with its sign."""
    return NOT_RUN if value is None else f"{value:+.2f}"


def format_bytes(value: float) -> str:
    """Three significant digits in kB or MB of 1,000."""
    return f"{value / 1e6:.3g} MB" if value >= 1e6 else f"{value / 1e3:.3g} kB"


def format_choice(choice: Choice | None) -> str:
    """Accuracy, density and the epoch that was chosen."""
    if choice is None:
        return NOT_RUN
    return f"{choice.epoch.test_quality:.2f} % ({choice.density_percent:.2f} %)"


def format_honest(honest: Honest | None) -> str:
    """Mean accuracy, its deviation over the seeds and density."""
    if honest is None:
        return NOT_RUN
    deviation = honest.deviation_points
    spread = "" if deviation is None else f" ± {deviation:.2f}"
    return f"{honest.accuracy_percent:.2f}{spread} % ({honest.density_percent:.2f} %), n = {len(honest.choices)}"


def format_mean(records: Sequence[RunRecord], value: Callable[[RunRecord], float | None], form: str) -> str:
    """The mean of a value over the runs that have it."""
    found = [number for record in records if (number := value(record)) is not None]
    return form.format(fmean(found)) if found else NOT_RUN


def name_data(record: RunRecord) -> str:
    """What to call the images beside a result."""
    return _COPIES.get(record.dataset.digest, record.dataset.name)
