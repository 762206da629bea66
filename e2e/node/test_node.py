"""The node does what the demo and the operator's tests stand on."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from cluster.components import render_node_commands
from cluster.current import use_cluster
from cluster.images import import_image, write_archive
from cluster.node import Node, cgroup_folders
from cluster.places import Places
from cluster.processes import ClusterError, read_start_time

IMAGE = "localhost/busybox:test"
# where containerd, runc and the kubelet leave things that no setting moves into the node's own folder
SHARED_FOLDERS = ("/run/netns", "/run/containerd", "/var/log/containers", "/var/log/pods", "/var/lib/cni")

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
POD_SECURITY = {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 2000, "seccompProfile": {"type": "RuntimeDefault"}}
RESOURCES = {"requests": {"cpu": "50m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}


@pytest.fixture(scope="session")
def busybox_archive(tmp_path_factory):
    """A small image with a shell."""
    program = shutil.which("busybox", path="/bin:/usr/bin")
    assert program is not None, "busybox is missing: apt-get install busybox-static"
    archive = tmp_path_factory.mktemp("busybox") / "busybox.tar"
    write_archive(archive, IMAGE, {"bin/busybox": Path(program).read_bytes()}, ["/bin/busybox"])
    return archive


@pytest.fixture(scope="session")
def busybox(node, busybox_archive):
    """That image, known to the node."""
    import_image(node.node.places, busybox_archive)


def container(command, **fields):
    return {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["/bin/busybox", *command],
        "securityContext": RESTRICTED,
        "resources": RESOURCES,
        **fields,
    }


def pod_spec(command, volumes=(), **fields):
    return {
        "securityContext": POD_SECURITY,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [container(command, **fields)],
        "volumes": list(volumes),
    }


def pod(name, command, volumes=(), **fields):
    metadata = {"name": name, "labels": {"app": name}}
    return json.dumps(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(command, volumes, **fields)}
    )


def apply(node, namespace, text):
    node.kubectl("apply", "-n", namespace, "-f", "-", text=text)


def wait_for_pod(node, namespace, name):
    node.kubectl("wait", "-n", namespace, f"pod/{name}", "--for=condition=Ready", "--timeout=60s")


def serve(node, namespace, name):
    """A pod that answers HTTP on 8080 with its name under /hostname, and a Service for it."""
    apply(node, namespace, pod(name, ["httpd", "-f", "-p", "8080", "-h", "/etc"]))
    wait_for_pod(node, namespace, name)
    service = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    metadata = {"name": name, "namespace": namespace}
    apply(node, namespace, json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service}))


def test_the_node_is_ready_and_of_the_version_that_go_mod_names(node):
    (found,) = json.loads(node.kubectl("get", "nodes", "-o", "json"))["items"]
    conditions = {condition["type"]: condition["status"] for condition in found["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    version = json.loads(node.kubectl("version", "-o", "json"))
    assert version["serverVersion"]["gitVersion"] == version["clientVersion"]["gitVersion"] == "v1.34.4"
    assert found["status"]["nodeInfo"]["kubeletVersion"] == "v1.34.4"


def test_the_namespace_has_no_uplink(node):
    routes = subprocess.run(
        [*node.node.places.enter(), "ip", "-j", "route"], check=True, capture_output=True, text=True
    )
    assert {route["dev"] for route in json.loads(routes.stdout)} <= {"node0", "cni0"}
    links = subprocess.run([*node.node.places.enter(), "ip", "-j", "link"], check=True, capture_output=True, text=True)
    assert "node0-peer" in {link["ifname"] for link in json.loads(links.stdout)}


@pytest.mark.usefixtures("busybox")
def test_a_pod_reaches_a_service_by_its_name(node, namespace):
    serve(node, namespace, "answer")
    apply(node, namespace, pod("ask", ["sleep", "600"]))
    wait_for_pod(node, namespace, "ask")
    request = r'printf "GET /hostname HTTP/1.0\r\n\r\n"'
    script = f"{request} | /bin/busybox nc answer.{namespace}.svc.cluster.local 80"
    asked = node.wait_until(
        lambda: node.kubectl("exec", "-n", namespace, "ask", "--", "/bin/busybox", "sh", "-c", script, check=False),
        lambda done: "200 OK" in done.stdout,
        30,
        "asking the service",
    )
    assert asked.stdout.splitlines()[-1] == "answer"


@pytest.mark.usefixtures("busybox")
def test_logs_and_exec_work(node, namespace):
    apply(node, namespace, pod("talk", ["sh", "-c", "echo said; exec sleep 600"]))
    wait_for_pod(node, namespace, "talk")
    assert node.kubectl("logs", "-n", namespace, "talk") == "said\n"
    assert node.kubectl("exec", "-n", namespace, "talk", "--", "/bin/busybox", "id", "-u") == "1000\n"


def test_a_pod_that_is_not_restricted_is_refused(node, namespace):
    loose = json.loads(pod("loose", ["sleep", "1"]))
    del loose["spec"]["securityContext"]
    refused = node.kubectl("apply", "-n", namespace, "-f", "-", text=json.dumps(loose), check=False)
    assert refused.returncode != 0
    assert 'violates PodSecurity "restricted' in refused.stderr


@pytest.mark.usefixtures("busybox")
def test_a_restricted_pod_writes_to_a_claim_of_the_default_class(node, namespace):
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "store"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    apply(node, namespace, json.dumps(claim))
    volume = {"name": "store", "persistentVolumeClaim": {"claimName": "store"}}
    command = ["sh", "-c", "echo kept > /store/file && exec sleep 600"]
    apply(node, namespace, pod("write", command, [volume], volumeMounts=[{"name": "store", "mountPath": "/store"}]))
    wait_for_pod(node, namespace, "write")
    shown = node.kubectl("exec", "-n", namespace, "write", "--", "/bin/busybox", "stat", "-c", "%g", "/store")
    assert shown.strip() == "2000"
    assert node.kubectl("exec", "-n", namespace, "write", "--", "/bin/busybox", "cat", "/store/file") == "kept\n"


@pytest.mark.usefixtures("busybox")
def test_container_metrics_have_all_labels(node, namespace):
    apply(node, namespace, pod("measured", ["sleep", "600"]))
    wait_for_pod(node, namespace, "measured")
    labels = ('container="main"', f'namespace="{namespace}"', 'pod="measured"')

    def sample(path, metric):
        text = node.kubectl("get", "--raw", f"/api/v1/nodes/node0/proxy/metrics/{path}")
        return [
            line for line in text.splitlines() if line.startswith(metric) and all(label in line for label in labels)
        ]

    metric = "container_memory_working_set_bytes"
    for path in ("cadvisor", "resource"):
        node.wait_until(
            lambda path=path: sample(path, metric), lambda lines: len(lines) == 1, 60, f"{metric} in {path}"
        )


@pytest.mark.usefixtures("busybox")
def test_an_hpa_scales_on_cpu_and_comes_back(node, namespace):
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "busy"}},
        "template": {
            "metadata": {"labels": {"app": "busy"}},
            "spec": pod_spec(["sh", "-c", "while [ ! -e /tmp/calm ]; do :; done; exec sleep 600"])
            | {"volumes": [{"name": "tmp", "emptyDir": {}}]},
        },
    }
    spec["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "busy"}, "spec": spec}
    apply(node, namespace, json.dumps(deployment))
    node.kubectl("autoscale", "-n", namespace, "deployment/busy", "--cpu=50%", "--min=1", "--max=2")

    def replicas():
        return node.kubectl("get", "-n", namespace, "deployment/busy", "-o", "jsonpath={.status.readyReplicas}")

    node.wait_until(replicas, lambda seen: seen == "2", 120, "ready replicas under load")
    names = node.kubectl("get", "pods", "-n", namespace, "-l", "app=busy", "-o", "name").split()
    for name in names:
        node.kubectl("exec", "-n", namespace, name, "--", "/bin/busybox", "touch", "/tmp/calm")  # noqa: S108
    node.wait_until(replicas, lambda seen: seen == "1", 150, "ready replicas when calm")


def test_helm_installs_a_chart_that_asks_for_a_kubernetes_version(node, namespace, tmp_path):
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text('apiVersion: v2\nname: small\nversion: 0.1.0\nkubeVersion: ">=1.34.0 <1.35.0"\n')
    (chart / "templates" / "map.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-helm}\n")
    places = node.node.places
    helm = [places.program("helm"), f"--kubeconfig={places.kubeconfig}", "-n", namespace]
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([*helm, "install", "small", chart], check=True, capture_output=True, env=environment)
    assert node.kubectl("get", "-n", namespace, "configmap/from-helm", "-o", "name") == "configmap/from-helm\n"
    subprocess.run([*helm, "uninstall", "small"], check=True, capture_output=True, env=environment)
    assert node.kubectl("get", "-n", namespace, "configmap/from-helm", check=False).returncode != 0


def test_a_cluster_that_is_there_is_used_only_when_known_or_named(node, tmp_path, monkeypatch):
    places = node.node.places
    monkeypatch.setenv("PATH", f"{places.binaries}:{os.environ['PATH']}")
    monkeypatch.setenv("KUBECONFIG", str(places.kubeconfig))
    assert use_cluster("current") == "modelpress"
    renamed = tmp_path / "config"
    renamed.write_text(places.kubeconfig.read_text().replace("name: modelpress\n", "name: production\n", 9))
    renamed.write_text(renamed.read_text().replace("cluster: modelpress,", "cluster: production,"))
    renamed.write_text(renamed.read_text().replace("current-context: modelpress", "current-context: production"))
    monkeypatch.setenv("KUBECONFIG", str(renamed))
    with pytest.raises(ClusterError, match="say CLUSTER=production if it is meant"):
        use_cluster("current")
    assert use_cluster("production") == "production"
    with pytest.raises(ClusterError, match="KUBECONFIG names the cluster you mean"):
        use_cluster("elsewhere")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("half", [0, 1])
def test_killed_components_are_noticed_and_healed(node, half):
    """Every other component at once, then the others: to heal one takes as long as to heal four."""
    assert node.node.problems() == []
    killed = list(node.node.component_pids().items())[half::2]
    for _, pid in killed:
        os.kill(pid, signal.SIGKILL)
    for name, _ in killed:
        node.wait_until(
            lambda name=name: node.node.component_pids()[name], lambda seen: seen is None, 10, f"{name} gone"
        )
    problems = node.node.problems()
    for name, _ in killed:
        assert any(problem.startswith(f"{name} does not run") for problem in problems)
    node.node.up(lambda _: None)
    node.wait_until(node.node.problems, lambda seen: seen == [], 60, f"after {killed} were killed")


def leave_half_imported(node, archive):
    """Have containerd read half of the archive, and end the reader."""
    places = node.node.places
    command = ["ctr", f"--address={places.containerd_socket}", "--namespace=k8s.io", "images", "import", "-"]
    half = archive.read_bytes()[: archive.stat().st_size // 2]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as reader:
        reader.stdin.write(half)
        reader.stdin.flush()
        node.wait_until(lambda: list(half_imports(node)), bool, 20, "a half-imported layer")
        reader.kill()


def half_imports(node):
    """What containerd has begun to write and not ended."""
    return (node.node.places.state / "containerd/root/io.containerd.content.v1.content").glob("ingest/*")


@pytest.mark.timeout(300)
def test_an_import_that_was_cut_off_keeps_neither_another_image_nor_the_node_from_it(node, tmp_path):
    large, small = tmp_path / "large.tar", tmp_path / "small.tar"
    write_archive(large, "localhost/large:test", {"program": os.urandom(32_000_000)}, ["/program"])
    write_archive(small, "localhost/small:test", {"program": b"small"}, ["/program"])
    leave_half_imported(node, large)
    import_image(node.node.places, small)
    assert list(half_imports(node)) != []
    os.kill(node.node.component_pids()["containerd"], signal.SIGKILL)
    node.wait_until(lambda: node.node.component_pids()["containerd"], lambda seen: seen is None, 10, "containerd gone")
    node.node.up(lambda _: None)
    assert list(half_imports(node)) == []
    import_image(node.node.places, large)


@pytest.mark.timeout(300)
def test_a_second_node_lives_beside_the_first_and_leaves_nothing(node, binaries, busybox_archive, tmp_path):
    second = Node(Places(tmp_path / "second", binaries))
    node.wait_until(
        lambda: node.kubectl("get", "pods", "--all-namespaces", "--output=name"),
        lambda names: names == "",
        120,
        "the end of other tests' pods",
    )
    before = [set(Path(folder).glob("**/*")) for folder in SHARED_FOLDERS]
    try:
        second.up(lambda _: None)
        import_image(second.places, busybox_archive)
        client = type(node)(second)
        client.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
        client.kubectl("apply", "-f", "-", text=pod("held", ["sleep", "600"]))
        client.kubectl("wait", "pod/held", "--for=condition=Ready", "--timeout=60s")
        assert second.problems() == []
        assert node.node.problems() == []
        assert second.places.port != node.node.places.port
        assert second.up(lambda _: None) < 60
    finally:
        pids = [pid for pid in second.component_pids().values() if pid]
        second.down(lambda _: None)
    assert len(pids) == len(render_node_commands(second.places))
    assert [pid for pid in pids if read_start_time(pid)] == []
    assert [set(Path(folder).glob("**/*")) for folder in SHARED_FOLDERS] == before
    assert not second.places.state.exists()
    assert not second.places.sockets.exists()
    assert [folder for folder in cgroup_folders(second.places) if folder.exists()] == []
    mounts = Path("/proc/mounts").read_text()
    assert str(tmp_path) not in mounts
    assert second.places.namespace not in mounts
    assert node.node.problems() == []
