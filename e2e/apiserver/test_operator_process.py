"""The operator as a process: what it needs to begin, how it ends, and that being killed costs nothing."""

import json
import os
import subprocess
import urllib.error
import urllib.request

import pytest
import yaml
from cluster.client import wait_until
from operator_play import PYTHON, SUMMARY, OperatorProcess, training_model


def read(port, path):
    """Status and text of a page of the operator's."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def run(*arguments, **environment):
    """The command to its end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MODELPRESS_")}
    command = [PYTHON, "-W", "error", "-m", "model_operator", *arguments]
    return subprocess.run(
        command, env={**clean, **environment}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def own_operator(operator_kubeconfig, api_namespace, tmp_path):
    """An operator that serves the test's namespace only."""
    with OperatorProcess(operator_kubeconfig, tmp_path / "log", watch_namespaces=api_namespace) as running:
        yield running


def test_killed_in_a_build_it_goes_on_and_builds_once(own_operator, cluster):
    cluster.make_claim()
    cluster.make(training_model())
    (job,) = cluster.wait_for_jobs(1)
    own_operator.kill()
    cluster.start_build(job)
    cluster.end_build(job, json.dumps(SUMMARY))
    own_operator.start()
    cluster.serve("small")
    cluster.wait_for("small", Ready="True/Serving", ArtifactReady="True/Built")
    assert [each["metadata"]["uid"] for each in cluster.list("jobs")] == [job["metadata"]["uid"]]


def test_it_tells_of_itself_and_ends_within_ten_seconds(own_operator, cluster):
    cluster.make(training_model())
    cluster.wait_for("small", Ready="False/StoreMissing")
    assert read(own_operator.health_port, "healthz") == (200, "ok\n")
    wait_until(lambda: read(own_operator.health_port, "readyz"), lambda page: page == (200, "ok\n"), 10, "/readyz")
    status, page = read(own_operator.metrics_port, "metrics")
    assert status == 200
    assert 'modelpress_reconciles_total{result="failed"} 0.0' in page
    assert 'modelpress_build_info{version="' in page
    seconds, status = own_operator.stop()
    assert seconds < 10
    assert status == 0
    assert own_operator.words().count("\n") == 1  # one line that it serves; nothing was written for this model


def test_a_model_in_a_namespace_that_is_not_served_is_left_alone(own_operator, cluster, crd_server):
    other = f"{cluster.namespace}-other"
    assert crd_server.kubectl("create", "namespace", other).returncode == 0
    text = json.dumps(training_model())
    assert crd_server.kubectl("apply", "-n", other, "-f", "-", text=text).returncode == 0
    cluster.make(training_model())
    cluster.wait_for("small", Ready="False/StoreMissing")
    there = json.loads(crd_server.kubectl("get", "cmod", "small", "-n", other, "-o", "json").stdout)
    crd_server.kubectl("delete", "namespace", other, "--wait=false")
    assert own_operator.process.poll() is None
    assert there["status"] == {"observedGeneration": -1}  # the default: nobody has looked at it


def test_an_object_that_the_types_refuse_says_so_and_recovers(own_operator, cluster, crd_server):
    """Another operator's version may let through what this one cannot obey; a CRD without its rules does the same."""
    name = "compressedmodels.modelpress.dev"
    before = crd_server.kubectl("get", "crd", name, "-o", "json").stdout
    document = json.loads(before)
    drop_rules(document["spec"])
    document["metadata"] = {"name": name}
    assert crd_server.kubectl("replace", "-f", "-", text=json.dumps(document)).returncode == 0
    try:
        broken = training_model()
        broken["spec"]["compression"]["bits"] = 17
        wait_until(lambda: put(cluster, broken), bool, 10, "the CRD without rules")
        cluster.wait_for("small", Ready="False/InvalidSpec", Stalled="True/InvalidSpec")
        assert "bits" in cluster.message("small", "Ready")
        cluster.patch("cmod", "small", {"spec": {"compression": {"bits": 8}}})
        cluster.wait_for("small", Ready="False/StoreMissing", Stalled="False/NotStalled")
    finally:
        restored = json.loads(before)
        restored["metadata"] = {"name": name}
        assert crd_server.kubectl("replace", "-f", "-", text=json.dumps(restored)).returncode == 0
    assert own_operator.process.poll() is None


def drop_rules(node):
    """Remove every CEL rule below `node`."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict):
        node.pop("x-kubernetes-validations", None)
    for child in children:
        drop_rules(child)


def put(cluster, body):
    """Whether the API server takes the object."""
    done = cluster.server.kubectl("apply", "-n", cluster.namespace, "-f", "-", text=json.dumps(body))
    return done.returncode == 0


def test_missing_rights_end_it_with_a_sentence_each(crd_server, operator_kubeconfig, tmp_path):
    assert operator_kubeconfig
    made = crd_server.kubectl(
        "create", "serviceaccount", "powerless", "-n", "default", "--dry-run=client", "-o", "json"
    )
    crd_server.kubectl("apply", "-f", "-", text=made.stdout)
    token = crd_server.kubectl("create", "token", "powerless", "-n", "default").stdout.strip()
    config = yaml.safe_load(operator_kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    ended = run(KUBECONFIG=str(path), MODELPRESS_WATCH_NAMESPACES="press")
    assert ended.returncode == 3
    lines = ended.stderr.splitlines()
    assert (
        "modelpress-operator: patch compressedmodels.modelpress.dev/status in namespace press is not allowed: "
        "grant it to the operator's service account"
    ) in lines
    assert all(line.startswith("modelpress-operator: ") for line in lines)


def test_an_operator_whose_token_is_no_longer_taken_does_not_live_on(crd_server, operator_kubeconfig, tmp_path):
    """Its watches would be dead; so it ends, and Kubernetes starts it anew with the token that is valid then."""
    account = ("revoked", "-n", "default")
    assert crd_server.kubectl("create", "serviceaccount", *account).returncode == 0
    binding = ("create", "clusterrolebinding", "revoked", "--clusterrole=modelpress-operator")
    assert crd_server.kubectl(*binding, "--serviceaccount=default:revoked").returncode == 0
    config = yaml.safe_load(operator_kubeconfig.read_text())
    config["users"][0]["user"] = {"token": crd_server.kubectl("create", "token", *account).stdout.strip()}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    with OperatorProcess(path, tmp_path / "log", resync_seconds=5) as operator:
        wait_until(lambda: read(operator.health_port, "readyz")[0], lambda status: status == 200, 20, "ready")
        crd_server.kubectl("delete", "serviceaccount", *account)
        wait_until(lambda: is_over(operator), bool, 60, "the operator's end")
    crd_server.kubectl("delete", "clusterrolebinding", "revoked")


def is_over(operator):
    """Whether the process ended, or says that it must be ended."""
    return operator.process.poll() is not None or read(operator.health_port, "healthz")[0] == 503


def test_a_setting_that_is_wrong_ends_it_with_a_sentence(operator_kubeconfig):
    ended = run(KUBECONFIG=str(operator_kubeconfig), MODELPRESS_WORKERS="0")
    assert (ended.returncode, ended.stderr) == (
        2,
        "modelpress-operator: MODELPRESS_WORKERS is '0': Input should be greater than or equal to 1\n",
    )


def test_its_settings_and_version_are_told():
    assert "MODELPRESS_STORE_CLAIM_NAME" in run("--help").stdout
    assert run("--version").stdout.strip().count(".") == 2
