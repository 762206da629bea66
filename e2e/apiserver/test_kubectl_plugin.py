"""`kubectl cmod` through the installed entry point, with real objects; and builds whose logs are told and kept."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from cluster.client import wait_until
from loopback import HOST
from operator_play import NOW, PATIENCE_SECONDS, SUMMARY, training_model
from played_kubelet import PlayedKubelet

from kubectl_cmod import kubectl
from kubectl_cmod.__main__ import run

ENTRY_POINTS = Path(sys.executable).parent
SLOWEST_START_SECONDS = 1.0


@pytest.fixture(scope="module")
def kubelet(crd_server):
    """Where pods' logs come from."""
    with PlayedKubelet(crd_server) as played:
        yield played


@pytest.fixture
def cmod(cluster, binaries):
    """`kubectl cmod …` in the test's namespace, as a shell would run it."""

    def run(*arguments, here=True):
        where = ["-n", cluster.namespace] if here else []
        environment = {
            **os.environ,
            "PATH": f"{ENTRY_POINTS}:{binaries}:{os.environ['PATH']}",
            "KUBECONFIG": str(cluster.server.kubeconfig),
            "KUBECTL": "",
        }
        return subprocess.run(
            [binaries / "kubectl", "cmod", *arguments, *where],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def progress(epoch):
    """A line of a build's log."""
    told = {"phase": "Training", "epoch": epoch, "epochs": 9, "stepsPerSecond": 10.0 * epoch, "etaSeconds": 90}
    return json.dumps(told) + "\n"


def test_progress_is_in_the_status_within_ten_seconds_of_being_made(operator, cluster, kubelet, cmod):
    assert operator
    cluster.make_claim()
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    pod = cluster.start_build(kubelet.place(job))
    for epoch in (1, 2, 3):
        kubelet.logs[pod, "build"] = "".join(map(progress, range(1, epoch + 1)))
        wait_until(
            lambda: cluster.read("cmod", "small")["status"]["build"].get("epoch"),
            lambda seen, epoch=epoch: seen == epoch,
            10,
            f"epoch {epoch}",
        )
    told = cmod("status", "small").stdout
    assert f"├─ build      Training, epoch 3 of 9, 30 steps/s, about 1m left (Job {pod[:-6]}, attempt 1)" in told
    assert f"│             {pod}: running" in told
    assert cmod("logs", "small").stdout == kubelet.logs[pod, "build"]
    assert cmod("logs", "small", "build", "--tail", "1", "--follow").stdout == progress(3)


def test_the_log_of_a_failed_build_outlives_its_pod_and_holds_no_secret(operator, cluster, kubelet, cmod):
    assert operator
    cluster.make_claim()
    cluster.make(training_model(build={"retries": 0}))
    (job,) = cluster.wait_for_jobs(1)
    name = job["metadata"]["name"]
    pod = cluster.start_build(kubelet.place(job))
    kubelet.logs[pod, "build"] = "AWS_SECRET_ACCESS_KEY=hunter2\nRuntimeError: the data is not there\n"
    cluster.end_build(job, "it broke off", exit_code=1)
    cluster.wait_for("small", Stalled="True/BuildFailed")
    kept = wait_until(lambda: cluster.read("configmap", f"{name}-log"), bool, PATIENCE_SECONDS, "the kept log")
    assert kept["data"]["log.txt"] == "AWS_SECRET_ACCESS_KEY=[removed]\nRuntimeError: the data is not there\n"
    assert kept["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    why = cmod("why", "small").stdout
    assert why.startswith(f"{cluster.namespace}/small is not ready for ")
    assert ", BuildFailed: Attempt 1 of 1 failed: " in why
    assert f"End of the log (build of {pod}):\n  AWS_SECRET" in why
    cluster.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
    wait_until(lambda: cluster.read("pod", pod), lambda found: found is None, PATIENCE_SECONDS, "no pod")
    assert cmod("logs", "small").stdout == kept["data"]["log.txt"]
    assert "End of the log (the last failed build, as it was kept):" in cmod("why", "small").stdout


def test_a_build_over_its_deadline_keeps_its_log_before_its_pod_goes(operator, cluster, kubelet):
    """Kubernetes first says that the Job is bound to fail, then ends its pods, and only then says that it failed."""
    assert operator
    cluster.make_claim()
    cluster.make(training_model(build={"timeoutSeconds": 60}))
    (job,) = cluster.wait_for_jobs(1)
    name = job["metadata"]["name"]
    pod = cluster.start_build(kubelet.place(job))
    kubelet.logs[pod, "build"] = progress(7)
    late = {"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": NOW}
    cluster.patch("job", name, {"status": {"conditions": [late]}}, "--subresource=status")
    kept = wait_until(lambda: cluster.read("configmap", f"{name}-log"), bool, PATIENCE_SECONDS, "the kept log")
    assert kept["data"]["log.txt"] == progress(7)


def test_a_model_from_its_first_hindrance_to_being_served(operator, cluster, cmod):
    assert operator
    cluster.make(training_model())
    cluster.wait_for("small", Ready="False/StoreMissing")
    missing = cmod("why", "small").stdout
    assert ", StoreMissing: The PersistentVolumeClaim modelpress-store does not exist." in missing
    assert "What to do: Run the command in the message; it goes on by itself." in missing
    no_pods = f"{cluster.namespace}/small has no pods yet: kubectl cmod why small\n"
    assert cmod("logs", "small", "server").stderr == no_pods
    cluster.make_claim()
    cluster.build()
    pod = cluster.serve("small")
    cluster.wait_for("small", Ready="True/Serving")
    told = cmod("status", "small").stdout.splitlines()
    assert told[0].startswith(f"{cluster.namespace}/small: ready (Serving), ")
    assert "├─ wanted     alpha 1, 8 bits, Floor; SmallCNN on Digits, 1 epochs" in told
    assert "├─ artifact   100kB, 8x smaller, 4 bits a weight, 70 % zeros, Accuracy 97 (abababababab)" in told
    assert any(line.endswith(f" {pod}: ready") for line in told)
    assert "\033[" not in "".join(told)
    assert cmod("why", "small").stdout.startswith(f"{cluster.namespace}/small is ready: Revision ")
    document = json.loads(cmod("status", "small", "-o", "json").stdout)
    assert (document["ready"], document["reason"], document["pods"][-1]["metadata"]["name"]) == (True, "Serving", pod)


def test_lists_and_comparisons(operator, cluster, cmod):
    assert operator
    cluster.make(training_model("one"), training_model("two"))
    for name in ("one", "two"):
        cluster.wait_for(name, Ready="False/StoreMissing")
    rows = [line.split()[:3] for line in cmod("list").stdout.splitlines()]
    assert rows == [["NAME", "READY", "REASON"], ["one", "no", "StoreMissing"], ["two", "no", "StoreMissing"]]
    everywhere = [line.split()[:2] for line in cmod("list", "-A", here=False).stdout.splitlines()]
    assert everywhere[0] == ["NAMESPACE", "NAME"]
    assert [cluster.namespace, "one"] in everywhere
    assert [each["name"] for each in json.loads(cmod("list", "--output=json").stdout)] == ["one", "two"]
    table = cmod("compare", "one", "two").stdout.splitlines()
    assert [line.split() for line in table] == [
        ["one", "two", "ratio"],
        ["alpha", "1", "1"],
        ["bits", "8", "8"],
        ["one", "was", "not", "measured."],
        ["two", "was", "not", "measured."],
    ]


def test_it_takes_kubectls_own_options_in_its_own_ways(cluster, cmod, tmp_path):
    config = yaml.safe_load(cluster.server.kubeconfig.read_text())
    (context,) = config["contexts"]
    nowhere = {"name": "nowhere", "cluster": {"server": "https://127.0.0.1:1"}}
    config["clusters"].append(nowhere)
    config["contexts"] += [
        {"name": "there", "context": {**context["context"], "namespace": cluster.namespace}},
        {"name": "nowhere", "context": {**context["context"], "cluster": "nowhere"}},
    ]
    config["current-context"] = "nowhere"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    cluster.make(training_model("one"))
    found = cmod("list", "--kubeconfig", str(path), "--context=there", here=False)
    assert found.stdout.splitlines()[1].split()[0] == "one", found.stderr
    before = cmod("--context", "there", "--kubeconfig", str(path), "list", here=False)
    assert before.stdout.split()[:-1] == found.stdout.split()[:-1]  # but for its age
    refused = cmod("list", f"--kubeconfig={path}")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "127.0.0.1:1" in refused.stderr
    forbidden = cmod("list", "--as=nobody")
    assert forbidden.returncode == 1
    assert 'User "nobody" cannot list resource "compressedmodels"' in forbidden.stderr


def test_mistakes_are_told_in_one_line(cmod):
    missing = cmod("status", "nobody")
    assert (missing.returncode, missing.stderr) == (
        1,
        'Error from server (NotFound): compressedmodels.modelpress.dev "nobody" not found\n',
    )
    assert cmod("status").returncode == 2
    assert "invalid choice: 'stats'" in cmod("stats").stderr


def test_it_starts_within_a_second():
    times = []
    for _ in range(3):
        begun = time.monotonic()
        done = subprocess.run([ENTRY_POINTS / "kubectl-cmod", "--version"], capture_output=True, text=True, check=True)
        times.append(time.monotonic() - begun)
    assert done.stdout.count(".") == 2
    assert min(times) < SLOWEST_START_SECONDS, times


def test_a_build_that_succeeds_keeps_no_log(operator, cluster, kubelet):
    assert operator
    cluster.make_claim()
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    pod = cluster.start_build(kubelet.place(job))
    kubelet.logs[pod, "build"] = progress(1)
    cluster.end_build(job, json.dumps(SUMMARY))
    cluster.wait_for("small", ArtifactReady="True/Built")
    made = [each["metadata"]["name"] for each in cluster.list("configmaps", "app.kubernetes.io/managed-by=modelpress")]
    assert made == [f"artifact-{job['metadata']['labels']['modelpress.dev/recipe']}"]


def test_an_api_server_that_takes_connections_and_says_nothing_ends_in_a_sentence(binaries, monkeypatch, capsys):
    """The socket's own queue takes kubectl's connections; nobody reads them."""
    monkeypatch.setenv("KUBECTL", str(binaries / "kubectl"))
    monkeypatch.setattr(kubectl, "ANSWER_SECONDS", 2)
    with socket.create_server((HOST, 0), backlog=16) as silent:
        where = f"--server=https://{HOST}:{silent.getsockname()[1]}"
        begun = time.monotonic()
        assert run(["why", "small", "-n", "press", where, "--token=x"]) == 1
    assert 2 <= time.monotonic() - begun < 20
    assert capsys.readouterr().err.startswith("kubectl get compressedmodels.modelpress.dev has no answer after 2 s: ")
