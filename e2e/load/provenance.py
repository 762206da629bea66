"""Where the numbers come from: commit, machine, versions. Read once, when an experiment begins."""

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from load.kpis import Asking
from load.machine import Machine, read_machine
from load.results import Prices, Provenance, ResultsError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE_PRICES = Path(__file__).with_name("prices.json")
_OWN_PACKAGES = {
    "modelpress": "modelpress-operator",
    "tensorflow": "tensorflow-cpu",
    "numpy": "numpy",
    "grpc": "grpcio",
}


def read_provenance(
    command: str,
    seed: int,
    client: Asking,
    *,
    cluster: str,
    data: str,
    conditions: Mapping[str, str],
    machine: Machine | None = None,
) -> Provenance:
    """All of it, but for the generators' versions, which they tell when they have run; None is this machine."""
    commit, dirty = read_commit()
    machine = machine or read_machine()
    return Provenance(
        command=command,
        started_at=read_now(),
        commit=commit,
        dirty=dirty,
        seed=seed,
        hardware=machine.processor,
        cores=machine.cores,
        memory_gi_b=machine.memory_gibibytes,
        kernel=machine.kernel,
        versions={"python": platform.python_version(), **_read_versions(), **_read_kubernetes(client)},
        cluster=cluster,
        data=data,
        conditions=dict(conditions),
    )


def read_now() -> str:
    """The time, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_commit() -> tuple[str, bool]:
    """The checkout's commit, and whether anything is changed beside it; `unknown` outside a checkout."""

    def ask(*arguments: str) -> str | None:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], check=False, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    return ("unknown", True) if commit is None else (commit, bool(ask("status", "--porcelain")))


def _read_versions() -> dict[str, str]:
    found = {}
    for name, package in _OWN_PACKAGES.items():
        try:
            found[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _read_kubernetes(client: Asking) -> dict[str, str]:
    version = json.loads(client.kubectl("version", "-o", "json"))
    return {"kubernetes": version["serverVersion"]["gitVersion"]}


def read_prices(path: Path) -> Prices:
    """A price list.

    Raises:
        ResultsError: when the file is none.
    """
    try:
        return Prices.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise ResultsError(
            f"{path} is no price list ({first}): state currency, cpuCoreHour, memoryGibibyteHour and source"
        ) from error
