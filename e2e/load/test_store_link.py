"""The store on a host of its own: what a program gets of it over a shaped link, and that nothing of it is left."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from images.steps import tell_on_stderr
from store.programs import build_server

from load.store_link import NODE_DEVICE, StoreLink


@pytest.fixture
def node_namespace():
    """A network namespace that stands for the node's."""
    name = f"modelpress-test-{secrets.token_hex(4)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "delete", name], check=True)


def list_devices(namespace):
    command = ["nsenter", f"--net=/run/netns/{namespace}", "ip", "-o", "link"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def read_head(namespace, link):
    program = "Bucket('artifacts', os.environ).open('a.zip').read_at(0, 4)"
    source = f"import os; from model_artifact.object_store import Bucket; print({program})"
    command = ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-c", source]
    environment = {**os.environ, **link.environment}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def test_a_program_gets_no_more_than_the_link_carries_and_all_of_it_where_it_is_not_shaped(node_namespace, tmp_path):
    folder = tmp_path / "store"
    # longer than what a reader takes at once, so that it is read by ranges
    (tmp_path / "file").write_bytes(b"head" + bytes(200_000))
    with StoreLink(node_namespace, build_server(tell_on_stderr), folder) as link:
        assert link.put(tmp_path / "file", "a.zip") == "s3://artifacts/a.zip"
        assert read_head(node_namespace, link) == "b'head'\n"
        assert NODE_DEVICE in list_devices(node_namespace)
        link.shape(100)
        shaped = link.measure()
        link.shape(None)
        unshaped = link.measure()
        # the same order of things again, as a run has it
        link.shape(50)
        slower = link.measure()
    assert slower <= 50
    assert shaped <= 100 < unshaped
    assert NODE_DEVICE not in list_devices(node_namespace)
    assert not folder.exists()
    assert not Path(f"/run/netns/{node_namespace}-store").exists()


def test_what_a_killed_run_left_is_taken_away(node_namespace, tmp_path):
    program = build_server(tell_on_stderr)
    killed = StoreLink(node_namespace, program, tmp_path / "store")
    killed.__enter__()
    process = killed._process
    with StoreLink(node_namespace, program, tmp_path / "store") as link:
        assert process.wait(10) != 0
        assert link.measure() > 0
