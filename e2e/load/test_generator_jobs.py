"""Generators in Jobs: the order, the images, the log and its samples, by a cluster that runs pods' commands here."""

import base64
import http.server
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from cluster.client import Client
from loopback import HOST, free_ports, serve_on_loopback

from load.arguments import make_parser
from load.bodies import Pictures, read_lines, write_bodies
from load.configurations import PlanError
from load.deploying import Scene
from load.experiment import require_generators
from load.generating import GeneratorError, GeneratorRun, Target
from load.generator_job import CONTAINER, INSTANCE, PYTHON, GeneratorJobs, explain_pending, render_job
from load.generator_pod import IMAGES, parse_answer, render_answer
from load.kpis import PrometheusPlace
from load.machine import read_machine
from load.profiles import flat, plan_arrivals
from load.samples import read_samples

PROFILE = flat(20, 2)
SEED = 3


class HereCluster:
    """kubectl of a cluster with one node, this machine: a pod is a process, its log a file."""

    kubectl, read = Client.kubectl, Client.read

    def __init__(self, folder, phase=None):
        self.folder, self.phase = folder, phase
        self.jobs, self.maps, self.seen = {}, {}, []

    def run(self, *arguments, text=""):
        """What the generators' Jobs need of kubectl."""
        verb, *rest = arguments
        self.seen.append(verb)
        try:
            said = getattr(self, verb)(rest, text)
        except KeyError as error:
            return subprocess.CompletedProcess(arguments, 1, "", f"{error} not found")
        return subprocess.CompletedProcess(arguments, 0, said, "")

    def create(self, _, text):
        """A Job, or the images that one owns."""
        made = json.loads(text)
        if made["kind"] == "ConfigMap":
            (owner,) = made["metadata"]["ownerReferences"]
            assert owner["uid"] == self.jobs[owner["name"]]["metadata"]["uid"]
            self.maps[made["metadata"]["name"]] = made
        else:
            assert made["spec"]["suspend"] is True
            made["metadata"]["uid"] = "0000-1111"
            self.jobs[made["metadata"]["name"]] = made
        return json.dumps(made)

    def patch(self, rest, _):
        """The Job goes on: its pod runs to its end, unless a test wants it to wait."""
        name, change = rest[1], json.loads(rest[-1])
        job = self.jobs[name]
        job["spec"].update(change["spec"])
        if self.phase is None:
            images = self.folder / name
            images.mkdir()
            for key, data in self.maps.get(name, {"binaryData": {}})["binaryData"].items():
                (images / key).write_bytes(base64.b64decode(data))
            (container,) = job["spec"]["template"]["spec"]["containers"]
            program, *arguments = container["command"]
            assert program == PYTHON
            done = subprocess.run(
                [sys.executable, *arguments, f"--images={images}"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )  # fmt: skip
            job["log"] = done.stdout
            failed = [{"type": "Failed", "status": "True"}]
            job["status"] = {"succeeded": 1} if done.returncode == 0 else {"conditions": failed}
        return ""

    def get(self, rest, _):
        """A Job and its pod."""
        name = rest[rest.index("-l") + 1].removeprefix(f"{INSTANCE}=")
        pod = {"kind": "Pod", "status": self.phase or {"phase": "Succeeded"}}
        return json.dumps({"items": [self.jobs[name], pod]})

    def logs(self, rest, _):
        """What the pod said."""
        assert rest[rest.index("-c") + 1] == CONTAINER
        lines = self.jobs[rest[0].removeprefix("job/")]["log"].splitlines()
        tail = [int(each.removeprefix("--tail=")) for each in rest if each.startswith("--tail=")]
        return "\n".join(lines[-tail[0] :] if tail else lines)

    def delete(self, rest, _):
        """The Job, and what it owns."""
        del self.jobs[rest[1]]
        self.maps.pop(rest[1], None)
        return ""


@pytest.fixture
def bodies(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    write_bodies(tmp_path / "bodies", Pictures(images, np.arange(8), "of a test"))
    return tmp_path / "bodies"


@pytest.fixture
def asked():
    return []


@pytest.fixture
def port(asked):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            """Nothing on the test's output."""

    with serve_on_loopback(Handler) as address:
        yield int(address.rpartition(":")[2])


def make_jobs(cluster, **changed):
    scene = Scene(cluster, "load", "a test", PrometheusPlace("system", "prometheus:9090"))
    return GeneratorJobs(scene, "registry/load-generator:1", **changed)


@pytest.mark.parametrize("generator", ["python", "jmeter"])
def test_a_job_sends_the_experiments_requests_and_its_log_gives_the_samples(generator, bodies, asked, port, tmp_path):
    cluster = HereCluster(tmp_path)
    generate = make_jobs(cluster).generate_by(generator, "rest")
    run = generate(Target("vgg", HOST, port, 0, bodies), PROFILE, SEED, tmp_path / "out" / "samples.csv.gz")
    samples = read_samples(run.samples)
    assert samples.planned_seconds == pytest.approx(plan_arrivals(PROFILE, SEED), abs=1e-6)
    assert set(samples.status) == {"200"}
    assert {path for path, _ in asked} == {"/v1/models/vgg:predict"}
    assert {body for _, body in asked} == set(read_lines(bodies))
    assert (run.generator, run.load_seconds, run.cores) == (generator, PROFILE.seconds, os.cpu_count())
    assert run.cpu_seconds > 0
    assert run.node_cpu_seconds > 0
    assert (cluster.jobs, cluster.maps) == ({}, {})


def test_where_they_run_is_told_by_a_job_that_sends_nothing(tmp_path):
    cluster = HereCluster(tmp_path)
    assert make_jobs(cluster).read_machine() == read_machine()
    assert cluster.seen.count("create") == 1
    assert cluster.jobs == {}


def test_a_job_that_fails_says_why(bodies, tmp_path):
    cluster = HereCluster(tmp_path)
    (bodies / IMAGES).write_bytes(b"no array")
    with pytest.raises(
        GeneratorError,
        match=r"the generator's Job load/load-\w+ failed; it said last: .*images\.npy is no array of images",
    ):
        make_jobs(cluster).generate_by("python", "rest")(Target("m", HOST, 1, 2, bodies), PROFILE, 0, tmp_path / "out")
    assert cluster.jobs == {}


def test_a_job_that_does_not_start_says_what_it_waits_for(tmp_path):
    waiting = {"reason": "ImagePullBackOff", "message": "not found"}
    pending = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]}
    cluster = HereCluster(tmp_path, pending)
    words = r"does not start: ImagePullBackOff: not found; see that the cluster can pull registry/load-generator:1"
    with pytest.raises(GeneratorError, match=words):
        make_jobs(cluster, seconds_to_start=0).read_machine()
    assert cluster.jobs == {}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"phase": "Running"}, ""),
        ({"phase": "Succeeded"}, ""),
        ({}, "it has no pod that was placed"),
        (
            {"conditions": [{"status": "False", "reason": "Unschedulable", "message": "0/1 nodes: memory"}]},
            "Unschedulable: 0/1 nodes: memory",
        ),
    ],
)
def test_what_a_pod_waits_for(status, told):
    assert explain_pending({"status": status} if status else {}) == told


def test_a_log_that_was_cut_is_refused(tmp_path):
    (tmp_path / "samples").write_bytes(np.random.default_rng(0).bytes(20_000))
    run = GeneratorRun(tmp_path / "samples", 3, 20, 2, 10, 5, "python", "1", 2, 4)
    lines = ["some warning", *render_answer(run)]
    out = tmp_path / "out"
    assert parse_answer("\n".join(lines), out) == GeneratorRun(out, 3, 20, 2, 10, 5, "python", "1", 2, 4)
    assert out.read_bytes() == (tmp_path / "samples").read_bytes()
    with pytest.raises(GeneratorError, match="holds 3 of 4 parts of its samples: raise the kubelet's"):
        parse_answer("\n".join(line for line in lines if line != lines[2]), tmp_path / "other")
    with pytest.raises(GeneratorError, match=r"gave no answer; it said last: some warning"):
        parse_answer(lines[0], tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_pod_may_do_nothing_but_send():
    pod = render_job("load-1", "image", "{}", 60, with_images=True)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert {"cpu", "memory"} <= set(container["resources"]["requests"]) & set(container["resources"]["limits"])


def test_a_cluster_of_ones_own_needs_an_image_of_the_generators():
    def ask(*arguments):
        return require_generators(make_parser().parse_args(["run", *arguments]))

    assert ask() is False
    assert ask("--generators", "job") is True
    assert ask("--context", "x", "--generators", "job", "--generator-image", "registry/load-generator:1") is True
    with pytest.raises(PlanError, match="python -m images load-generator --push PREFIX"):
        ask("--context", "x", "--generators", "job")


def test_a_server_that_is_away_is_told_by_its_samples(bodies, tmp_path):
    generate = make_jobs(HereCluster(tmp_path)).generate_by("python", "rest")
    run = generate(Target("vgg", HOST, free_ports(1)[0], 0, bodies), flat(20, 0.5), 1, tmp_path / "out")
    assert set(read_samples(run.samples).status) == {"ClientConnectorError"}
