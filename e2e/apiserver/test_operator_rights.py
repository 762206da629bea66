"""The operator's rights beside the audit log of a real API server, both ways, and what preflight says of a cluster."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from api_proxy import ApiProxy, Lose
from cluster.apiserver import ApiServer
from cluster.client import wait_until
from operator_play import PATIENCE_SECONDS, PYTHON, ROOT, RULES, SUMMARY, Cluster, OperatorProcess, training_model

CRD = ROOT / "crds" / "compressedmodels.yaml"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
RBAC = "rbac.authorization.k8s.io"


class Access(NamedTuple):
    """One right, as a rule grants it or a request uses it."""

    verb: str
    group: str
    resource: str


ASKED_BY_ADMISSION = [
    (Access("update", "modelpress.dev", "compressedmodels/finalizers"), "cannot set blockOwnerDeletion"),
    (Access("delete", "", "configmaps"), "cannot set an ownerRef on a resource you can't delete"),
]
"""No request has these verbs: OwnerReferencesPermissionEnforcement asks for them, and what it says without them."""


class Audited(NamedTuple):
    """An API server and its audit log."""

    server: ApiServer
    log: Path


@pytest.fixture(scope="module")
def audited(binaries, tmp_path_factory):
    """An API server with the CRD that logs every request, and that checks owner references as some clusters do."""
    folder = tmp_path_factory.mktemp("audit")
    (folder / "policy.yaml").write_text(json.dumps(AUDIT_POLICY))
    options = (
        f"--audit-policy-file={folder}/policy.yaml",
        f"--audit-log-path={folder}/audit.log",
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
    )
    with ApiServer(binaries, options) as server:
        server.apply_crd(CRD.read_text())
        yield Audited(server, folder / "audit.log")


class Account(NamedTuple):
    """A service account of the test's namespace, and how to be it."""

    user: str
    token: str
    kubeconfig: Path


def make_place(server):
    """A namespace of the test's own, as a user and Kubernetes' controllers would use it."""
    name = f"press-{os.urandom(4).hex()}"
    assert server.kubectl("create", "namespace", name).returncode == 0
    played = Cluster(server, name)
    for account in ("default", "operator"):
        played.make({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}})
    return played


@pytest.fixture
def place(audited):
    """A namespace with the operator's account."""
    played = make_place(audited.server)
    yield played
    played.kubectl("delete", "cmod", "--all", "--wait=false")


@pytest.fixture
def other_place(audited):
    """Another namespace."""
    played = make_place(audited.server)
    yield played
    played.kubectl("delete", "cmod", "--all", "--wait=false")


def read_rules():
    """The chart's rules for the operator."""
    return yaml.safe_load("\n".join(line for line in RULES.read_text().splitlines() if not line.startswith("{{")))


def grant(place, rules, folder, *, everywhere):
    """Give the rules to the namespace's account `operator`: in the whole cluster, or in that namespace alone."""
    bind(place, place, rules, "ClusterRole" if everywhere else "Role")
    token = place.kubectl("create", "token", "operator", "--duration=1h").strip()
    config = yaml.safe_load(place.server.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return Account(f"system:serviceaccount:{place.namespace}:operator", token, path)


def bind(where, owner, rules, kind="Role"):
    """Give the rules to the account `operator` of the owner's namespace."""
    meta = {"name": where.namespace}
    role = {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": meta, "rules": rules}
    subject = {"kind": "ServiceAccount", "name": "operator", "namespace": owner.namespace}
    reference = {"apiGroup": RBAC, "kind": kind, "name": meta["name"]}
    where.make(role, role | {"kind": f"{kind}Binding", "roleRef": reference, "subjects": [subject], "rules": None})


def wait_until_ready(operator):
    """The operator has begun to work; a failure shows its log."""

    def is_ready():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{operator.health_port}/readyz", timeout=5) as answer:
                return answer.status == 200
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False

    wait_until(
        lambda: is_ready() or operator.words(),
        lambda seen: seen is True,
        2 * PATIENCE_SECONDS,
        "an operator that is ready",
    )


def list_granted(rules):
    """Every right that the rules grant."""
    return {
        Access(verb, group, resource)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def read_requests(audited, user):
    """What the account asked for: one record a request."""
    records = map(json.loads, audited.log.read_text().splitlines())
    return [each for each in records if each["user"]["username"] == user and "objectRef" in each]


def read_used(requests):
    """The rights that the requests needed; server-side apply of what is not there yet needs one more."""
    used = set()
    for each in requests:
        what = each["objectRef"]
        resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
        used.add(Access(each["verb"], what.get("apiGroup", ""), resource))
        if each["verb"] == "patch" and each["responseStatus"]["code"] == 201:
            used.add(Access("create", what.get("apiGroup", ""), resource))
    return {each for each in used if not each.resource.startswith("selfsubject")}


def live_a_whole_life(place):
    """Everything that may happen to models: built, served, scaled, compared, changed, shared and given up."""
    place.make(training_model("first", autoscaling={"maxReplicas": 2}))
    place.wait_for("first", Ready="False/StoreMissing")
    place.make_claim()
    (job,) = place.wait_for_jobs(1)
    place.make(training_model("second"))
    place.start_build(job)
    place.wait_for("first", ArtifactReady="False/Building")
    wait_until(
        lambda: len(place.read("job", job["metadata"]["name"])["metadata"]["ownerReferences"]),
        lambda owners: owners == 2,
        PATIENCE_SECONDS,
        "owners of the Job",
    )
    place.end_build(job, json.dumps(SUMMARY))
    for name in ("first", "second"):
        place.serve(name)
        place.wait_for(name, Ready="True/Serving")
    place.patch("cmod", "first", {"spec": {"autoscaling": None, "replicas": 3}})
    wait_until(lambda: place.read("hpa", "first"), lambda found: found is None, PATIENCE_SECONDS, "no autoscaler")
    wait_until(
        lambda: place.read("deployment", "first")["spec"]["replicas"],
        lambda seen: seen == 3,
        PATIENCE_SECONDS,
        "replicas",
    )
    for name in ("first", "second"):
        place.patch("cmod", name, {"spec": {"compression": {"bits": 4}}})
    other = next(each for each in place.wait_for_jobs(2) if each["metadata"]["uid"] != job["metadata"]["uid"])
    for owners, name in ((2, "first"), (1, "second")):
        wait_until(
            lambda: len(place.read("job", other["metadata"]["name"])["metadata"]["ownerReferences"]),
            lambda seen, owners=owners: seen == owners,
            PATIENCE_SECONDS,
            "owners of the second Job",
        )
        place.patch("cmod", name, {"spec": {"suspend": True}})
    wait_until(
        lambda: place.read("job", other["metadata"]["name"])["metadata"],
        lambda metadata: "deletionTimestamp" in metadata,
        PATIENCE_SECONDS,
        "the end of the second Job",
    )


def lose_one_status():
    """A rule by which the operator does not learn whether its first status was written, and so has to read it."""
    lost = []

    def rule(asked):
        if asked.write and asked.path.endswith("/status") and not lost:
            lost.append(asked)
            return Lose(done=True)
        return None

    return rule


def test_every_request_is_allowed_and_every_right_is_used(audited, place, tmp_path):
    rules = read_rules()
    account = grant(place, rules, tmp_path, everywhere=True)
    with ApiProxy(audited.server.kubeconfig) as proxy:
        proxy.rule = lose_one_status()
        kubeconfig = proxy.write_kubeconfig(tmp_path / "through-the-proxy", account.token)
        with OperatorProcess(kubeconfig, tmp_path / "log", resync_seconds=5) as operator:
            try:
                wait_until_ready(operator)
                live_a_whole_life(place)
            finally:
                print(operator.words())
    requests = read_requests(audited, account.user)
    refused = [each for each in requests if each["responseStatus"]["code"] == 403]
    assert refused == []
    assert read_used(requests) | {access for access, _ in ASKED_BY_ADMISSION} == list_granted(rules)


@pytest.mark.parametrize(("access", "words"), ASKED_BY_ADMISSION)
def test_what_admission_asks_for_is_needed_where_it_asks(access, words, place, tmp_path):
    rules = [rule for rule in read_rules() if access not in list_granted([rule])]
    account = grant(place, rules, tmp_path, everywhere=False)
    place.make_claim()
    with OperatorProcess(account.kubeconfig, tmp_path / "log", watch_namespaces=place.namespace) as operator:
        place.make(training_model("first"))
        wait_until_ready(operator)
        place.build()
        # Before it, the second model would be an owner of the record from the first, and nothing would be asked.
        place.wait_for("first", ArtifactReady="True/Built")
        place.make(training_model("second"))
        place.wait_for("second", Ready="False/Refused")
        assert "OwnerReferencesPermissionEnforcement" in operator.words()
    assert words in place.message("second", "Ready")


def test_roles_in_its_namespaces_are_all_that_it_needs_there(audited, place, other_place, tmp_path):
    account = grant(place, read_rules(), tmp_path, everywhere=False)
    bind(other_place, place, read_rules())
    namespaces = {place.namespace, other_place.namespace}
    settings = {"watch_namespaces": ",".join(namespaces), "resync_seconds": 5}
    with OperatorProcess(account.kubeconfig, tmp_path / "log", **settings) as operator:
        wait_until_ready(operator)
        for each in (place, other_place):
            each.make_claim()
            each.make(training_model())
            each.build()
            each.serve("small")
            each.wait_for("small", Ready="True/Serving")
        seconds, status = operator.stop()
    assert (seconds < 10, status) == (True, 0)
    requests = read_requests(audited, account.user)
    assert [each for each in requests if each["responseStatus"]["code"] == 403] == []
    beyond = {each["requestURI"] for each in requests if each["objectRef"].get("namespace") not in namespaces}
    assert {uri.partition("?")[0] for uri in beyond} == {
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
    }


def preflight(kubeconfig, *arguments, **environment):
    """The command to its end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MODELPRESS_")}
    return subprocess.run(
        [PYTHON, "-W", "error", "-m", "model_operator", "preflight", *arguments],
        env={**clean, "KUBECONFIG": str(kubeconfig), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_preflight_finds_everything_where_the_chart_is_installed(place, tmp_path):
    account = grant(place, read_rules(), tmp_path, everywhere=False)
    done = preflight(account.kubeconfig, MODELPRESS_WATCH_NAMESPACES=place.namespace)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"As {account.user}:\nRESULT ")
    assert "missing" not in done.stdout
    assert done.stdout.splitlines()[-2:] == [
        "warning: Prometheus none is configured: KPIs stay Unknown: set prometheus.url",
        "The operator can work here.",
    ]


def test_preflight_names_each_missing_right_in_each_namespace(place, tmp_path):
    rules = [rule | {"verbs": [verb for verb in rule["verbs"] if verb != "watch"]} for rule in read_rules()]
    account = grant(place, rules, tmp_path, everywhere=False)
    done = preflight(account.kubeconfig, "--json", MODELPRESS_WATCH_NAMESPACES=f"{place.namespace},nowhere")
    assert done.returncode == 3, done.stderr
    document = json.loads(done.stdout)
    missing = {(each["check"], each["namespace"]) for each in document["checks"] if each["result"] == "missing"}
    assert ("watch pods", place.namespace) in missing
    assert ("list pods", place.namespace) not in missing
    assert ("list pods", "nowhere") in missing
    assert document["ok"] is False
    started = preflight_start(account.kubeconfig, place.namespace)
    assert started.returncode == 3
    assert (
        f"modelpress-operator: watch pods in namespace {place.namespace} is not allowed: grant it to the operator's "
        "service account"
    ) in started.stderr.splitlines()


def preflight_start(kubeconfig, namespace):
    """The operator's own start, which ends where something is missing."""
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "MODELPRESS_WATCH_NAMESPACES": namespace}
    command = [PYTHON, "-W", "error", "-m", "model_operator"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_preflight_sees_a_crd_that_is_older_than_the_operator(audited, place, tmp_path):
    account = grant(place, read_rules(), tmp_path, everywhere=False)
    document = yaml.safe_load(CRD.read_text())
    schema = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["suspend"]
    try:
        put_crd(audited.server, document)
        done = wait_until(
            lambda: preflight(account.kubeconfig, MODELPRESS_WATCH_NAMESPACES=place.namespace),
            lambda seen: seen.returncode == 3,
            20,
            "the older schema",
        )
        assert (
            "missing: the CRD compressedmodels.modelpress.dev is older than this operator, it has no spec.suspend: "
            "apply crds/ of this release"
        ) in done.stdout.splitlines()
    finally:
        put_crd(audited.server, yaml.safe_load(CRD.read_text()))
    wait_until(
        lambda: preflight(account.kubeconfig, MODELPRESS_WATCH_NAMESPACES=place.namespace).returncode,
        lambda status: status == 0,
        20,
        "the schema of today",
    )


def put_crd(server, document):
    """Make this the CRD."""
    applied = server.kubectl("replace", "-f", "-", text=json.dumps(document))
    assert applied.returncode == 0, applied.stderr


def test_preflight_says_that_nobody_answers(tmp_path):
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    done = preflight(path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the API server does not answer" in done.stderr
