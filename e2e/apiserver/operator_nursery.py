"""Begins operators by forking a process that has imported everything, so that each starts in milliseconds.

A line of JSON on standard input asks for one (`environment`, `log`); its process id is the answer, on a line. What
starts is the installed command's own `main`, in a process of its own that nobody else waits for.
"""

import json
import os
import signal
import sys
from typing import Any

import kubernetes.config.kube_config

import model_operator.__main__


def main() -> None:
    """Fork for every line, until there is none."""
    # An operator that ended is gone at once; whoever asked for it holds a handle of it.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            become(wanted)
        print(child, flush=True)


def become(wanted: dict[str, Any]) -> None:
    """Be that operator; never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    # The client looks at the environment when it is imported.
    kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION = wanted["environment"]["KUBECONFIG"]
    sys.argv = ["modelpress-operator", "--listen", "127.0.0.1"]
    model_operator.__main__.main()


if __name__ == "__main__":
    main()
