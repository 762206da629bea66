"""The node's network namespace is there as a whole, or not at all."""

import subprocess

import pytest
from cluster.network import make_namespace
from cluster.places import Places
from cluster.processes import ClusterError


@pytest.fixture
def places(tmp_path):
    return Places(tmp_path / "state", tmp_path / "binaries")


@pytest.fixture
def commands(monkeypatch):
    """Notes the commands in place of running them; `at` names words of one that ends in `by`."""

    class Commands(list):
        at, by = "", None

        def run(self, command, **_):
            self.append(" ".join(command))
            if self.at and self.at in self[-1]:
                if isinstance(self.by, BaseException):
                    raise self.by
                return subprocess.CompletedProcess(command, 2, "", self.by)
            return subprocess.CompletedProcess(command, 0, "", "")

    made = Commands()
    monkeypatch.setattr("cluster.network.subprocess.run", made.run)
    return made


def test_a_namespace_that_is_whole_stays(places, commands):
    make_namespace(places)
    assert commands[0] == f"ip netns add {places.namespace}"
    assert not any("delete" in each for each in commands)


def test_a_namespace_that_was_half_made_goes_and_the_command_is_told_with_what_it_said(places, commands):
    commands.at, commands.by = "link add node0", "RTNETLINK answers: Operation not permitted\n"
    told = (
        r"`nsenter .* ip link add node0 type veth peer name node0-peer` failed \(RTNETLINK answers: Operation not perm"
    )
    with pytest.raises(ClusterError, match=told):
        make_namespace(places)
    assert commands[-2:] == [
        f"nsenter --net=/run/netns/{places.namespace} ip link add node0 type veth peer name node0-peer",
        f"ip netns delete {places.namespace}",
    ]


def test_a_setting_of_the_kernel_that_cannot_be_written_is_told_too_and_the_bridges_need_not_be(places, commands):
    commands.at, commands.by = "bridge-nf-call-iptables", "No such file or directory"
    make_namespace(places)
    assert not any("delete" in each for each in commands)
    commands.at = "ip_forward"
    with pytest.raises(ClusterError, match="No such file or directory"):
        make_namespace(places)
    assert commands[-1] == f"ip netns delete {places.namespace}"


def test_a_namespace_goes_when_its_making_is_interrupted(places, commands):
    commands.at, commands.by = "ip addr add", KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        make_namespace(places)
    assert commands[-1] == f"ip netns delete {places.namespace}"
