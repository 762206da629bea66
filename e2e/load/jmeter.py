"""Runs a profile by JMeter against a model's REST API: a plain JVM from the JMeter home, no Maven.

The plans of this folder take everything as properties, so that any profile runs by either of them.
"""

import csv
import functools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from load.child import describe_run, run_measured
from load.generating import NOT_SENT, GeneratorError, GeneratorRun, Target
from load.jmeter_home import HERE, LAUNCHER, POM, make_home
from load.profiles import Profile, plan_arrivals, plan_jmeter_seed, render_schedule
from load.samples import make_samples, write_samples

PLANS = {"n75": HERE / "profile75.jmx", "n250": HERE / "profile250.jmx"}
PROPERTIES = HERE / "jmeter.properties"

LEAD_SECONDS = 2.0
"""From the end of the plan's warm-up to the profile's start: the thread group starts in this time."""
TAIL_SECONDS = 21.0
"""From the profile's end to JMeter's: longer than the timeouts of a connection and of its answer together."""

JVM_FLAGS = (
    "-XX:TieredStopAtLevel=1",  # the second compiler would work for longer than a run lasts
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    "-Xss512k",
    "-Xms64m",
    "-Xmx512m",
    "-Djava.awt.headless=true",
    "-Dsun.net.http.retryPost=false",  # a request that failed is a failure, and is not sent again in secret
)

_SECONDS_TO_START = 240.0
_ARRIVAL = re.compile(r"arrivals \d+-(\d+)")

Row = Mapping[str, str]


def run_plan(
    target: Target,
    profile: Profile,
    seed: int,
    out: Path,
    enter: Sequence[str] = (),
    *,
    lead_seconds: float = LEAD_SECONDS,
    tail_seconds: float = TAIL_SECONDS,
) -> GeneratorRun:
    """Send the profile's requests and write their samples.

    Args:
        target: what is asked, over REST.
        profile: when.
        seed: the same seed sends at the same times.
        out: file of the samples.
        enter: the command prefix that runs a program where the target is reached.
        lead_seconds: see LEAD_SECONDS; arrivals that are due before JMeter is ready are late, which latencies show.
        tail_seconds: see TAIL_SECONDS.

    Raises:
        GeneratorError: when JMeter cannot be run or wrote no arrival.
    """
    home = make_home(lambda message: print(message, file=sys.stderr, flush=True))
    with tempfile.TemporaryDirectory(prefix="modelpress-jmeter-") as name:
        folder = Path(name)
        properties = render_properties(target, profile, seed) | {"lead": f"{lead_seconds}", "tail": f"{tail_seconds}"}
        command = [*enter, *render_command(home, folder, PLANS.get(profile.name, PLANS["n75"]), properties)]
        limit = profile.seconds + lead_seconds + tail_seconds + _SECONDS_TO_START
        spent = run_measured(command, folder / "out.log", limit, os.environ)
        with (folder / "run.jtl").open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        started = read_start(rows, folder / "run.log") + lead_seconds
    write_samples(make_samples(parse_rows(rows, started, plan_arrivals(profile, seed).tolist())), out)
    return describe_run(spent, out, started, profile.seconds, ("jmeter", read_version()))


def render_properties(target: Target, profile: Profile, seed: int) -> dict[str, str]:
    """What the plans take."""
    return {
        "host": target.host,
        "port": str(target.rest_port),
        "path": target.rest_path,
        "bodies": str(target.bodies.resolve()),
        "schedule": render_schedule(profile),
        "stay": f"{1000 * profile.stay_seconds:.0f}",
        "seed": str(plan_jmeter_seed(seed)),
    }


def render_command(home: Path, folder: Path, plan: Path, properties: Mapping[str, str]) -> list[str]:
    """JMeter without its window, its files in the folder."""
    return [
        "java",
        *JVM_FLAGS,
        f"-Djava.util.prefs.userRoot={folder}",
        "-jar",
        str(home / LAUNCHER),
        *("-n", "-t", str(plan), "-q", str(PROPERTIES)),
        *("-j", str(folder / "run.log"), "-l", str(folder / "run.jtl")),
        *(f"-J{name}={value}" for name, value in properties.items()),
    ]


def read_start(rows: Sequence[Row], log: Path) -> float:
    """When JMeter's schedule began, in seconds of Unix time."""
    for row in rows:
        if _ARRIVAL.fullmatch(row["threadName"]):
            return int(row["startMilliseconds"]) / 1000
    said = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    raise GeneratorError(
        "JMeter wrote no sample of an arrival: this machine may be too busy for it, or nothing answers there; it said"
        f" last: {' | '.join(said[-3:])}"
    )


def parse_rows(
    rows: Iterable[Row], started_unix: float, planned_seconds: Sequence[float]
) -> list[tuple[float, float, float, str, bool]]:
    """The arrivals among JMeter's rows with their planned times; one that has no row was not sent, and failed."""
    by_number = {int(found[1]) - 1: row for row in rows if (found := _ARRIVAL.fullmatch(row["threadName"]))}
    parsed = []
    for number, planned in enumerate(planned_seconds):
        if number in by_number:
            row = by_number[number]
            sent = int(row["sentMicroseconds"]) / 1e6 - started_unix
            elapsed = int(row["elapsedMicroseconds"]) / 1000
            parsed.append((planned, sent, elapsed, parse_status(row["responseCode"]), row["success"] == "true"))
        else:
            parsed.append((planned, planned, 0.0, NOT_SENT, False))
    return parsed


def parse_status(code: str) -> str:
    """An HTTP status as it is, and a failure before it by its name: timeout, ConnectException and the like."""
    if code.isdigit():
        return code
    name = code.rsplit(".", 1)[-1].rsplit(" ", 1)[-1]
    return "timeout" if name == "SocketTimeoutException" else name


@functools.cache
def read_version() -> str:
    """JMeter's and Java's."""
    found = re.search(r"<jmeter.version>(.+)</jmeter.version>", POM.read_text())
    said = subprocess.run(["java", "-version"], check=True, capture_output=True, text=True).stderr
    java = re.search(r'version "([^"]+)"', said)
    if found is None or java is None:
        raise GeneratorError(f"{POM} names no jmeter.version, or `java -version` says none: {said.strip()}")
    return f"JMeter {found[1]}, Java {java[1]}"
