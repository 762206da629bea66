# ruff: noqa: S101 - part of the tests beside it
"""A namespace as `operator_play.Cluster` has it, by requests on one connection: no process is begun for each."""

import http.client
import json
import ssl
from typing import Any
from urllib.parse import quote, urlsplit

import yaml
from cluster.client import wait_until
from operator_play import Cluster

_RESOURCES = {
    "cmod": "apis/modelpress.dev/v1alpha1/compressedmodels",
    "deployment": "apis/apps/v1/deployments",
    "service": "api/v1/services",
    "pdb": "apis/policy/v1/poddisruptionbudgets",
    "hpa": "apis/autoscaling/v2/horizontalpodautoscalers",
    "job": "apis/batch/v1/jobs",
    "configmap": "api/v1/configmaps",
    "pod": "api/v1/pods",
    "event": "api/v1/events",
    "serviceaccount": "api/v1/serviceaccounts",
    "persistentvolumeclaim": "api/v1/persistentvolumeclaims",
}
_KINDS = {
    "compressedmodel": "cmod",
    "horizontalpodautoscaler": "hpa",
    "poddisruptionbudget": "pdb",
    "pvc": "persistentvolumeclaim",
}
_NOT_FOUND = 404
_LATER = 429


class DirectCluster(Cluster):
    """One namespace; to be used from one thread at a time."""

    def __init__(self, server: Any, namespace: str) -> None:
        """Speak as the administrator that the server's kubeconfig names."""
        super().__init__(server, namespace)
        config = yaml.safe_load(server.kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        trust = ssl.create_default_context(cafile=cluster["certificate-authority"])
        trust.load_cert_chain(user["client-certificate"], user["client-key"])
        address = urlsplit(cluster["server"])
        self._connection = http.client.HTTPSConnection(
            str(address.hostname), address.port or 443, context=trust, timeout=30
        )

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def make(self, *bodies: dict[str, Any]) -> None:
        """Create or change these objects as a user does."""
        for body in bodies:
            path = self._path(body["kind"], body["metadata"]["name"])
            self._request("PATCH", f"{path}?fieldManager=user&force=true", body, "application/apply-patch+yaml")

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        """The object, or None."""
        return self._request("GET", self._path(kind, name))

    def list(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """All objects of the kind."""
        found = self._request("GET", f"{self._path(kind)}?labelSelector={quote(selector)}")
        assert found is not None, f"there is no {kind}"
        items: list[dict[str, Any]] = found["items"]
        return items

    def patch(self, kind: str, name: str, patch: dict[str, Any], *options: str) -> None:
        """A merge patch as a user makes it."""
        below = "/status" if "--subresource=status" in options else ""
        path = f"{self._path(kind, name)}{below}?fieldManager=user"
        done = self._request("PATCH", path, patch, "application/merge-patch+json")
        assert done is not None, f"there is no {kind} {name}"

    def edit(self, kind: str, name: str, patch: dict[str, Any]) -> None:
        """Change an object as `kubectl edit` does: items of lists are merged by their names."""
        path = f"{self._path(kind, name)}?fieldManager=user"
        done = self._request("PATCH", path, patch, "application/strategic-merge-patch+json")
        assert done is not None, f"there is no {kind} {name}"

    def delete(self, kind: str, name: str) -> None:
        """Delete the object, when it is there, and wait for nothing."""
        options = {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
        self._request("DELETE", self._path(kind, name), options, "application/json")

    def make_namespace(self) -> None:
        """Make the namespace, and the account that its pods run as."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        self._request("POST", "/api/v1/namespaces", body, "application/json")
        self.make({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})

    def delete_namespace(self) -> None:
        """Ask for the namespace's end, and wait for nothing."""
        self._request("DELETE", f"/api/v1/namespaces/{self.namespace}")

    def has_namespace(self) -> bool:
        """Whether the namespace is there, or still going away."""
        return self._request("GET", f"/api/v1/namespaces/{self.namespace}") is not None

    def clear(self) -> None:
        """Delete every model, and wait for nothing."""
        self._request("DELETE", self._path("cmod"))

    def _path(self, kind: str, name: str = "") -> str:
        short = kind.lower().removesuffix("s")
        before, _, plural = _RESOURCES[_KINDS.get(short, short)].rpartition("/")
        return f"/{before}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None, content_type: str = ""
    ) -> dict[str, Any] | None:
        """The answer; None where there is no such object. Any other refusal is a failure of the test."""
        headers = {"Content-Type": content_type} if body is not None else {}
        text = None if body is None else json.dumps(body)
        status, answer = wait_until(
            lambda: self._ask(method, path, text, headers), lambda seen: seen[0] != _LATER, 20, f"{method} {path}"
        )
        if status == _NOT_FOUND:
            return None
        assert status < 300, f"{method} {path}: {status} {answer.decode()}"
        found: dict[str, Any] = json.loads(answer)
        return found

    def _ask(self, method: str, path: str, text: str | None, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            return self._exchange(method, path, text, headers)
        except (OSError, http.client.HTTPException):
            # The server began anew since the last request.
            self._connection.close()
            return self._exchange(method, path, text, headers)

    def _exchange(self, method: str, path: str, text: str | None, headers: dict[str, str]) -> tuple[int, bytes]:
        self._connection.request(method, path, text, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()
