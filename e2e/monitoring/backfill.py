"""Series of the past in a Prometheus' data folder, so that windows of minutes can be asked for at once."""

import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from monitoring.errors import MonitoringError

SCRAPE_SECONDS = 15


@dataclass(frozen=True)
class Series:
    """One series, as it would have been scraped.

    Attributes:
        name: of the metric.
        labels: all of them.
        value: of the seconds since now, which are negative in the past.
        begins: seconds since now of the first sample.
        ends: those of the last one, or a little more.
        every: seconds between two scrapes.
    """

    name: str
    labels: Mapping[str, str]
    value: Callable[[float], float]
    begins: float = -3600
    ends: float = 0
    every: float = SCRAPE_SECONDS


def write_series(promtool: Path, series: Iterable[Series], now: float, data: Path) -> None:
    """Make the data folder of a Prometheus that has scraped these; it is not to run yet.

    Raises:
        MonitoringError: when promtool does not take them.
    """
    page = data.with_name(f"{data.name}.txt")
    lines = []
    for each in sorted(series, key=lambda one: one.name):
        labels = ",".join(f'{name}="{value}"' for name, value in each.labels.items())
        count = int((each.ends - each.begins) // each.every) + 1
        for place in range(count):
            at = each.begins + place * each.every
            lines.append(f"{each.name}{{{labels}}} {each.value(at)!r} {now + at:.3f}\n")
    page.write_text(f"{''.join(lines)}# EOF\n")
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", page, data]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise MonitoringError(f"promtool does not take {page}: {done.stderr[-500:]}")
