"""The chart's own Prometheus: its configuration in the real program, against a real API server and stand-in pods."""

import json
import subprocess

import pytest
import yaml
from images.steps import tell_on_stderr
from monitoring.image import write_image
from monitoring.loopback_exporter import loopback_exporter
from monitoring.running import running_prometheus

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
SERVING_PAGE = """# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="digits",status="OK"} 12
# TYPE process_open_fds gauge
process_open_fds 7
# TYPE modelpress_predict_duration_seconds histogram
modelpress_predict_duration_seconds_bucket{model_name="digits",le="+Inf"} 12
modelpress_predict_duration_seconds_count{model_name="digits"} 12
"""
KUBELET_PAGE = """# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="server",id="/a",namespace="NAMESPACE",pod="digits-1"} 3
container_cpu_usage_seconds_total{container="unpack",id="/b",namespace="NAMESPACE",pod="digits-1"} 4
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="server",id="/a",namespace="NAMESPACE",pod="digits-1"} 5e+06
container_memory_working_set_bytes{container="",id="/",namespace="",pod=""} 6e+06
# TYPE container_memory_cache gauge
container_memory_cache{container="server",id="/a",namespace="NAMESPACE",pod="digits-1"} 8
"""
OPERATOR_PAGE = """# TYPE modelpress_queue_depth gauge
modelpress_queue_depth 2
# TYPE modelpress_model_ready gauge
modelpress_model_ready{namespace="of-the-model",model="digits"} 1
"""
SERVING_LABELS = {
    "app.kubernetes.io/managed-by": "modelpress",
    "app.kubernetes.io/component": "server",
    "modelpress.dev/model": "digits",
}


@pytest.fixture(scope="session")
def prometheus_programs():
    """Folder with prometheus and promtool."""
    return write_image(tell_on_stderr).programs


def read_config(objects):
    """The configuration that a rendered chart gives its Prometheus."""
    maps = [each["data"] for each in objects if each["kind"] == "ConfigMap"]
    (config,) = [data["prometheus.yml"] for data in maps if "prometheus.yml" in data]
    return config


@pytest.mark.parametrize("name", ["everything", "namespaced"])
def test_prometheus_own_checker_takes_the_configuration(name, helm, variants, prometheus_programs, tmp_path):
    config = tmp_path / "prometheus.yml"
    config.write_text(read_config(helm.render(variants[name])))
    command = [prometheus_programs / "promtool", "check", "config", "--syntax-only", config]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("size", "kept"), [("2Gi", 1717986918), ("500M", 400000000), ("3Ti", 2638827906662), ("1T", 800000000000)]
)
def test_the_oldest_goes_before_the_disk_is_full(size, kept, helm, select):
    objects = helm.render({"prometheus": {"enabled": True, "storageSize": size}})
    (deployment,) = select(objects, "Deployment", "modelpress-prometheus")
    pod = deployment["spec"]["template"]["spec"]
    assert f"--storage.tsdb.retention.size={kept}B" in pod["containers"][0]["args"]
    assert {"name": "data", "emptyDir": {"sizeLimit": size}} in pod["volumes"]


def test_in_some_namespaces_it_looks_at_those_alone(helm, variants):
    jobs = {
        each["job_name"]: each
        for each in yaml.safe_load(read_config(helm.render(variants["namespaced"])))["scrape_configs"]
    }
    assert set(jobs) == {"modelpress-serving", "modelpress-operator"}
    assert jobs["modelpress-serving"]["kubernetes_sd_configs"][0]["namespaces"] == {"names": ["team-a", "team-b"]}


def test_a_kubelets_series_of_other_namespaces_are_dropped_there(helm):
    config = read_config(helm.render({"watchNamespaces": ["team-a"], "prometheus": {"enabled": True}}))
    (kubelet,) = [each for each in yaml.safe_load(config)["scrape_configs"] if each["job_name"] == "kubelet-cadvisor"]
    assert {"source_labels": ["namespace"], "regex": "team-a", "action": "keep"} in kubelet["metric_relabel_configs"]


def test_the_operator_is_told_where_it_is(helm, select):
    objects = helm.render({"prometheus": {"enabled": True}})
    (service,) = select(objects, "Service", "modelpress-prometheus")
    (operator,) = select(objects, "Deployment", "modelpress")
    (url,) = [
        each["value"]
        for each in operator["spec"]["template"]["spec"]["containers"][0]["env"]
        if each["name"] == "MODELPRESS_PROMETHEUS_URL"
    ]
    assert url == f"http://modelpress-prometheus.modelpress-system:{service['spec']['ports'][0]['port']}"


OUTSIDE = {"url": "https://prometheus.example/prefix", "credentialsSecretName": "prometheus-reader"}


@pytest.mark.parametrize("kind", ["Deployment", "Pod"])
def test_what_prometheus_asks_for_is_mounted_and_never_in_the_environment(kind, helm, select):
    (found,) = select(helm.render({"prometheus": OUTSIDE}), kind)
    spec = found["spec"]["template"]["spec"] if kind == "Deployment" else found["spec"]
    (container,) = spec["containers"]
    settings = {each["name"]: each["value"] for each in container["env"]}
    folder = settings["MODELPRESS_PROMETHEUS_CREDENTIALS_FOLDER"]
    assert {"name": "prometheus", "mountPath": folder, "readOnly": True} in container["volumeMounts"]
    secret = {"secretName": "prometheus-reader", "defaultMode": 0o440}
    assert {"name": "prometheus", "secret": secret} in spec["volumes"]
    assert "prometheus-reader" not in settings.values()
    assert "envFrom" not in container
    assert settings["MODELPRESS_PROMETHEUS_INSECURE"] == "false"


def test_without_a_secret_none_is_mounted(helm, select):
    (operator,) = select(helm.render({"prometheus": {"url": "http://prometheus:9090"}}), "Deployment", "modelpress")
    assert [each["name"] for each in operator["spec"]["template"]["spec"]["volumes"]] == ["tmp"]


def test_every_certificate_is_taken_by_an_explicit_value_alone(helm, select):
    (operator,) = select(helm.render({"prometheus": OUTSIDE | {"insecure": True}}), "Deployment", "modelpress")
    environment = operator["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "MODELPRESS_PROMETHEUS_INSECURE", "value": "true"} in environment


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"url": "https://reader:s3cret@prometheus"}, "put them into a Secret and name it in"),
        ({"enabled": True, "credentialsSecretName": "reader"}, "the chart's own, prometheus.enabled, asks for none"),
    ],
)
def test_credentials_in_the_wrong_place_are_refused_and_not_shown(values, words, helm):
    refused = helm.template({"prometheus": values})
    assert refused.returncode != 0
    assert words in refused.stderr
    assert "s3cret" not in refused.stdout + refused.stderr


@pytest.mark.parametrize("name", ["modelpress-serving", "modelpress"])
def test_a_podmonitor_names_a_port_and_labels_that_pods_have(name, helm, variants, select):
    objects = helm.render(variants["everything"])
    (monitor,) = select(objects, "PodMonitor", name)
    assert monitor["metadata"]["labels"]["release"] == "monitoring"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["interval"] == endpoint["scrapeTimeout"] == "5s"
    # The operator tells of other namespaces' models; a server tells of nobody else.
    assert endpoint.get("honorLabels", False) is (name == "modelpress")
    if name == "modelpress-serving":
        assert monitor["spec"]["namespaceSelector"] == {"any": True}
        assert monitor["spec"]["selector"]["matchLabels"].items() <= SERVING_LABELS.items()
        assert (endpoint["port"], endpoint["path"]) == ("http", "/monitoring/prometheus/metrics")
    else:
        (operator,) = select(objects, "Deployment", "modelpress")
        template = operator["spec"]["template"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        assert endpoint["port"] in [port["name"] for port in template["spec"]["containers"][0]["ports"]]


class StandIns:
    """Pods and a node that nothing runs: objects whose status says that they are on this machine's loopback."""

    def __init__(self, api_server, namespace):
        self.api_server = api_server
        self.namespace = namespace
        self.create("ServiceAccount", "default", {"automountServiceAccountToken": False})

    def create(self, kind, name, body, labels=None, annotations=None):
        """Create an object of the core group."""
        metadata = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
        if kind != "Node":
            metadata["namespace"] = self.namespace
        document = {"apiVersion": "v1", "kind": kind, "metadata": metadata} | body
        created = self.api_server.kubectl("create", "-f", "-", text=json.dumps(document))
        assert created.returncode == 0, created.stderr

    def set_status(self, kind, name, status):
        """Play the kubelet."""
        patch = json.dumps({"status": status})
        arguments = ["patch", kind, name, "-n", self.namespace, "--subresource=status", "--type=merge", "-p", patch]
        patched = self.api_server.kubectl(*arguments)
        assert patched.returncode == 0, patched.stderr

    def pod(self, name, container, port_name, port, labels, annotations=None):
        """A pod that runs, by its status."""
        ports = [{"name": port_name, "containerPort": port}, {"name": "other", "containerPort": 1}]
        spec = {"containers": [{"name": container, "image": "none", "ports": ports, "securityContext": RESTRICTED}]}
        self.create("Pod", name, {"spec": spec | {"nodeName": self.namespace}}, labels, annotations)
        self.set_status("pod", name, {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]})

    def node(self, port):
        """A node whose kubelet is at that port."""
        self.create("Node", self.namespace, {})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        self.set_status("node", self.namespace, status)


@pytest.fixture
def stand_ins(api_server, api_namespace):
    """Objects in the test's namespace, and a node that goes with the test."""
    yield StandIns(api_server, api_namespace)
    api_server.kubectl("delete", "node", api_namespace, "--ignore-not-found")


def test_it_finds_and_keeps_what_kpis_need(
    helm, api_server, api_namespace, stand_ins, chart, prometheus_programs, tmp_path
):
    access = [f"--kubeconfig={api_server.kubeconfig}", f"--namespace={api_namespace}"]
    values = {"prometheus": {"enabled": True, "scrapeSeconds": 1, "kubelet": {"scrapeSeconds": 5}}}
    installed = helm.run("install", "modelpress", chart, *access, values=values)
    assert installed.returncode == 0, installed.stderr
    token = api_server.kubectl("create", "token", "modelpress-prometheus", "-n", api_namespace).stdout.strip()
    config = write_config_outside_a_pod(
        read_config(helm.render(values, namespace=api_namespace)), api_server, token, tmp_path
    )
    with (
        loopback_exporter(SERVING_PAGE) as serving,
        loopback_exporter(KUBELET_PAGE.replace("NAMESPACE", api_namespace)) as kubelet,
        loopback_exporter(OPERATOR_PAGE) as operator,
        loopback_exporter(SERVING_PAGE) as stranger,
    ):
        path = {"prometheus.io/path": "/monitoring/prometheus/metrics"}
        stand_ins.node(kubelet.port)
        stand_ins.pod("digits-1", "server", "http", serving.port, SERVING_LABELS, path)
        stand_ins.pod("stranger-1", "server", "http", stranger.port, {"app": "stranger"}, path)
        labels = {"name": "modelpress", "instance": "modelpress", "component": "operator"}
        labels = {f"app.kubernetes.io/{key}": value for key, value in labels.items()}
        stand_ins.pod("operator-1", "operator", "metrics", operator.port, labels)
        with running_prometheus([prometheus_programs / "prometheus"], config, tmp_path / "data") as prometheus:
            (served,) = prometheus.wait_for_series('{__name__=":tensorflow:serving:request_count"}', bool)
            of_kubelet = prometheus.wait_for_series('{job="kubelet-cadvisor",__name__=~"container_.*"}', bool)
            (of_operator,) = prometheus.wait_for_series("modelpress_queue_depth", bool)
            (of_model,) = prometheus.read_series("modelpress_model_ready")
            others = prometheus.read_series('{__name__=~"process_open_fds|modelpress_predict_duration_seconds_count"}')
            (fine,) = prometheus.read_series("modelpress_predict_duration_seconds_bucket")
    found = {key: served[0][key] for key in ("namespace", "pod", "container", "modelpress_dev_model")}
    assert found == {
        "namespace": api_namespace,
        "pod": "digits-1",
        "container": "server",
        "modelpress_dev_model": "digits",
    }
    assert {path for path, _ in serving.asked} == {"/monitoring/prometheus/metrics"}
    assert {(labels["__name__"], labels["container"], labels["pod"], value) for labels, value in of_kubelet} == {
        ("container_cpu_usage_seconds_total", "server", "digits-1", 3),
        ("container_memory_working_set_bytes", "server", "digits-1", 5e6),
    }
    assert set(kubelet.asked) == {("/metrics/cadvisor", f"Bearer {token}")}
    assert (of_operator[0]["pod"], of_operator[0]["namespace"], of_operator[1]) == ("operator-1", api_namespace, 2)
    # What the operator tells of a model keeps that model's namespace.
    assert (of_model[0]["pod"], of_model[0]["namespace"]) == ("operator-1", "of-the-model")
    assert (others, stranger.asked) == ([], [])
    assert (fine[0]["pod"], fine[0]["namespace"], fine[1]) == ("digits-1", api_namespace, 12)


def write_config_outside_a_pod(text, api_server, token, folder):
    """The configuration as it is, but with credentials from files of this test, and kubelets without TLS."""
    (folder / "token").write_text(token)
    access = yaml.safe_load(api_server.kubeconfig.read_text())
    access["users"][0]["user"] = {"token": token}
    (folder / "kubeconfig").write_text(yaml.safe_dump(access))
    config = yaml.safe_load(text)
    for job in config["scrape_configs"]:
        for source in job["kubernetes_sd_configs"]:
            source["kubeconfig_file"] = str(folder / "kubeconfig")
        if job["job_name"] == "kubelet-cadvisor":
            del job["tls_config"]
            job |= {"scheme": "http", "authorization": {"credentials_file": str(folder / "token")}}
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path
