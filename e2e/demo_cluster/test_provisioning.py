"""Programs and images are built beside something else; what still runs ends with the block that began it."""

import sys
import time

import pytest
from cluster.processes import ClusterError, read_start_time

from demo_cluster.provisioning import Provisioning


@pytest.fixture
def builder(tmp_path, monkeypatch):
    """Has a script in place of the programs that build."""

    def make(script):
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))

    return make


def wait_until(observe, seconds=20):
    """What is observed, once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := observe()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_what_was_built_is_known_by_its_target(tmp_path, builder):
    builder("echo localhost/modelpress-server:1; echo $2 >> " + str(tmp_path / "steps"))
    with Provisioning(tmp_path / "log") as provisioning:
        provisioning.wait()
    assert provisioning.images == {"server": "localhost/modelpress-server:1"}
    assert (tmp_path / "steps").read_text().split() == ["cluster", "images", "monitoring"]


def test_a_step_that_fails_is_named_with_its_last_words(tmp_path, builder):
    builder("echo no such module >&2; exit 3")
    with (
        pytest.raises(ClusterError, match="cluster programs could not be built: no such module"),
        Provisioning(tmp_path / "log") as provisioning,
    ):
        provisioning.wait()


@pytest.mark.parametrize("ends_by_itself", [True, False])
def test_what_is_being_built_ends_with_the_block_and_nothing_begins_after_it(
    tmp_path, builder, monkeypatch, ends_by_itself
):
    monkeypatch.setattr("demo_cluster.provisioning.SECONDS_TO_END", 1 if not ends_by_itself else 20)
    begun, pids = tmp_path / "begun", tmp_path / "pids"
    ignore = "" if ends_by_itself else "trap '' TERM; "
    # a program of its own too, which holds no pipe of ours
    builder(f"{ignore}sleep 600 >/dev/null & echo $$ $! > {begun}; mv {begun} {pids}; wait")
    seen = []

    def build():
        with Provisioning(tmp_path / "log"):
            seen.extend(wait_until(lambda: pids.exists() and [int(pid) for pid in pids.read_text().split()]))
            assert all(read_start_time(pid) for pid in seen)
            pids.unlink()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build()
    wait_until(lambda: not any(read_start_time(pid) for pid in seen))
    assert len(seen) == 2
    assert not pids.exists()
