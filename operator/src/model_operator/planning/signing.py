"""What pods are given so that builds sign, and only signed models are served. Pure.

Public keys travel in the pod template: they are no secret, nobody can change them beside the operator, and new ones
start new pods, which verify anew. A private key is never seen here: pods take it from a Secret.
"""

from dataclasses import dataclass, field
from typing import Any

from model_operator import names
from model_operator.settings import Settings

_TRUST_FOLDER = "/etc/modelpress/trust"
_PUBLIC_KEYS_FILE = "signing.pub"
_KEY_FOLDER = "/etc/modelpress/signing"
_KEY_FILE = "signing.pem"
_READABLE_BY_GROUP = 0o440


@dataclass(frozen=True)
class Signing:
    """Additions to one container and its pod; none where signing is not set up.

    Attributes:
        annotations: of the pod.
        arguments: of the container.
        environment: of the container.
        mounts: of the container.
        volumes: of its pod.
    """

    annotations: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    environment: tuple[dict[str, Any], ...] = ()
    mounts: tuple[dict[str, Any], ...] = ()
    volumes: tuple[dict[str, Any], ...] = ()


def render_trust(settings: Settings) -> Signing:
    """What has `model-artifact unpack` take only what one of the trusted keys has signed."""
    if not settings.signing_public_keys:
        return Signing()
    keys = {
        "path": _PUBLIC_KEYS_FILE,
        "fieldRef": {"fieldPath": f"metadata.annotations['{names.ANNOTATION_PUBLIC_KEYS}']"},
    }
    return Signing(
        annotations={names.ANNOTATION_PUBLIC_KEYS: settings.signing_public_keys},
        arguments=("--public-key", f"{_TRUST_FOLDER}/{_PUBLIC_KEYS_FILE}"),
        mounts=({"name": "trust", "mountPath": _TRUST_FOLDER, "readOnly": True},),
        volumes=({"name": "trust", "downwardAPI": {"items": [keys]}},),
    )


def render_signing_key(settings: Settings) -> Signing:
    """What has `model-builder-job` sign; where the Secret is missing, the build says so."""
    if not settings.signing_secret_name:
        return Signing()
    secret = {
        "secretName": settings.signing_secret_name,
        "items": [{"key": _KEY_FILE, "path": _KEY_FILE}],
        "defaultMode": _READABLE_BY_GROUP,
        "optional": True,
    }
    return Signing(
        environment=({"name": "MODELPRESS_SIGNING_KEY", "value": f"{_KEY_FOLDER}/{_KEY_FILE}"},),
        mounts=({"name": "signing-key", "mountPath": _KEY_FOLDER, "readOnly": True},),
        volumes=({"name": "signing-key", "secret": secret},),
    )
