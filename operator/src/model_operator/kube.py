"""The Kubernetes API: what the operator reads and writes there. The only file that imports `kubernetes`.

Objects stay plain JSON. Lists go by labels, and nothing here reads a Secret. Every failure is a `ClusterError` (try
again) or a `RefusedError` (the same request fails again); an object that is not there is None, and making one that is
there already, or deleting one that is gone, is no failure.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import kubernetes.client
import kubernetes.config
import urllib3

from model_operator import names
from model_operator.errors import ClusterError, RefusedError, RightsError
from model_operator.rights import Right, format_right

Object = Mapping[str, Any]

CONNECT_SECONDS: Final = 3
READ_SECONDS: Final = 10
PAGE_SIZE: Final = 500
LOG_LINES: Final = 50


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

_APPLY_PATCH: Final = "application/apply-patch+yaml"
_STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
_MERGE_PATCH: Final = "application/merge-patch+json"


class Kube(Protocol):
    """What the operator asks of the API server; tests have one that keeps objects in a dictionary."""

    def read(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object, or None where there is none."""

    def list_labelled(self, kind: str, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        """The namespace's objects that carry all of these labels."""

    def list_models(self) -> list[Object]:
        """Every CompressedModel in the namespaces that are watched."""

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

    def scale(self, namespace: str, name: str, replicas: int) -> None:
        """Set a Deployment's replicas."""

    def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """Delete that very object; one of the same name that was made since is left."""

    def write_status(self, namespace: str, name: str, uid: str, status: Object) -> None:
        """Make the model's status this one and nothing else; one that is gone needs none, one made anew refuses it."""


class ApiKube:
    """The API server that the pod's service account or KUBECONFIG names. Safe to use from several threads."""

    def __init__(self, namespaces: Sequence[str], connections: int) -> None:
        """Connect when first used.

        Args:
            namespaces: those to list models in; empty: all.
            connections: kept open at most.

        Raises:
            RightsError: when there is neither a service account nor a kubeconfig.
        """
        self._namespaces = tuple(namespaces)
        configuration = load_configuration()
        configuration.connection_pool_maxsize = connections
        # One retry, of a connection that the server closed while it was idle.
        configuration.retries = urllib3.Retry(1, backoff_factor=0.1)
        self._client = kubernetes.client.ApiClient(configuration)
        self._client.user_agent = "modelpress-operator"

    def read(self, kind: str, namespace: str, name: str) -> Object | None:
        """See `Kube`."""
        try:
            found: Object = self._json("GET", _path(kind, namespace, name))
        except _NotFoundError:
            return None
        return found

    def list_labelled(self, kind: str, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        """See `Kube`."""
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        return self._list(kind, namespace, [("labelSelector", selector)])

    def list_models(self) -> list[Object]:
        """See `Kube`."""
        return [model for namespace in self._namespaces or ("",) for model in self._list(names.KIND, namespace, [])]

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

    def create(self, namespace: str, body: Object) -> bool:
        """See `Kube`."""
        try:
            self._request("POST", _path(body["kind"], namespace), [_MANAGER], body, "application/json")
        except _AlreadyExistsError:
            return False
        return True

    def add_owner(self, kind: str, namespace: str, name: str, owner: Object) -> None:
        """See `Kube`."""
        patch = {"metadata": {"ownerReferences": [dict(owner)]}}
        self._request("PATCH", _path(kind, namespace, name), [_MANAGER], patch, _STRATEGIC_PATCH)

    def apply(self, namespace: str, body: Object) -> None:
        """See `Kube`."""
        path = _path(body["kind"], namespace, body["metadata"]["name"])
        try:
            self._request("PATCH", path, _FORCED, body, _APPLY_PATCH)
        except RefusedError as error:
            if not error.invalid or not self._overwrite(path, body):
                raise
            self._request("PATCH", path, _FORCED, body, _APPLY_PATCH)

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

    def scale(self, namespace: str, name: str, replicas: int) -> None:
        """See `Kube`."""
        path = f"{_path('Deployment', namespace, name)}/scale"
        self._request("PATCH", path, [_MANAGER], {"spec": {"replicas": replicas}}, _MERGE_PATCH)

    def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """See `Kube`."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            self._request("DELETE", _path(kind, namespace, name), [], options, "application/json")
        except _NotFoundError:
            return

    def write_status(self, namespace: str, name: str, uid: str, status: Object) -> None:
        """See `Kube`."""
        # Applied as a whole by its only writer, keys that are left out vanish; the uid makes a new object of the
        # same name refuse the status of the old one.
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "status": dict(status),
        }
        try:
            self._request("PATCH", f"{_path(names.KIND, namespace, name)}/status", _FORCED, body, _APPLY_PATCH)
        except _NotFoundError:
            return

    def check_rights(self, rights: Sequence[Right]) -> None:
        """Refuse to go on without every right in every namespace that is watched, and without the CRD.

        Raises:
            RightsError: one sentence a line for each that is missing.
            ClusterError: when the API server does not answer.
        """
        missing = [
            f"{format_right(right)} {f'in namespace {namespace} ' if namespace else ''}is not allowed: "
            "grant it to the operator's service account"
            for namespace in self._namespaces or ("",)
            for right in rights
            if not self._may(right, namespace)
        ]
        if missing:
            raise RightsError("\n".join(missing))
        try:
            self._json("GET", _path(names.KIND, (self._namespaces or ("",))[0]), [("limit", "1")])
        except _NotFoundError as error:
            raise RightsError(f"the CRD {names.CRD_NAME} is missing: apply crds/ of this release") from error

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _may(self, right: Right, namespace: str) -> bool:
        attributes = right._asdict() | ({"namespace": namespace} if namespace else {})
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self._json("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        return bool(answer["status"].get("allowed"))

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

    def _json(self, method: str, path: str, query: Sequence[tuple[str, str]] = (), body: Object | None = None) -> Any:
        return json.loads(self._request(method, path, query, body, "application/json"))

    def _request(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        body: Object | None = None,
        content_type: str = "",
    ) -> bytes:
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if body is not None else {})
        try:
            request = self._client.param_serialize(
                method,
                path,
                query_params=list(query),
                header_params=headers,
                body=None if body is None else dict(body),
                auth_settings=["BearerToken"],
            )
            response = self._client.call_api(*request, _request_timeout=(CONNECT_SECONDS, READ_SECONDS))
            data: bytes = response.read()
        except (
            urllib3.exceptions.HTTPError,
            kubernetes.client.ApiException,
            kubernetes.config.ConfigException,
            OSError,
        ) as error:
            raise ClusterError(f"{method} {path}: the API server does not answer: {error}") from error
        if 200 <= response.status < 300:
            return data
        raise parse_refusal(method, path, response.status, response.headers.get("Retry-After"), data)


class _NotFoundError(ClusterError):
    """404; a ClusterError where it was not expected, since the namespace is going away or the CRD is missing."""


class _AlreadyExistsError(ClusterError):
    """409 with the reason AlreadyExists."""


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
