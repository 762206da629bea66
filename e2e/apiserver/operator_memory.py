"""Memory and processor time of an operator that only waits, with 1 and with 100 models whose builds wait for a node.

`PYTHONPATH=e2e python e2e/apiserver/operator_memory.py` prints a line for each; nothing else should run meanwhile.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from cluster.apiserver import ApiServer
from cluster.client import wait_until
from cluster.toolchain import build_programs
from operator_play import ROOT, Cluster, OperatorProcess, training_model, write_operator_kubeconfig

IDLE_SECONDS = 60
CLOCK_TICKS = 100
CRD = ROOT / "crds" / "compressedmodels.yaml"


def read_memory_mebibytes(process: int) -> float:
    """Resident memory of the process."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))) / 1024


def read_processor_seconds(process: int) -> float:
    """Processor time that the process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def has_status(cluster: Cluster, count: int) -> bool:
    """Whether so many models have a status."""
    return sum("status" in each for each in cluster.list("cmod")) == count


def main() -> None:
    """Measure with a new operator each time."""
    with ApiServer(build_programs(lambda message: print(message, file=sys.stderr))) as server:
        server.apply_crd(CRD.read_text())
        server.kubectl("create", "namespace", "press")
        cluster = Cluster(server, "press")
        cluster.make_claim()
        with tempfile.TemporaryDirectory() as folder:
            kubeconfig = write_operator_kubeconfig(server, Path(folder))
            for count in (1, 100):
                cluster.make(*(training_model(f"m{number}", seed=number) for number in range(count)))
                with OperatorProcess(kubeconfig, Path(folder) / "log") as operator:
                    begun = time.monotonic()
                    wait_until(lambda count=count: has_status(cluster, count), bool, 120, f"{count} statuses")
                    taken = time.monotonic() - begun
                    process = operator.process.pid
                    before = read_processor_seconds(process)
                    time.sleep(IDLE_SECONDS)
                    used = read_processor_seconds(process) - before
                    found = {
                        "models": count,
                        "resident_mebibytes": round(read_memory_mebibytes(process)),
                        "seconds_to_all_statuses": round(taken, 1),
                        "processor_millicores_then": round(1000 * used / IDLE_SECONDS),
                        "jobs": len(json.loads(cluster.kubectl("get", "jobs", "-o", "json"))["items"]),
                    }
                    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
