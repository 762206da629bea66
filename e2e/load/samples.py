"""The samples of one run: a line a request with its times, and what can be said of them together.

The file is a CSV under gzip: `plannedSeconds,sentSeconds,elapsedMilliseconds,status,ok`. Times count from the start of
the profile. A latency counts from the sending, which waits for no answer; how late each request was sent, which is the
generator's doing, stands beside it and makes a run void when it is much (`load.generating.judge_lateness`).
"""

import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from load.profiles import Profile

COLUMNS = ("plannedSeconds", "sentSeconds", "elapsedMilliseconds", "status", "ok")

Floats = NDArray[np.float64]


class SamplesError(Exception):
    """A file of samples cannot be read; the message is one sentence with what to do."""


@dataclass(frozen=True)
class Samples:
    """The requests of a run in the order of their planned times; all arrays have their number as length.

    Attributes:
        planned_seconds: when each was due.
        sent_seconds: when it was sent.
        elapsed_milliseconds: from sending to the whole answer, or to the failure.
        status: "200", "OK", "429", "RESOURCE_EXHAUSTED", "timeout" and the like.
        ok: whether it was answered as it should be.
    """

    planned_seconds: Floats
    sent_seconds: Floats
    elapsed_milliseconds: Floats
    status: NDArray[np.str_]
    ok: NDArray[np.bool_]

    @property
    def latency_milliseconds(self) -> Floats:
        """What is reported: from the sending to the whole answer."""
        return self.elapsed_milliseconds

    @property
    def late_milliseconds(self) -> Floats:
        """How much later than planned each was sent."""
        return 1000 * (self.sent_seconds - self.planned_seconds)

    def during(self, begin_seconds: float, end_seconds: float) -> "Samples":
        """Those that were due in this time, its end excluded."""
        chosen = (self.planned_seconds >= begin_seconds) & (self.planned_seconds < end_seconds)
        return Samples(
            self.planned_seconds[chosen],
            self.sent_seconds[chosen],
            self.elapsed_milliseconds[chosen],
            self.status[chosen],
            self.ok[chosen],
        )


@dataclass(frozen=True)
class Summary:
    """What is said of requests together; percentiles are of those that were answered, None when none was.

    Attributes:
        requests: all of them.
        failures: how many were not answered as they should be, by status.
        requests_per_second: all of them over the time.
        p50_milliseconds: half of the answered waited no longer.
        p95_milliseconds: likewise 95 of 100.
        p99_milliseconds: likewise 99 of 100.
        longest_milliseconds: the longest wait.
        late_p99_milliseconds: 99 of 100 requests, answered or not, were sent no later than this after their time.
    """

    requests: int
    failures: dict[str, int]
    requests_per_second: float
    p50_milliseconds: float | None
    p95_milliseconds: float | None
    p99_milliseconds: float | None
    longest_milliseconds: float | None
    late_p99_milliseconds: float | None


def summarise(samples: Samples, seconds: float) -> Summary:
    """Of samples that were due within so many seconds."""
    latencies = samples.latency_milliseconds[samples.ok]
    return Summary(
        requests=len(samples.ok),
        failures=dict(sorted(Counter(str(status) for status in samples.status[~samples.ok]).items())),
        requests_per_second=len(samples.ok) / seconds,
        p50_milliseconds=percentile(latencies, 50),
        p95_milliseconds=percentile(latencies, 95),
        p99_milliseconds=percentile(latencies, 99),
        longest_milliseconds=percentile(latencies, 100),
        late_p99_milliseconds=percentile(samples.late_milliseconds, 99),
    )


def summarise_hold(samples: Samples, profile: Profile) -> Summary:
    """Of the samples that were due while all users of the profile were there."""
    begin, end = profile.hold()
    return summarise(samples.during(begin, end), end - begin)


def count_in_time(samples: Samples, seconds: float) -> int:
    """How many were answered as they should be before so many seconds were over."""
    return int(np.sum(samples.ok & (samples.sent_seconds + samples.elapsed_milliseconds / 1000 <= seconds)))


def percentile(values: Floats, percent: float) -> float | None:
    """The smallest value that so many of a hundred do not exceed; None of nothing."""
    return float(np.percentile(values, percent, method="inverted_cdf")) if len(values) else None


def make_samples(rows: Iterable[tuple[float, float, float, str, bool]]) -> Samples:
    """Samples of (planned seconds, sent seconds, elapsed milliseconds, status, ok), sorted by planned time."""
    ordered = sorted(rows)
    planned, sent, elapsed, status, ok = zip(*ordered, strict=True) if ordered else ((), (), (), (), ())
    return Samples(
        np.array(planned, np.float64),
        np.array(sent, np.float64),
        np.array(elapsed, np.float64),
        np.array(status, np.str_),
        np.array(ok, np.bool_),
    )


def write_samples(samples: Samples, path: Path) -> None:
    """Write the file whole or not at all; the same samples give the same bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    times = zip(samples.planned_seconds, samples.sent_seconds, samples.elapsed_milliseconds, strict=True)
    for (planned, sent, elapsed), status, ok in zip(times, samples.status, samples.ok, strict=True):
        writer.writerow((f"{planned:.6f}", f"{sent:.6f}", f"{elapsed:.3f}", status, int(ok)))
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.half")
    half.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    half.rename(path)


def read_samples(path: Path) -> Samples:
    """The samples of a file.

    Raises:
        SamplesError: when it is cut off, or no such CSV.
    """
    try:
        with gzip.open(path, "rt", newline="") as file:
            header, *rows = csv.reader(file)
            if tuple(header) != COLUMNS:
                raise SamplesError(f"{path}: its columns are {header} instead of {list(COLUMNS)}; write it anew")
            return make_samples(
                (float(planned), float(sent), float(elapsed), status, ok == "1")
                for planned, sent, elapsed, status, ok in rows
            )
    except (OSError, EOFError, ValueError) as error:
        raise SamplesError(f"{path}: no samples can be read from it ({error}); run the load again") from error
