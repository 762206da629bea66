"""The chart on a real API server: what Helm installs and leaves, and exactly which rights the operator gets."""

import json
import re
from itertools import groupby, product

import pytest
import yaml

from model_operator.rights import GRANTS, list_rights

PODMONITOR_CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podmonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: PodMonitor, listKind: PodMonitorList, plural: podmonitors, singular: podmonitor}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
REFUSED = {
    ("", "secrets"),
    ("", "pods/exec"),
    ("", "serviceaccounts"),
    ("", "serviceaccounts/token"),
    ("", "nodes"),
    ("", "nodes/metrics"),
    ("", "namespaces"),
    ("", "persistentvolumes"),
    ("apps", "replicasets"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "clusterroles"),
}


def name_resource(right):
    """API group and resource, with its subresource."""
    return right.group, "/".join(filter(None, (right.resource, right.subresource)))


GRANTED = [right for grant in GRANTS for right in list_rights(grant)]
# Verbs by API group and resource: what the operator asks for, and nothing besides.
RIGHTS = {each: set() for each in REFUSED} | {
    resource: {right.verb for right in rights}
    for resource, rights in groupby(sorted(GRANTED, key=name_resource), name_resource)
}
PROMETHEUS_RIGHTS = {("", "pods"): {"list", "watch"}, ("", "nodes"): {"list", "watch"}, ("", "nodes/metrics"): {"get"}}


@pytest.fixture(scope="module")
def server(api_server):
    """An API server that knows PodMonitors."""
    api_server.apply_crd(PODMONITOR_CRD)
    return api_server


@pytest.fixture
def helm_there(helm, server, api_namespace):
    """`helm VERB …` in the test's namespace; its standard output."""

    def run(*arguments, values=None):
        done = helm.run(*arguments, f"--kubeconfig={server.kubeconfig}", f"--namespace={api_namespace}", values=values)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    listed = helm.run("list", "-q", f"--kubeconfig={server.kubeconfig}", f"--namespace={api_namespace}").stdout
    for release in listed.split():
        run("uninstall", release)


def read_allowed(server, user, namespace, rights):
    """Which verbs a user has, by API group and resource: one question for all."""
    asked = [(group, resource, verb) for (group, resource), verb in product(rights, VERBS)]
    reviews = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{user}",
                "groups": ["system:serviceaccounts", "system:authenticated"],
                "resourceAttributes": {
                    "namespace": namespace,
                    "group": group,
                    "resource": resource.partition("/")[0],
                    "subresource": resource.partition("/")[2],
                    "verb": verb,
                },
            },
        }
        for group, resource, verb in asked
    ]
    listing = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    answered = server.kubectl("create", "-f", "-", "-o", 'jsonpath={.status.allowed}{"\\n"}', text=listing)
    assert answered.returncode == 0, answered.stderr
    allowed = {each: set() for each in rights}
    for (group, resource, verb), answer in zip(asked, answered.stdout.split(), strict=True):
        if answer == "true":
            allowed[group, resource].add(verb)
    return allowed


def test_the_api_server_takes_every_object_without_a_warning(server, objects, api_namespace):
    for each in objects:
        if "namespace" in each["metadata"]:
            each["metadata"]["namespace"] = api_namespace
    # a dry run makes no account, and admission looks for that of a pod
    assert server.kubectl("create", "serviceaccount", "modelpress", "-n", api_namespace).returncode == 0
    # namespaced values name two namespaces: one object in each is one too many here
    unique = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    text = yaml.safe_dump_all(unique.values())
    applied = server.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", text=text)
    assert applied.returncode == 0, applied.stderr
    assert applied.stderr == ""
    assert len(applied.stdout.splitlines()) == len(unique)


def test_installed_upgraded_and_uninstalled_it_leaves_the_store_and_the_models(
    server, helm_there, api_namespace, chart
):
    def names(kind):
        return server.kubectl("get", kind, "-n", api_namespace, "-o", "name").stdout.split()

    helm_there("install", "modelpress", chart, values={"prometheus": {"enabled": True}})
    assert names("deployments") == ["deployment.apps/modelpress", "deployment.apps/modelpress-prometheus"]
    model = (chart.parents[1] / "examples" / "digits-a125-b8.yaml").read_text()
    created = server.kubectl("create", "-n", api_namespace, "-f", "-", text=model)
    assert created.returncode == 0, created.stderr
    helm_there("upgrade", "modelpress", chart, values={"logLevel": "DEBUG"})
    assert names("deployments") == ["deployment.apps/modelpress"]
    helm_there("uninstall", "modelpress")
    assert names("deployments,services,serviceaccounts") == []
    assert names("persistentvolumeclaims") == ["persistentvolumeclaim/modelpress-store"]
    assert names("compressedmodels") == ["compressedmodel.modelpress.dev/digits-a125-b8"]
    helm_there("install", "modelpress", chart, values={})
    assert names("persistentvolumeclaims") == ["persistentvolumeclaim/modelpress-store"]


def test_the_notes_say_what_comes_next(helm_there, chart):
    notes = helm_there("install", "modelpress", chart, "--dry-run=server", values={"store": {"namespaces": ["models"]}})
    assert "kubectl -n models apply -f examples/digits-a125-b8.yaml" in notes
    assert "models. Add others to `store.namespaces`" in notes
    assert "KPIs, objectives and savings stay Unknown: no Prometheus was named" in notes
    bucket = {"store": {"uri": "s3://models", "secretName": "modelpress-s3"}}
    notes = helm_there("install", "modelpress", chart, "--dry-run=server", values=bucket)
    assert "Artifacts are kept in s3://models. Each namespace with models needs a Secret modelpress-s3 with" in notes
    assert "PersistentVolumeClaim" not in notes


def test_the_operator_may_do_what_it_needs_and_nothing_else(server, helm_there, chart, api_namespace):
    helm_there("install", "modelpress", chart, values={})
    assert read_allowed(server, f"{api_namespace}:modelpress", "elsewhere", RIGHTS) == RIGHTS


def test_in_some_namespaces_it_may_do_nothing_in_others(server, helm_there, chart, api_namespace):
    values = {"watchNamespaces": [api_namespace], "prometheus": {"enabled": True, "kubelet": {"enabled": False}}}
    helm_there("install", "modelpress", chart, values=values)
    none = {each: set() for each in RIGHTS}
    assert read_allowed(server, f"{api_namespace}:modelpress", api_namespace, RIGHTS) == RIGHTS
    assert read_allowed(server, f"{api_namespace}:modelpress", "elsewhere", RIGHTS) == none
    pods = {("", "pods"): {"list", "watch"}}
    assert read_allowed(server, f"{api_namespace}:modelpress-prometheus", api_namespace, RIGHTS) == none | pods
    assert read_allowed(server, f"{api_namespace}:modelpress-prometheus", "elsewhere", RIGHTS) == none


def test_prometheus_may_find_pods_and_read_kubelets(server, helm_there, chart, api_namespace):
    helm_there("install", "modelpress", chart, values={"prometheus": {"enabled": True}})
    allowed = read_allowed(server, f"{api_namespace}:modelpress-prometheus", "elsewhere", RIGHTS)
    assert {each: verbs for each, verbs in allowed.items() if verbs} == PROMETHEUS_RIGHTS


def test_the_documented_command_upgrades_crds_that_helm_installed(server, helm_there, chart, tmp_path):
    helm_there("install", "modelpress", chart, values={})
    document = (chart.parents[1] / "docs" / "install.md").read_text()
    (command,) = re.findall(r"kubectl (apply .+) -f charts/modelpress/crds$", document, flags=re.MULTILINE)
    newer = yaml.safe_load((chart / "crds" / "compressedmodels.yaml").read_text())
    newer["spec"]["names"]["categories"] = ["all"]
    (tmp_path / "crd.yaml").write_text(yaml.safe_dump(newer))
    applied = server.kubectl(*command.split(), "-f", str(tmp_path))
    assert applied.returncode == 0, applied.stderr
    name = ("get", "crd", "compressedmodels.modelpress.dev", "-o", "jsonpath={.spec.names.categories}")
    assert server.kubectl(*name).stdout == '["all"]'
    restored = server.kubectl(*command.split(), "-f", str(chart / "crds"))
    assert restored.returncode == 0, restored.stderr
