"""The Kubernetes API: what the operator reads and writes there. The only file that imports `kubernetes`.

Objects stay plain JSON. Lists go by labels, and nothing here reads a Secret. Every failure is a `ClusterError` (try
again) or a `RefusedError` (the same request fails again); an object that is not there is None, and making one that is
there already, or deleting one that is gone, is no failure.

Over 400 lines, because one file stands at this edge: parts of it would share the client and its errors.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import kubernetes.client
import kubernetes.config
import urllib3

from model_operator import names
from model_operator.errors import ClusterError, RefusedError, RightsError, TokenError
from model_operator.rights import Right

Object = Mapping[str, Any]

CONNECT_SECONDS: Final = 3
READ_SECONDS: Final = 10
PAGE_SIZE: Final = 500
METADATA_PAGE_SIZE: Final = 500
LOG_LINES: Final = 50
_UNAUTHORIZED: Final = 401


class _Resource(NamedTuple):
    path: str
    plural: str


_RESOURCES: Final = {
    names.KIND: _Resource(f"/apis/{names.GROUP}/{names.VERSION}", names.PLURAL),
    "Deployment": _Resource("/apis/apps/v1", "deployments"),
    "Service": _Resource("/api/v1", "services"),
    "HorizontalPodAutoscaler": _Resource("/apis/autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": _Resource("/apis/policy/v1", "poddisruptionbudgets"),
    "Job": _Resource("/apis/batch/v1", "jobs"),
    "ConfigMap": _Resource("/api/v1", "configmaps"),
    "Pod": _Resource("/api/v1", "pods"),
    "PersistentVolumeClaim": _Resource("/api/v1", "persistentvolumeclaims"),
    "Event": _Resource("/api/v1", "events"),
}

WATCHED_KINDS: Final = (
    names.KIND,
    "Deployment",
    "Service",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "Job",
    "ConfigMap",
    "Pod",
)
"""Models whole, all others by our label."""
OUR_LABEL: Final = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"

_JSON: Final = "application/json"
_METADATA: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_APPLY_PATCH: Final = "application/apply-patch+yaml"
_STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
_MERGE_PATCH: Final = "application/merge-patch+json"


class Request(NamedTuple):
    """One request that has ended."""

    verb: str
    """As RBAC has it."""
    resource: str
    """Plural; empty for what is no object."""
    code: str
    """HTTP's status; `none` without an answer."""
    seconds: float


class Kube(Protocol):
    """What the operator asks of the API server; tests have one that keeps objects in a dictionary."""

    def read(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object, or None where there is none."""

    def list_labelled(
        self, kind: str, namespace: str, labels: Mapping[str, str], *, fresh: bool = False
    ) -> list[Object]:
        """The namespace's objects that carry all of these labels; `fresh`: whatever a watch has told of them."""

    def list_owned(self, kind: str, namespace: str, uid: str) -> list[Object]:
        """The namespace's objects that Modelpress made and that the object of this uid owns, alone or with others."""

    def list_events(self, namespace: str, kind: str, name: str) -> list[Object]:
        """Kubernetes' Events about one object."""

    def read_log(self, namespace: str, pod: str, container: str) -> str:
        """The last lines of a container's log; empty where it has none yet."""

    def create(self, namespace: str, body: Object) -> bool:
        """Make the object; False where one of that name is there, which is left as it is."""

    def add_owner(self, kind: str, namespace: str, name: str, owner: Object) -> None:
        """Add one entry to the object's ownerReferences."""

    def apply(self, namespace: str, body: Object) -> None:
        """Server-side apply: the fields of `body` become so, those applied before and absent now are given up."""

    def find_kept(self, kind: str, namespace: str, name: str) -> str | None:
        """What an admission policy made of the last apply of that object, by `hash_change`; None where none did."""

    def scale(self, namespace: str, name: str, replicas: int) -> None:
        """Set a Deployment's replicas."""

    def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """Delete that very object; one of the same name that was made since is left."""

    def leave(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """Take the owner of that uid off the object; the last one deletes it, when what it owns is gone."""

    def write_status(self, namespace: str, name: str, uid: str, status: Object) -> None:
        """Make the model's status this one and nothing else; one that is gone needs none, one made anew refuses it."""


class ApiKube:
    """The API server that the pod's service account or KUBECONFIG names. Safe to use from several threads.

    What it writes it answers as the API server did.

    Attributes:
        scopes: the namespaces that are watched; one empty name when all are.
    """

    def __init__(
        self, namespaces: Sequence[str], connections: int, note_request: Callable[[Request], None] = lambda _: None
    ) -> None:
        """Connect when first used.

        Args:
            namespaces: those that are watched; empty: all.
            connections: kept open at most.
            note_request: called for each request, when it has ended.

        Raises:
            RightsError: when there is neither a service account nor a kubeconfig.
        """
        self.scopes: Sequence[str] = tuple(namespaces) or ("",)
        self._note_request = note_request
        configuration = load_configuration()
        configuration.connection_pool_maxsize = connections
        # One retry, of a connection that the server closed while it was idle.
        configuration.retries = urllib3.Retry(1, backoff_factor=0.1)
        self._client = kubernetes.client.ApiClient(configuration)
        self._client.user_agent = "modelpress-operator"

    def scope(self, namespace: str) -> str:
        """The name under which `scopes` has the namespace."""
        return namespace if self.scopes != ("",) else ""

    def read(self, kind: str, namespace: str, name: str) -> Object | None:
        """See `Kube`."""
        try:
            found: Object = self._json("GET", _path(kind, namespace, name))
        except _NotFoundError:
            return None
        return found

    def list_labelled(
        self, kind: str, namespace: str, labels: Mapping[str, str], *, fresh: bool = False
    ) -> list[Object]:
        """See `Kube`; it is always fresh."""
        del fresh
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        return self._list(kind, namespace, [("labelSelector", selector)])

    def list_owned(self, kind: str, namespace: str, uid: str) -> list[Object]:
        """See `Kube`."""
        made = self.list_labelled(kind, namespace, {names.LABEL_MANAGED_BY: names.MANAGED_BY})
        return [each for each in made if any(owner["uid"] == uid for owner in _owners(each))]

    def list_metadata(self, kind: str, namespace: str) -> Iterator[tuple[int | None, list[Object]]]:
        """The metadata of what the watch of this kind sees, page by page, as it is now.

        Yields:
            The list's resourceVersion, where it is a number, and the objects with their metadata alone.
        """
        query = [("limit", str(METADATA_PAGE_SIZE))]
        query += [] if kind == names.KIND else [("labelSelector", OUR_LABEL)]
        asked = query
        while True:
            answer = self._request("GET", _path(kind, namespace), asked, accept=_METADATA)
            # Who wrote which field is most of the metadata: dropped as it is parsed, it never adds up.
            page = json.loads(answer, object_hook=_drop_managed_fields)
            metadata = page["metadata"]
            version = str(metadata.get("resourceVersion", ""))
            yield int(version) if version.isdecimal() else None, page.get("items") or []
            if not metadata.get("continue"):
                return
            asked = [*query, ("continue", metadata["continue"])]

    def list_events(self, namespace: str, kind: str, name: str) -> list[Object]:
        """See `Kube`."""
        return self._list(
            "Event", namespace, [("fieldSelector", f"involvedObject.kind={kind},involvedObject.name={name}")]
        )

    def read_log(self, namespace: str, pod: str, container: str) -> str:
        """See `Kube`."""
        query = [("container", container), ("tailLines", str(LOG_LINES))]
        try:
            return self._request("GET", f"{_path('Pod', namespace, pod)}/log", query).decode(errors="replace")
        except (_NotFoundError, RefusedError) as error:
            # 400: the container waits. A log is progress only, so that it is never worth an error.
            if isinstance(error, RefusedError) and not error.invalid:
                raise
            return ""

    def create(self, namespace: str, body: Object) -> Object | None:
        """See `Kube`; None where one of that name is there."""
        try:
            return self._json("POST", _path(body["kind"], namespace), [_MANAGER], body)
        except _AlreadyExistsError:
            return None

    def add_owner(self, kind: str, namespace: str, name: str, owner: Object) -> Object:
        """See `Kube`."""
        patch = {"metadata": {"ownerReferences": [dict(owner)]}}
        return self._json("PATCH", _path(kind, namespace, name), [_MANAGER], patch, _STRATEGIC_PATCH)

    def apply(self, namespace: str, body: Object) -> Object:
        """See `Kube`."""
        path = _path(body["kind"], namespace, body["metadata"]["name"])
        try:
            return self._json("PATCH", path, _FORCED, body, _APPLY_PATCH)
        except RefusedError as error:
            if not error.invalid or not self._overwrite(path, body):
                raise
            return self._json("PATCH", path, _FORCED, body, _APPLY_PATCH)

    def _overwrite(self, path: str, body: Object) -> bool:
        """Put our lists in place of what stands, items of others included; False where that is refused as well.

        Server-side apply leaves an item that someone else added, even where ours beside it make the list invalid, such
        as a port of the same name.
        """
        try:
            self._request("PATCH", path, [_MANAGER], body, _MERGE_PATCH)
        except (_NotFoundError, RefusedError):
            return False
        return True

    def scale(self, namespace: str, name: str, replicas: int) -> Object:
        """See `Kube`; answers a Scale, with the Deployment's resourceVersion."""
        path = f"{_path('Deployment', namespace, name)}/scale"
        return self._json("PATCH", path, [_MANAGER], {"spec": {"replicas": replicas}}, _MERGE_PATCH)

    def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """See `Kube`."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            self._request("DELETE", _path(kind, namespace, name), [], options, "application/json")
        except _NotFoundError:
            return

    def leave(self, kind: str, namespace: str, name: str, uid: str) -> Object | None:
        """See `Kube`; the object as it is then, or None where it is gone or was not owned."""
        path = _path(kind, namespace, name)
        try:
            there = self._json("GET", path)
            others = [owner for owner in _owners(there) if owner["uid"] != uid]
            if len(others) == len(_owners(there)):
                return None
            # Refused where another came or went since: of two that leave at once, one must see that it is the last.
            seen = there["metadata"]["resourceVersion"]
            if others:
                patch = {"metadata": {"resourceVersion": seen, "ownerReferences": others}}
                return self._json("PATCH", path, [_MANAGER], patch, _MERGE_PATCH)
            preconditions = {"uid": there["metadata"]["uid"], "resourceVersion": seen}
            options = {"preconditions": preconditions, "propagationPolicy": "Foreground"}
            ending = self._json("DELETE", path, [], options, "application/json")
        except _NotFoundError:
            return None
        # A Status where nothing holds it back.
        return ending if ending.get("kind") == kind else None

    def write_status(self, namespace: str, name: str, uid: str, status: Object) -> Object | None:
        """See `Kube`; None when the model is gone."""
        # Applied as a whole by its only writer, keys that are left out vanish; the uid makes a new object of the
        # same name refuse the status of the old one.
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "status": dict(status),
        }
        try:
            return self._json("PATCH", f"{_path(names.KIND, namespace, name)}/status", _FORCED, body, _APPLY_PATCH)
        except _NotFoundError:
            return None

    def may(self, right: Right, namespace: str) -> bool:
        """Whether we have the right in the namespace; the empty one is all of them."""
        attributes = right._asdict() | ({"namespace": namespace} if namespace else {})
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self._json("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        return bool(answer["status"].get("allowed"))

    def list_rules(self, namespace: str) -> Sequence[Object]:
        """Rules that allow us things in the namespace, in the form of RBAC's; empty where not all of them are known."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        try:
            status = self._json("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body=review)["status"]
        except (_NotFoundError, RefusedError):
            return ()
        # Where an authorizer cannot list its rules, another one may deny what a rule allows.
        return () if status.get("incomplete") else tuple(status.get("resourceRules") or ())

    def read_version(self) -> str:
        """The API server's version, such as v1.34.1."""
        return str(self._json("GET", "/version").get("gitVersion", ""))

    def read_user(self) -> str:
        """Who we are to the API server; empty where it does not say."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = self._json("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)
        except (ClusterError, RefusedError):
            # Kubernetes before 1.28 has no such question.
            return ""
        return str(answer["status"]["userInfo"].get("username", ""))

    def read_served_versions(self) -> tuple[str, ...]:
        """The versions of our API group that are served."""
        try:
            group = self._json("GET", f"/apis/{names.GROUP}")
        except _NotFoundError:
            return ()
        return tuple(str(each["version"]) for each in group["versions"])

    def read_served_schema(self) -> Object:
        """The schema of a CompressedModel as it is served; empty where none is published."""
        try:
            document = self._json("GET", f"/openapi/v3/apis/{names.GROUP}/{names.VERSION}")
        except (_NotFoundError, RefusedError):
            return {}
        kind = {"group": names.GROUP, "version": names.VERSION, "kind": names.KIND}
        schemas = (document.get("components") or {}).get("schemas") or {}
        found: Object = next(
            (each for each in schemas.values() if kind in each.get("x-kubernetes-group-version-kind", ())), {}
        )
        return found

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _list(self, kind: str, namespace: str, query: list[tuple[str, str]]) -> list[Object]:
        found: list[Object] = []
        asked = [("limit", str(PAGE_SIZE)), *query]
        while True:
            page = self._json("GET", _path(kind, namespace), asked)
            # Items of a list do not say what they are.
            found += [{"apiVersion": page["apiVersion"], "kind": kind, **item} for item in page.get("items") or ()]
            following = page["metadata"].get("continue")
            if not following:
                return found
            asked = [("limit", str(PAGE_SIZE)), *query, ("continue", following)]

    def _json(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        body: Object | None = None,
        content_type: str = _JSON,
    ) -> Object:
        answer: Object = json.loads(self._request(method, path, query, body, content_type))
        return answer

    def _request(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        body: Object | None = None,
        content_type: str = "",
        *,
        accept: str = _JSON,
    ) -> bytes:
        headers = {"Accept": accept} | ({"Content-Type": content_type} if body is not None else {})
        status, retry_after, data = self._exchange(method, path, query, headers, body)
        if status == _UNAUTHORIZED:
            # The token has expired; another is where it was read, when it was rotated as it ought to be.
            self._read_token()
            status, retry_after, data = self._exchange(method, path, query, headers, body)
        if 200 <= status < 300:
            return data
        raise parse_refusal(method, path, status, retry_after, data)

    def _read_token(self) -> None:
        try:
            fresh = load_configuration()
        except RightsError as error:
            raise ClusterError(f"the token of the API server has expired, and there is no other: {error}") from error
        self._client.configuration.api_key = fresh.api_key
        self._client.configuration.refresh_api_key_hook = fresh.refresh_api_key_hook

    def _exchange(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        body: Object | None,
    ) -> tuple[int, str | None, bytes]:
        """Status, Retry-After and body of the answer."""
        begun, code = time.monotonic(), "none"
        try:
            request = self._client.param_serialize(
                method,
                path,
                query_params=list(query),
                header_params=dict(headers),
                body=None if body is None else dict(body),
                auth_settings=["BearerToken"],
            )
            response = self._client.call_api(*request, _request_timeout=(CONNECT_SECONDS, READ_SECONDS))
            data: bytes = response.read()
            code = str(response.status)
        except (
            urllib3.exceptions.HTTPError,
            kubernetes.client.ApiException,
            kubernetes.config.ConfigException,
            OSError,
        ) as error:
            raise ClusterError(f"{method} {path}: the API server does not answer: {error}") from error
        finally:
            self._note_request(Request(*parse_target(method, path), code, time.monotonic() - begun))
        return response.status, response.headers.get("Retry-After"), data


class _NotFoundError(ClusterError):
    """404; a ClusterError where it was not expected, since the namespace is going away or the CRD is missing."""


class _AlreadyExistsError(ClusterError):
    """409 with the reason AlreadyExists."""


def _owners(body: Object) -> Sequence[Object]:
    return body["metadata"].get("ownerReferences") or ()


_TARGET: Final = re.compile(r"^/api(?:/v1|s/[^/]+/[^/]+)/(?:namespaces/[^/]+/)?([a-z]+)(?:/([^/]+))?")
_VERBS: Final = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
_MANAGER: Final = ("fieldManager", names.FIELD_MANAGER)
_FORCED: Final = [_MANAGER, ("force", "true")]


def load_configuration() -> Any:
    """How to reach the API server: the pod's service account, or KUBECONFIG.

    The service account's token file is read again every minute, so that a rotated token is used.

    Raises:
        RightsError: when there is neither.
    """
    configuration = kubernetes.client.Configuration()
    try:
        try:
            kubernetes.config.load_incluster_config(client_configuration=configuration)
        except kubernetes.config.ConfigException:
            kubernetes.config.load_kube_config(client_configuration=configuration)
    except (kubernetes.config.ConfigException, OSError) as error:
        raise RightsError(
            f"there is neither a service account nor a kubeconfig ({error}): run the operator in a cluster, or set "
            "KUBECONFIG"
        ) from error
    return configuration


def _drop_managed_fields(node: dict[str, Any]) -> dict[str, Any]:
    node.pop("managedFields", None)
    return node


def parse_target(method: str, path: str) -> tuple[str, str]:
    """Verb, as RBAC has it, and plural of a request; the plural is empty for what is no object."""
    found = _TARGET.match(path)
    resource, name = found.groups() if found else ("", "")
    return _VERBS.get(method, "get" if name else "list"), resource


def parse_refusal(
    method: str, path: str, status: int, retry_after: str | None, data: bytes
) -> ClusterError | RefusedError:
    """What an answer that is not a success means, with the API server's own words."""
    try:
        answer = json.loads(data)
        reason, words = str(answer.get("reason", "")), str(answer.get("message", ""))
    except (ValueError, AttributeError):
        reason, words = "", data[:200].decode(errors="replace").strip()
    message = words or f"{method} {path}: HTTP {status}"
    if status == _UNAUTHORIZED:
        return TokenError(f"{method} {path}: HTTP {status}: {message}")
    if status == 404:
        return _NotFoundError(message)
    if status == 409 and reason == "AlreadyExists":
        return _AlreadyExistsError(message)
    if status in {400, 403, 405, 413, 415, 422}:
        return RefusedError(message, invalid=status in {400, 422})
    seconds = float(retry_after) if retry_after and retry_after.isdecimal() else None
    return ClusterError(f"{method} {path}: HTTP {status}: {message}", seconds)


def _path(kind: str, namespace: str, name: str = "") -> str:
    resource = _RESOURCES[kind]
    return "/".join(
        part for part in (resource.path, f"namespaces/{namespace}" if namespace else "", resource.plural, name) if part
    )
