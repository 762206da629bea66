"""Ports that are given away are given to nobody else, in this process or in another."""

import subprocess
import sys
from pathlib import Path

import loopback

E2E = Path(loopback.__file__).parent
ASK = "import loopback; loopback._PORTS = range(15_000, 16_000); print(*loopback.free_ports(300))"


def ask_another_process():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK], check=False, cwd=E2E, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return {int(port) for port in done.stdout.split()}


def test_no_port_is_given_twice_before_anybody_listens(monkeypatch):
    # so few that some of them would be the same by chance; all are tried
    monkeypatch.setattr(loopback, "_PORTS", range(15_000, 16_000))
    ours = {*loopback.free_ports(200), *loopback.free_ports(200)}
    assert len(ours) == 400
    theirs = ask_another_process()
    assert len(theirs) == 300
    assert theirs.isdisjoint(ours)
    assert len(ask_another_process()) == 300, "what a process marked is free again when it has ended"
