"""What the chart renders: whole objects, restricted pods, settings that the operator knows, and words for mistakes."""

import json
from pathlib import Path

import pytest
import yaml

from model_operator.settings import Settings

CHART = Path(__file__).resolve().parents[2] / "charts" / "modelpress"
CLUSTER_KINDS = {"ClusterRole", "ClusterRoleBinding"}


def workloads(objects):
    """Pod templates by the name of their Deployment."""
    return {each["metadata"]["name"]: each["spec"]["template"] for each in objects if each["kind"] == "Deployment"}


def settings_of(objects):
    """The operator's environment variables, in order."""
    (container,) = workloads(objects)["modelpress"]["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"]}


def test_helm_finds_nothing_to_warn_of(helm):
    linted = helm.run("lint", "--strict", CHART)
    assert linted.returncode == 0, linted.stdout
    assert "WARNING" not in linted.stdout


def test_the_charts_crds_are_the_generated_ones():
    generated = {path.name: path.read_text() for path in (CHART.parents[1] / "crds").glob("*.yaml")}
    assert {path.name: path.read_text() for path in (CHART / "crds").glob("*.yaml")} == generated


def test_no_two_objects_have_one_name_and_each_is_labelled(objects):
    identities = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects]
    assert len(identities) == len(set(identities))
    for each in objects:
        assert each["metadata"]["labels"]["app.kubernetes.io/name"] == "modelpress"
        assert each["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        assert ("namespace" in each["metadata"]) == (each["kind"] not in CLUSTER_KINDS)


def test_every_pod_is_restricted_and_states_its_needs(objects):
    for name, template in workloads(objects).items():
        pod = template["spec"]["securityContext"]
        assert (pod["runAsNonRoot"], pod["seccompProfile"]) == (True, {"type": "RuntimeDefault"}), name
        assert pod["runAsUser"] > 0
        for container in template["spec"]["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            assert {"livenessProbe", "readinessProbe"} <= set(container)


def test_a_selector_finds_its_own_pods_alone(objects):
    templates = workloads(objects)
    for each in objects:
        if each["kind"] in ("Deployment", "Service"):
            selector = each["spec"]["selector"]
            wanted = selector.get("matchLabels", selector)
            found = [name for name, pod in templates.items() if wanted.items() <= pod["metadata"]["labels"].items()]
            assert len(found) == 1, each["metadata"]["name"]


def test_the_operator_is_one_replica_that_never_meets_another(objects):
    (deployment,) = [
        each for each in objects if each["metadata"]["name"] == "modelpress" and "strategy" in each.get("spec", {})
    ]
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})


def test_the_preflight_pod_is_the_operators_in_all_but_its_command(objects, select):
    (pod,) = select(objects, "Pod")
    operator = workloads(objects)["modelpress"]["spec"]
    (checking,), (running,) = pod["spec"].pop("containers"), operator.pop("containers")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert (checking["args"], pod["spec"].pop("restartPolicy")) == (["preflight"], "Never")
    assert pod["spec"].items() <= operator.items()
    for key in ("image", "env", "resources", "securityContext", "volumeMounts"):
        assert checking[key] == running[key]


def test_settings_come_from_the_values_in_the_operators_order(objects):
    assert list(settings_of(objects)) == [f"MODELPRESS_{name.upper()}" for name in Settings.model_fields]


def test_the_charts_defaults_are_the_operators(helm):
    given = {name.removeprefix("MODELPRESS_").lower(): value for name, value in settings_of(helm.render({})).items()}
    assert Settings(**given) == Settings.model_construct()


def test_lists_reach_the_operator_with_commas(helm, variants):
    given = settings_of(helm.render(variants["namespaced"] | {"images": {"pullSecrets": ["one", "two"]}}))
    assert given["MODELPRESS_WATCH_NAMESPACES"] == "team-a,team-b"
    assert given["MODELPRESS_IMAGE_PULL_SECRETS"] == "one,two"


def test_further_variables_reach_the_operator_and_its_preflight(helm, select):
    endpoint = {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector.monitoring:4318"}
    secret = {"secretKeyRef": {"name": "collector", "key": "headers"}}
    headers = {"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": secret}
    objects = helm.render({"operator": {"extraEnv": [endpoint, headers]}})
    (running,) = workloads(objects)["modelpress"]["spec"]["containers"]
    assert running["env"][-2:] == [endpoint, headers]
    assert [each["name"] for each in running["env"][:-2]] == list(settings_of(helm.render({})))
    (pod,) = select(objects, "Pod")
    assert pod["spec"]["containers"][0]["env"] == running["env"]


def test_the_probes_and_the_ports_follow_the_values(helm):
    objects = helm.render({"healthPort": 9080, "metricsPort": 9081})
    (container,) = workloads(objects)["modelpress"]["spec"]["containers"]
    assert {each["name"]: each["containerPort"] for each in container["ports"]} == {"health": 9080, "metrics": 9081}
    assert settings_of(objects)["MODELPRESS_HEALTH_PORT"] == "9080"
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}


@pytest.mark.parametrize("name", ["default", "everything"])
def test_rights_in_the_whole_cluster_are_one_clusterrole(name, helm, variants, select):
    objects = helm.render(variants[name])
    assert select(objects, "Role") == []
    assert select(objects, "ClusterRole", "modelpress-system-modelpress")


def test_rights_in_some_namespaces_need_nothing_in_the_cluster(helm, variants, select):
    objects = helm.render(variants["namespaced"])
    assert [each for each in objects if each["kind"] in CLUSTER_KINDS] == []
    roles = select(objects, "Role", "modelpress-system-modelpress")
    assert [each["metadata"]["namespace"] for each in roles] == ["team-a", "team-b"]
    everywhere = select(helm.render({}), "ClusterRole", "modelpress-system-modelpress")
    assert [each["rules"] for each in roles] == [everywhere[0]["rules"]] * 2


def test_the_store_outlives_an_uninstall(helm, select):
    (claim,) = select(helm.render({}), "PersistentVolumeClaim")
    assert claim["metadata"]["namespace"] == "modelpress-system"
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert "storageClassName" not in claim["spec"]


def test_the_store_is_made_where_models_are(helm, select):
    claims = select(helm.render({"store": {"namespaces": ["one", "two"]}}), "PersistentVolumeClaim")
    assert [each["metadata"]["namespace"] for each in claims] == ["one", "two"]


def test_the_store_may_be_the_users(helm, select):
    assert select(helm.render({"store": {"create": False}}), "PersistentVolumeClaim") == []


def test_a_bucket_takes_the_claims_place_and_only_its_names_reach_the_operator(helm, select):
    objects = helm.render({"store": {"uri": "s3://models/team", "secretName": "modelpress-s3"}})
    assert select(objects, "PersistentVolumeClaim") == []
    (deployment,) = select(objects, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    stated = {each["name"]: each["value"] for each in container["env"] if each["name"].startswith("MODELPRESS_STORE")}
    assert stated == {
        "MODELPRESS_STORE_CLAIM_NAME": "modelpress-store",
        "MODELPRESS_STORE_URI": "s3://models/team",
        "MODELPRESS_STORE_SECRET_NAME": "modelpress-s3",
    }
    assert "envFrom" not in container


PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMFkwEw==\n-----END PUBLIC KEY-----\n"


def test_keys_and_the_name_of_a_secret_reach_the_operator(helm):
    given = settings_of(helm.render({"signing": {"publicKeys": PUBLIC_KEY * 2, "secretName": "modelpress-signing"}}))
    assert {name: value for name, value in given.items() if "SIGNING" in name} == {
        "MODELPRESS_SIGNING_PUBLIC_KEYS": PUBLIC_KEY * 2,
        "MODELPRESS_SIGNING_SECRET_NAME": "modelpress-signing",
    }


@pytest.mark.parametrize("kind", ["PRIVATE KEY", "CERTIFICATE"])
def test_what_is_given_for_a_public_key_is_not_shown(kind, helm):
    mistake = PUBLIC_KEY + PUBLIC_KEY.replace("PUBLIC KEY", kind).replace("MFkwEw", "c2VjcmV0")
    refused = helm.template({"signing": {"publicKeys": mistake}})
    assert refused.returncode != 0
    assert "signing.publicKeys holds something else than public keys in PEM" in refused.stderr
    assert "c2VjcmV0" not in refused.stdout + refused.stderr


def test_own_labels_win_over_extra_ones(helm, variants):
    labels = workloads(helm.render(variants["everything"]))["modelpress"]["metadata"]["labels"]
    assert (labels["team"], labels["app.kubernetes.io/name"]) == ("vision", "modelpress")


def test_a_long_release_name_still_gives_valid_names(helm):
    objects = helm.render({"prometheus": {"enabled": True}}, release="a" * 53)
    dns_labels = [each["metadata"]["name"] for each in objects if each["kind"] in ("Deployment", "Service")]
    assert max(len(name) for name in dns_labels) <= 63
    assert max(len(each["metadata"]["name"]) for each in objects) <= 253


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"workers": 0}, "at '/workers': minimum: got 0, want 1"),
        ({"logLevel": "info"}, "at '/logLevel': value must be one of 'DEBUG', 'INFO', 'WARNING', 'ERROR'"),
        ({"stroe": {}}, "additional properties 'stroe' not allowed"),
        ({"store": {"sise": "1Gi"}}, "at '/store': additional properties 'sise' not allowed"),
        ({"store": {"size": 20}}, "at '/store/size': got number, want string"),
        ({"store": {"size": "20 GB"}}, "at '/store/size': '20 GB' does not match pattern"),
        ({"store": {"uri": "gs://models"}}, "at '/store/uri': 'gs://models' does not match pattern"),
        ({"store": {"secretName": "S3 keys"}}, "at '/store/secretName': "),
        ({"signing": {"secretName": "My key"}}, "at '/signing/secretName': "),
        ({"store": {"accessModes": []}}, "at '/store/accessModes': minItems: got 0, want 1"),
        ({"images": {"pullPolicy": "Sometimes"}}, "at '/images/pullPolicy': value must be one of 'IfNotPresent'"),
        ({"images": {"operator": {"tag": "a b"}}}, "at '/images/operator/tag': 'a b' does not match pattern"),
        ({"images": {"operator": {"repository": ""}}}, "at '/images/operator/repository': '' does not match pattern"),
        ({"watchNamespaces": ["Team"]}, "at '/watchNamespaces/0': 'Team' does not match pattern"),
        ({"watchNamespaces": ["a", "a"]}, "at '/watchNamespaces': items at 0 and 1 are equal"),
        ({"prometheus": {"url": "prometheus:9090"}}, "at '/prometheus/url': 'prometheus:9090' does not match pattern"),
        ({"prometheus": {"timeoutSeconds": 0}}, "at '/prometheus/timeoutSeconds': exclusiveMinimum: got 0, want 0"),
        ({"prometheus": {"retention": "6"}}, "at '/prometheus/retention': '6' does not match pattern"),
        ({"operator": {"extraEnv": [{"name": "A"}]}}, "at '/operator/extraEnv/0': 'oneOf' failed, none matched"),
        ({"operator": {"extraEnv": [{"name": "A", "value": 1}]}}, "at '/operator/extraEnv/0/value': got number"),
        (
            {"operator": {"extraEnv": [{"name": "MODELPRESS_WORKERS", "value": "9"}]}},
            "at '/operator/extraEnv/0/name': 'not' failed",
        ),
        ({"healthPort": 80}, "at '/healthPort': minimum: got 80, want 1,024"),
        (
            {"prometheus": {"enabled": True, "url": "http://there:9090"}},
            "prometheus.enabled and prometheus.url are both set: set the url to read KPIs from a Prometheus",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(values, words, helm):
    refused = helm.template(values)
    assert refused.returncode != 0
    assert words in refused.stderr


def test_the_schema_knows_every_value_and_every_value_is_used():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    templates = "".join(path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file())
    for path in leaves(values, schema, schema["definitions"]):
        # an image or a block of resources is used as a whole
        used = [f".Values.{'.'.join(path[:length])}" for length in range(2 if len(path) > 1 else 1, len(path) + 1)]
        assert any(name in templates for name in used), path


def leaves(values, schema, definitions):
    """Paths of all values; a value that the schema does not describe is a failure."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if not (isinstance(values, dict) and "properties" in schema):
        return [()]
    assert set(values) == set(schema["properties"]) - {"global"} or "repository" in values or "limits" in values
    return [(key, *rest) for key in values for rest in leaves(values[key], schema["properties"][key], definitions)]
