"""The client against a server on loopback that answers what a test says and keeps what it was asked."""

import json
import threading
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from model_operator import kube as kube_module
from model_operator.errors import ClusterError, RefusedError, RightsError
from model_operator.kube import ApiKube, parse_refusal, parse_target
from model_operator.rights import REQUIRED_RIGHTS, Right, format_right

APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
MODELS = "/apis/modelpress.dev/v1alpha1/namespaces/press/compressedmodels"


@pytest.fixture
def server():
    """(method, path) -> (status, answer) to be filled in; `asked` has method, path, query, content type and body."""
    answers, asked, accepted, tokens = {}, [], [], []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            accepted.append(self.headers["Accept"])
            tokens.append(self.headers["Authorization"])
            asked.append((self.command, parts.path, parse_qs(parts.query), self.headers.get("Content-Type"), body))
            status, answer = answers.get((self.command, parts.path), (404, {"reason": "NotFound", "message": "none"}))
            if callable(answer):
                answer = answer(parse_qs(parts.query), body)
            status = status(self.headers["Content-Type"]) if callable(status) else status
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the base class's names

        def log_message(self, *_):
            """Quiet."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    http.answers, http.asked, http.accepted, http.tokens = answers, asked, accepted, tokens
    yield http
    http.shutdown()
    thread.join()
    http.server_close()


@contextmanager
def client(port, tmp_path, monkeypatch, namespaces=(), user=None):
    """A client of the server on that port."""
    (tmp_path / "token").write_text("old")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "test", "user": user or {"token": "secret"}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    opened = ApiKube(namespaces, connections=2)
    yield opened
    opened.close()


@pytest.fixture
def kube(server, tmp_path, monkeypatch):
    """A client of the server."""
    with client(server.server_port, tmp_path, monkeypatch) as opened:
        yield opened


def test_a_token_that_expired_is_read_anew_once(server, tmp_path, monkeypatch):
    path = f"{MODELS}/m"
    server.answers["GET", path] = (lambda _: 200 if server.tokens[-1] == "Bearer new" else 401, {"kind": "Status"})
    with client(server.server_port, tmp_path, monkeypatch, user={"tokenFile": str(tmp_path / "token")}) as opened:
        with pytest.raises(ClusterError, match="401"):
            opened.read("CompressedModel", "press", "m")
        (tmp_path / "token").write_text("new")
        assert opened.read("CompressedModel", "press", "m") == {"kind": "Status"}
        assert opened.read("CompressedModel", "press", "m") == {"kind": "Status"}
    assert server.tokens == ["Bearer old"] * 3 + ["Bearer new"] * 2


def test_an_object_is_read_as_it_is_and_a_missing_one_is_none(kube, server):
    server.answers["GET", f"{MODELS}/m"] = (200, {"kind": "CompressedModel", "spec": {"unknown": 1}})
    assert kube.read("CompressedModel", "press", "m") == {"kind": "CompressedModel", "spec": {"unknown": 1}}
    assert kube.read("Deployment", "press", "m") is None
    assert server.asked[1][:2] == ("GET", "/apis/apps/v1/namespaces/press/deployments/m")


def test_a_list_goes_by_labels_and_reads_every_page(kube, server):
    def answer(query, _):
        page = {"apiVersion": "batch/v1", "kind": "JobList"}
        if "continue" in query:
            return {**page, "metadata": {}, "items": [{"metadata": {"name": "b"}}]}
        return {**page, "metadata": {"continue": "more"}, "items": [{"metadata": {"name": "a"}}]}

    server.answers["GET", "/apis/batch/v1/namespaces/press/jobs"] = (200, answer)
    found = kube.list_labelled("Job", "press", {"b": "2", "a": "1"})
    assert found == [{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}} for name in ("a", "b")]
    assert [query["labelSelector"] for _, _, query, _, _ in server.asked] == [["a=1,b=2"]] * 2
    assert server.asked[1][2]["continue"] == ["more"]


def test_metadata_is_listed_page_by_page_with_the_lists_version(kube, server):
    def answer(query, _):
        if "continue" in query:
            return {"metadata": {"resourceVersion": "7"}, "items": None}
        return {"metadata": {"resourceVersion": "7", "continue": "more"}, "items": [bulky]}

    bulky = {"metadata": {"name": "a", "managedFields": [{"manager": "x"}]}}
    for path in ("/apis/apps/v1/deployments", MODELS):
        server.answers["GET", path] = (200, answer)
    assert list(kube.list_metadata("Deployment", "")) == [(7, [{"metadata": {"name": "a"}}]), (7, [])]
    assert [query.get("labelSelector") for _, _, query, _, _ in server.asked] == [
        ["app.kubernetes.io/managed-by=modelpress"]
    ] * 2
    assert list(kube.list_metadata("CompressedModel", "press"))[1] == (7, [])
    assert "labelSelector" not in server.asked[2][2]
    assert set(server.accepted) == {"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}


def test_scopes_are_the_watched_namespaces_or_all_at_once(server, tmp_path, monkeypatch):
    for namespaces, scopes, scope in (((), ("",), ""), (("press", "other"), ("press", "other"), "press")):
        with client(server.server_port, tmp_path, monkeypatch, namespaces) as kube:
            assert (kube.scopes, kube.scope("press")) == (scopes, scope)


@pytest.mark.parametrize(
    ("method", "path", "verb", "resource"),
    [
        ("GET", f"{MODELS}/m", "get", "compressedmodels"),
        ("GET", MODELS, "list", "compressedmodels"),
        ("GET", "/apis/apps/v1/deployments", "list", "deployments"),
        ("GET", "/api/v1/namespaces/pods/pods/p/log", "get", "pods"),
        ("POST", "/api/v1/namespaces/press/configmaps", "create", "configmaps"),
        ("PATCH", f"{MODELS}/m/status", "patch", "compressedmodels"),
        ("DELETE", "/apis/batch/v1/namespaces/press/jobs/j", "delete", "jobs"),
        ("GET", "/version", "list", ""),
    ],
)
def test_requests_are_told_apart_by_verb_and_resource(method, path, verb, resource):
    assert parse_target(method, path) == (verb, resource)


def test_every_request_is_noted_with_its_end(server, tmp_path, monkeypatch):
    noted = []
    with client(server.server_port, tmp_path, monkeypatch) as kube:
        kube._note_request = noted.append
        kube.read("Pod", "press", "p")
    with client(1, tmp_path, monkeypatch) as kube:
        kube._note_request = noted.append
        with pytest.raises(ClusterError):
            kube.read("Pod", "press", "p")
    assert [each[:3] for each in noted] == [("get", "pods", "404"), ("get", "pods", "none")]
    assert all(0 <= each.seconds < 60 for each in noted)


def test_events_are_those_of_one_object(kube, server):
    server.answers["GET", "/api/v1/namespaces/press/events"] = (200, {"apiVersion": "v1", "metadata": {}, "items": []})
    assert kube.list_events("press", "Job", "j") == []
    assert server.asked[0][2]["fieldSelector"] == ["involvedObject.kind=Job,involvedObject.name=j"]


def test_a_log_is_its_last_lines_and_empty_while_the_container_waits(kube, server):
    path = "/api/v1/namespaces/press/pods/p/log"
    server.answers["GET", path] = (200, b"last\n")
    assert kube.read_log("press", "p", "build") == "last\n"
    assert server.asked[0][2] == {"container": ["build"], "tailLines": ["50"]}
    server.answers["GET", path] = (400, {"message": "container is waiting to start"})
    assert kube.read_log("press", "p", "build") == ""
    server.answers["GET", path] = (403, {"message": "no rights"})
    with pytest.raises(RefusedError, match="no rights"):
        kube.read_log("press", "p", "build")


def test_creating_what_is_there_is_no_failure(kube, server):
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}}
    path = "/apis/batch/v1/namespaces/press/jobs"
    server.answers["POST", path] = (201, {"kind": "Job"})
    assert kube.create("press", body) == {"kind": "Job"}
    assert server.asked[0] == ("POST", path, {"fieldManager": ["modelpress"]}, "application/json", body)
    server.answers["POST", path] = (409, {"reason": "AlreadyExists", "message": "there"})
    assert kube.create("press", body) is None
    server.answers["POST", path] = (409, {"reason": "Conflict", "message": "the quota was changed"})
    with pytest.raises(ClusterError, match="the quota was changed"):
        kube.create("press", body)


def test_an_owner_is_added_by_a_strategic_merge(kube, server):
    path = "/api/v1/namespaces/press/configmaps/c"
    server.answers["PATCH", path] = (200, {})
    kube.add_owner("ConfigMap", "press", "c", {"uid": "u"})
    _, _, _, content_type, body = server.asked[0]
    assert content_type == "application/strategic-merge-patch+json"
    assert body == {"metadata": {"ownerReferences": [{"uid": "u"}]}}


def test_applying_is_server_side_and_forced(kube, server):
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "m"}, "spec": {}}
    server.answers["PATCH", "/api/v1/namespaces/press/services/m"] = (200, {})
    kube.apply("press", body)
    _, _, query, content_type, sent = server.asked[0]
    assert (query, content_type) == (
        {"fieldManager": ["modelpress"], "force": ["true"]},
        "application/apply-patch+yaml",
    )
    assert sent == body


@pytest.mark.parametrize(("mended", "requests"), [(True, 3), (False, 2)])
def test_a_list_that_someone_else_made_invalid_is_overwritten(kube, server, mended, requests):
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "m"}, "spec": {"ports": []}}

    def status(content_type):
        overwritten = any(entry[3] == MERGE for entry in server.asked)
        return 200 if mended and (content_type == MERGE or overwritten) else 422

    server.answers["PATCH", "/api/v1/namespaces/press/services/m"] = (status, {"message": "Duplicate value"})
    with nullcontext() if mended else pytest.raises(RefusedError, match="Duplicate value"):
        kube.apply("press", body)
    assert [entry[3] for entry in server.asked] == [APPLY, MERGE, APPLY][:requests]
    assert {json.dumps(entry[4]) for entry in server.asked} == {json.dumps(body)}


def test_scaling_touches_replicas_alone(kube, server):
    path = "/apis/apps/v1/namespaces/press/deployments/m/scale"
    server.answers["PATCH", path] = (200, {})
    kube.scale("press", "m", 0)
    assert server.asked[0][3:] == ("application/merge-patch+json", {"spec": {"replicas": 0}})


def test_deleting_asks_for_that_very_object_and_takes_a_missing_one(kube, server):
    path = "/apis/autoscaling/v2/namespaces/press/horizontalpodautoscalers/m"
    kube.delete("HorizontalPodAutoscaler", "press", "m", "u")
    assert server.asked[0][1] == path
    assert server.asked[0][4] == {"preconditions": {"uid": "u"}, "propagationPolicy": "Background"}


def test_a_status_is_applied_as_a_whole_to_that_very_model(kube, server):
    server.answers["PATCH", f"{MODELS}/m/status"] = (200, {})
    kube.write_status("press", "m", "u", {"observedGeneration": 1})
    _, _, query, content_type, body = server.asked[0]
    assert (query["force"], content_type) == (["true"], "application/apply-patch+yaml")
    assert body["metadata"] == {"name": "m", "namespace": "press", "uid": "u"}
    assert body["status"] == {"observedGeneration": 1}
    kube.write_status("press", "gone", "u", {"observedGeneration": 1})
    assert server.asked[1][1] == f"{MODELS}/gone/status"


def review(allowed):
    return lambda _, body: {"status": {"allowed": allowed(body["spec"]["resourceAttributes"])}}


def test_rights_are_asked_of_the_api_server(kube, server):
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    server.answers["POST", path] = (201, review(lambda asked: asked.get("namespace") == "press"))
    right = Right("patch", "apps", "deployments", "scale")
    assert (kube.may(right, "press"), kube.may(right, "")) == (True, False)
    assert [body["spec"]["resourceAttributes"].get("namespace") for *_, body in server.asked] == ["press", None]
    assert server.asked[0][4]["spec"]["resourceAttributes"] == right._asdict() | {"namespace": "press"}


def test_rules_count_where_all_of_them_are_known(kube, server):
    assert kube.list_rules("press") == ()
    path, rule = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"verbs": ["get"], "resources": ["pods"]}
    server.answers["POST", path] = (201, {"status": {"resourceRules": [rule], "incomplete": False}})
    assert kube.list_rules("press") == (rule,)
    assert server.asked[-1][4]["spec"] == {"namespace": "press"}
    server.answers["POST", path] = (201, {"status": {"resourceRules": [rule], "incomplete": True}})
    assert kube.list_rules("press") == ()
    server.answers["POST", path] = (403, {"message": "not you"})
    assert kube.list_rules("press") == ()


def test_what_the_api_server_is_and_serves_is_read(kube, server):
    assert (kube.read_user(), kube.read_served_versions(), kube.read_served_schema()) == ("", (), {})
    server.answers["GET", "/version"] = (200, {"gitVersion": "v1.34.1"})
    user = {"status": {"userInfo": {"username": "system:serviceaccount:a:b"}}}
    server.answers["POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews"] = (201, user)
    server.answers["GET", "/apis/modelpress.dev"] = (200, {"versions": [{"version": "v1alpha1"}]})
    kind = {"group": "modelpress.dev", "version": "v1alpha1", "kind": "CompressedModel"}
    schemas = {"other": {}, "ours": {"x-kubernetes-group-version-kind": [kind], "properties": {}}}
    server.answers["GET", "/openapi/v3/apis/modelpress.dev/v1alpha1"] = (200, {"components": {"schemas": schemas}})
    assert (kube.read_version(), kube.read_user()) == ("v1.34.1", "system:serviceaccount:a:b")
    assert (kube.read_served_versions(), kube.read_served_schema()) == (("v1alpha1",), schemas["ours"])


def test_no_right_is_asked_that_reads_secrets_or_removes_models():
    told = {format_right(right) for right in REQUIRED_RIGHTS}
    assert len(told) == len(REQUIRED_RIGHTS)
    assert not any("secrets" in right for right in told)
    assert {right for right in told if right.startswith("delete")} == {
        "delete horizontalpodautoscalers.autoscaling",
        "delete jobs.batch",
    }


def test_a_server_that_is_away_is_a_cluster_error(tmp_path, monkeypatch):
    with (
        client(1, tmp_path, monkeypatch) as kube,
        pytest.raises(ClusterError, match="the API server does not answer"),
    ):
        kube.read("Pod", "press", "p")


def test_without_a_cluster_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(RightsError, match="set KUBECONFIG"):
        kube_module.load_configuration()


@pytest.mark.parametrize(
    ("status", "kind", "invalid"),
    [(400, RefusedError, True), (422, RefusedError, True), (403, RefusedError, False), (413, RefusedError, False)],
)
def test_what_the_server_refuses_is_told_in_its_words(status, kind, invalid):
    refusal = parse_refusal("PATCH", "/x", status, None, b'{"message": "spec is wrong"}')
    assert (type(refusal), str(refusal), refusal.invalid) == (kind, "spec is wrong", invalid)


@pytest.mark.parametrize("status", [401, 404, 409, 429, 500, 503, 504])
def test_what_may_pass_is_a_cluster_error(status):
    error = parse_refusal("GET", "/x", status, "7", b"<html>")
    assert isinstance(error, ClusterError)
    assert "<html>" in str(error)
    assert parse_refusal("GET", "/x", 429, "7", b"").retry_after_seconds == 7


JOB = "/apis/batch/v1/namespaces/press/jobs/j"


def owned_by(*uids):
    return {"metadata": {"uid": "job", "resourceVersion": "7", "ownerReferences": [{"uid": uid} for uid in uids]}}


def test_one_of_several_owners_takes_itself_off_what_it_saw(kube, server):
    server.answers["GET", JOB] = (200, owned_by("u", "other"))
    server.answers["PATCH", JOB] = (200, {})
    kube.leave("Job", "press", "j", "u")
    method, path, _, content_type, body = server.asked[1]
    assert (method, path, content_type) == ("PATCH", JOB, MERGE)
    assert body == {"metadata": {"resourceVersion": "7", "ownerReferences": [{"uid": "other"}]}}


def test_the_last_owner_deletes_what_it_saw_and_it_stays_until_its_pods_are_gone(kube, server):
    server.answers["GET", JOB] = (200, owned_by("u"))
    server.answers["DELETE", JOB] = (200, {})
    kube.leave("Job", "press", "j", "u")
    assert server.asked[1][0] == "DELETE"
    assert server.asked[1][4] == {
        "preconditions": {"uid": "job", "resourceVersion": "7"},
        "propagationPolicy": "Foreground",
    }


def test_who_owns_nothing_of_it_leaves_nothing(kube, server):
    kube.leave("Job", "press", "j", "u")
    server.answers["GET", JOB] = (200, owned_by("other"))
    kube.leave("Job", "press", "j", "u")
    assert [method for method, *_ in server.asked] == ["GET", "GET"]


def test_owners_that_changed_meanwhile_are_looked_at_again(kube, server):
    server.answers["GET", JOB] = (200, owned_by("u"))
    server.answers["DELETE", JOB] = (409, {"reason": "Conflict", "message": "the object has been modified"})
    with pytest.raises(ClusterError, match="the object has been modified"):
        kube.leave("Job", "press", "j", "u")
