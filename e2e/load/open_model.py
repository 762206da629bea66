"""`python -m load.open_model PLAN.json`: an open model of REST load; requests leave on time, whatever the answers do.

PLAN.json: {"seconds": 60, "targets": [{"name": …, "url": …, "body": FILE, "rate": requests a second}]}. Arrivals are
Poisson with a seed, so that the same plan sends at the same times. A latency counts from the planned time of its
request, not from when a late generator sent it: coordinated omission cannot hide. Prints a line of JSON every five
seconds and a last one with "done": true.
"""

import argparse
import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

TIMEOUT_SECONDS = 10
SECONDS_BETWEEN_REPORTS = 5
# a plan that outruns its servers must not fill the memory with waiting requests
LARGEST_IN_FLIGHT = 512


@dataclass
class Target:
    """One service under load, and what it answered."""

    name: str
    url: str
    body: bytes
    rate: float
    milliseconds: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    in_flight: int = 0

    def summary(self) -> dict[str, Any]:
        """Counts, and latencies in milliseconds from the planned time of each request."""
        ordered = sorted(self.milliseconds)
        found = {f"p{percent}": round(ordered[len(ordered) * percent // 100], 2) for percent in (50, 95) if ordered}
        return {"name": self.name, "ok": len(ordered), "failures": self.failures, **found}


def plan_arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Times of a Poisson process, in seconds from its start."""
    source = random.Random(seed)  # noqa: S311
    moment = source.expovariate(rate)
    while moment < seconds:
        yield moment
        moment += source.expovariate(rate)


async def ask(session: aiohttp.ClientSession, target: Target, planned: float) -> None:
    """Send one request and note what became of it."""
    try:
        async with session.post(target.url, data=target.body) as response:
            await response.read()
            outcome = "" if response.status == 200 else f"HTTP {response.status}"
    except (aiohttp.ClientError, TimeoutError) as error:
        outcome = type(error).__name__
    finally:
        target.in_flight -= 1
    if outcome:
        target.failures[outcome] = target.failures.get(outcome, 0) + 1
    else:
        target.milliseconds.append(1000 * (time.monotonic() - planned))


async def drive(session: aiohttp.ClientSession, target: Target, seconds: float, seed: int) -> None:
    """Send the target's requests, each at its time."""
    begun = time.monotonic()
    asked = set()
    for moment in plan_arrivals(target.rate, seconds, seed):
        planned = begun + moment
        await asyncio.sleep(max(0.0, planned - time.monotonic()))
        if target.in_flight >= LARGEST_IN_FLIGHT:
            target.failures["not sent"] = target.failures.get("not sent", 0) + 1
            continue
        target.in_flight += 1
        task = asyncio.create_task(ask(session, target, planned))
        asked.add(task)
        task.add_done_callback(asked.discard)
    await asyncio.gather(*asked)


async def report(targets: Sequence[Target]) -> None:
    """A line every few seconds until cancelled."""
    while True:
        await asyncio.sleep(SECONDS_BETWEEN_REPORTS)
        say(targets, done=False)


def say(targets: Sequence[Target], *, done: bool) -> None:
    """One line of JSON."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = round(usage.ru_utime + usage.ru_stime, 2)
    line = {"done": done, "cpuSeconds": cpu, "targets": [target.summary() for target in targets]}
    print(json.dumps(line), flush=True)


def read_targets(plan: dict[str, Any]) -> list[Target]:
    """The targets of a plan, with their bodies."""
    return [
        Target(stated["name"], stated["url"], Path(stated["body"]).read_bytes(), float(stated["rate"]))
        for stated in plan["targets"]
    ]


async def run(targets: Sequence[Target], seconds: float) -> None:
    """Send to all targets at once for so long."""
    # connections are spread over the pods only when they are many and short: kube-proxy chooses once a connection
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        reporting = asyncio.create_task(report(targets))
        drives = (drive(session, target, seconds, seed) for seed, target in enumerate(targets))
        await asyncio.gather(*drives)
        reporting.cancel()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a plan from a file; 0 when every request was answered with 200."""
    parser = argparse.ArgumentParser(prog="load.open_model", description="Open-model REST load.")
    parser.add_argument("plan", type=Path)
    options = parser.parse_args(arguments)
    plan = json.loads(options.plan.read_text())
    targets = read_targets(plan)
    asyncio.run(run(targets, float(plan["seconds"])))
    say(targets, done=True)
    return 1 if any(target.failures for target in targets) else 0


if __name__ == "__main__":
    sys.exit(main())
