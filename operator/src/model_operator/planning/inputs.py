"""Files of the user's that a build reads: which they are, and how its container comes to them. Pure.

A claim is mounted, read-only, at a folder of its name, where `model-builder-job` looks for pvc://CLAIM/PATH; an object
is downloaded with the environment that reaches the store.
"""

from typing import Any

from model_operator.api.v1alpha1 import CompressedModelSpec
from model_operator.planning.store import StoreAccess, render_environment, split_claim
from model_operator.settings import Settings

CLAIMS_FOLDER = "/claims"
CLAIMS_VARIABLE = "MODELPRESS_CLAIMS"


def list_input_claims(spec: CompressedModelSpec) -> tuple[str, ...]:
    """The claims that hold the user's files, each once, in order of their names."""
    places = [split_claim(uri) for uri in _list_uris(spec)]
    return tuple(sorted({place[0] for place in places if place is not None}))


def render_inputs(spec: CompressedModelSpec, settings: Settings, taken: dict[str, str]) -> StoreAccess:
    """What a build's container needs to read the user's files; its place is the folder of the claims, if there are any.

    Args:
        spec: of the model.
        settings: where objects' credentials come from.
        taken: claims that the pod has already, and the names of their volumes, which are used again.
    """
    claims, uris = list_input_claims(spec), _list_uris(spec)
    volumes = {claim: taken.get(claim, f"input-{number}") for number, claim in enumerate(claims)}
    return StoreAccess(
        CLAIMS_FOLDER if claims else "",
        render_environment(settings) if any(split_claim(uri) is None for uri in uris) else (),
        tuple(
            {"name": volume, "mountPath": f"{CLAIMS_FOLDER}/{claim}", "readOnly": True}
            for claim, volume in volumes.items()
        ),
        tuple(_render_volume(volume, claim) for claim, volume in volumes.items() if claim not in taken),
    )


def _list_uris(spec: CompressedModelSpec) -> tuple[str, ...]:
    given = spec.source.model
    return () if given is None else (given.uri, given.dataset.uri)


def _render_volume(name: str, claim: str) -> dict[str, Any]:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
