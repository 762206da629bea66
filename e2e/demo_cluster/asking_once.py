"""`python -m demo_cluster.asking_once NAME ADDRESS INPUTS.npy [LABELS]`: one image through a Service, by REST and gRPC.

Runs inside the node's network namespace, which is the only place where the Service's address leads anywhere.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from load.asking import grpc_asker, rest_asker

REST_PORT, GRPC_PORT = 8501, 8500


@dataclass(frozen=True)
class Service:
    """A model's Service."""

    name: str
    host: str
    rest_port: int = REST_PORT
    grpc_port: int = GRPC_PORT


def main(name: str, host: str, inputs: str, labels_file: str = "") -> int:
    """Print the answers; 0 when both protocols gave the same class."""
    image = np.load(inputs, allow_pickle=False)[0]
    labels = Path(labels_file).read_text().split() if labels_file else []
    classes = set()
    for protocol, asker in (("REST", rest_asker), ("gRPC", grpc_asker)):
        with asker(Service(name, host), image) as ask:
            ask()
            begun = time.perf_counter()
            answer = ask()
            took = 1000 * (time.perf_counter() - begun)
        best = int(answer.argmax())
        classes.add(best)
        label = labels[best] if labels else f"class {best}"
        port = REST_PORT if protocol == "REST" else GRPC_PORT
        print(f"{name} by {protocol} at {host}:{port}: {label}, {100 * answer[best]:.1f} %, {took:.2f} ms", flush=True)
    return 0 if len(classes) == 1 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
