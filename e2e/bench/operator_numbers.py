"""Numbers of `bench.operator_scale`: memory and time of a process, a line through points, targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CLOCK_TICKS = 100


@dataclass(frozen=True)
class Target:
    """What was measured, and the bound that it should keep; None where it is only told."""

    what: str
    measured: float
    unit: str
    bound: float | None = None

    @property
    def verdict(self) -> str:
        """Whether the bound is kept."""
        if self.bound is None:
            return "told"
        return "reached" if self.measured <= self.bound else "NOT reached"


def format_targets(targets: Sequence[Target]) -> str:
    """One line for each."""
    return "\n".join(
        f"| {each.what} | {each.measured:.3g} {each.unit} | {'' if each.bound is None else f'<= {each.bound:g}'} "
        f"| {each.verdict} |"
        for each in targets
    )


def read_memory_mebibytes(process: int, field: str = "VmRSS") -> float:
    """Resident memory of the process: now, or by VmHWM the most so far."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:"))) / 1024


def read_processor_seconds(process: int) -> float:
    """Processor time that the process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def fit_slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line that fits the points best."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]
