"""Where artifacts are kept, and how a container comes to them: a claim is mounted, a bucket is spoken to. Pure.

A store is pvc://CLAIM or s3://BUCKET/PREFIX; an artifact is a path below one.
"""

import json
from dataclasses import dataclass
from typing import Any

from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel, CompressedModelSpec
from model_operator.observation import Record
from model_operator.settings import Settings

STORE_FOLDER = "/store"
CLAIM_SCHEME = "pvc://"


@dataclass(frozen=True)
class StoreAccess:
    """What a container needs to use a place in a store.

    Attributes:
        place: the place as programs in the container name it.
        environment_from: where credentials come from; only for containers that use the store.
        mounts: of the container.
        volumes: of its pod.
    """

    place: str
    environment_from: tuple[dict[str, Any], ...] = ()
    mounts: tuple[dict[str, Any], ...] = ()
    volumes: tuple[dict[str, Any], ...] = ()


def choose_store(spec: CompressedModelSpec, settings: Settings) -> str:
    """The store that builds of this spec write to: its own, or else the operator's setting."""
    return spec.store.uri or settings.store_uri or f"{CLAIM_SCHEME}{settings.store_claim_name}"


def find_store(spec: CompressedModelSpec, record: Record | None, settings: Settings) -> str:
    """The store that holds the artifact of the spec's recipe, or is going to: what was built stays where it is."""
    if record is None:
        return choose_store(spec, settings)
    return record.store or f"{CLAIM_SCHEME}{settings.store_claim_name}"


def join_store(store: str, path: str) -> str:
    """URI of what lies at the path below a store."""
    return f"{store.rstrip('/')}/{path}"


def split_claim(uri: str) -> tuple[str, str] | None:
    """Claim and path of what lies in a claim; None for what lies elsewhere."""
    if not uri.startswith(CLAIM_SCHEME):
        return None
    claim, _, path = uri.removeprefix(CLAIM_SCHEME).partition("/")
    return claim, path


def render_access(uri: str, settings: Settings, *, read_only: bool) -> StoreAccess:
    """How a container comes to a store, or to an artifact in one."""
    in_claim = split_claim(uri)
    if in_claim is None:
        return StoreAccess(uri, render_environment(settings))
    claim, path = in_claim
    stated: dict[str, Any] = {"readOnly": True} if read_only else {}
    return StoreAccess(
        f"{STORE_FOLDER}/{path}" if path else STORE_FOLDER,
        mounts=({"name": "store", "mountPath": STORE_FOLDER, **stated},),
        volumes=({"name": "store", "persistentVolumeClaim": {"claimName": claim, **stated}},),
    )


def render_environment(settings: Settings) -> tuple[dict[str, Any], ...]:
    """Where a container that uses a bucket gets its environment from."""
    secret = settings.store_secret_name
    return ({"secretRef": {"name": secret}},) if secret else ()


def format_place(uri: str) -> str:
    """How a sentence names what lies at a URI."""
    in_claim = split_claim(uri)
    return uri if in_claim is None else f"{in_claim[1]} in the claim {in_claim[0]}"


def format_missing_claim(claim: str, phase: str, namespace: str) -> str:
    """Which claim is missing, and the command that makes it."""
    found = "has lost its volume; delete it first" if phase == "Lost" else "does not exist"
    labels = {names.LABEL_NAME: names.MANAGED_BY, names.LABEL_COMPONENT: names.COMPONENT_STORE}
    wanted = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim, "labels": labels},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}},
    }
    body = json.dumps(wanted, separators=(",", ":"))
    return (
        f"The PersistentVolumeClaim {claim} {found}. Make it (ReadWriteMany where pods run on several nodes): "
        f"echo '{body}' | kubectl apply -n {namespace} -f -"
    )


def lacks_secret(settings: Settings, message: str) -> bool:
    """Whether Kubernetes' message says that the Secret with the store's credentials is not there."""
    name = settings.store_secret_name
    return bool(name) and f'secret "{name}" not found' in message


def format_missing_secret(model: CompressedModel, settings: Settings) -> str:
    """Which Secret is missing, and the command that makes it."""
    name, namespace = settings.store_secret_name, model.metadata.namespace
    return (
        f"The Secret {name} with the credentials of the store does not exist in the namespace {namespace}. Make it: "
        f"kubectl -n {namespace} create secret generic {name} --from-literal=AWS_ACCESS_KEY_ID=… "
        "--from-literal=AWS_SECRET_ACCESS_KEY=… --from-literal=AWS_REGION=… --from-literal=AWS_ENDPOINT_URL=…"
    )
