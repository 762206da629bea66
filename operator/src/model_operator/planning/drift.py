"""Whether a live object still is what was wanted, so that nothing is written that changes nothing. Pure.

A live object holds more than was applied: defaults, and fields of others. So only what is stated is compared, and a
hash of all that was stated, kept on the object, tells when something is no longer stated. What the API server itself
makes of what is applied, by an admission policy, would be the same the next time: it is no drift.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from model_artifact.recipe import canonical_json
from model_operator import names
from model_operator.observation import Object
from model_operator.planning.quantity import parse_quantity

_HASH_DIGITS = 16
# What the items of a Kubernetes list are told apart by, the more telling first.
_ITEM_KEYS = ("uid", "mountPath", "name")
_UNCOMPARED = ("apiVersion", "kind")
# Others write these all the time, and replicas are an autoscaler's.
_UNKEPT = (*_UNCOMPARED, "metadata", "status")
_OUR_PREFIX = f"{names.GROUP}/"
_EMPTY: tuple[Any, ...] = ({}, [], None)
# These are applied whole: a key that someone adds to a selector makes it select something else.
_WHOLE = ("selector", "nodeSelector")


def hash_object(wanted: Any) -> str:
    """A short hash that is the same for the same JSON."""
    return hashlib.sha256(canonical_json(wanted).encode()).hexdigest()[:_HASH_DIGITS]


def render_applied(wanted: Object) -> dict[str, Any]:
    """The object with the hash of itself among its annotations."""
    metadata = wanted["metadata"]
    annotations = {**metadata.get("annotations", {}), names.ANNOTATION_APPLIED: hash_object(wanted)}
    return {**wanted, "metadata": {**metadata, "annotations": annotations}}


def hash_kept(there: Object) -> str:
    """A short hash of all that an object is, but for its status and replicas and what others note in its metadata."""
    metadata = there["metadata"]
    ours = {key: value for key, value in (metadata.get("annotations") or {}).items() if key.startswith(_OUR_PREFIX)}
    marks = [metadata.get(part) for part in ("uid", "labels", "ownerReferences")]
    content = {key: value for key, value in there.items() if key not in _UNKEPT}
    if isinstance(spec := content.get("spec"), Mapping):
        content["spec"] = {key: value for key, value in spec.items() if key != "replicas"}
    return hash_object([ours, *marks, content])


def hash_change(wanted: Object, answer: Object) -> str | None:
    """`hash_kept` of what an apply answered, where that is not what was stated; None where it is."""
    return None if find_change(wanted, answer) is None else hash_kept(answer)


def find_change(wanted: Object, live: Object) -> str | None:
    """The path of the first field that is stated and is not so."""
    return _find_difference({key: value for key, value in wanted.items() if key not in _UNCOMPARED}, live, "")


def find_drift(wanted: Object, live: Object | None, kept: str | None = None) -> str | None:
    """Why `wanted`, as `render_applied` gives it, must be applied: a clause for the log; None when nothing differs.

    Args:
        wanted: what is stated.
        live: what is there.
        kept: of what the last apply answered, by `hash_change`; None where it was what was stated, or where nobody
            remembers.
    """
    if live is None:
        return "it is not there"
    applied = wanted["metadata"]["annotations"][names.ANNOTATION_APPLIED]
    if (live.get("metadata", {}).get("annotations") or {}).get(names.ANNOTATION_APPLIED) != applied:
        return "another state is wanted"
    path = find_change(wanted, live)
    return None if path is None or kept == hash_kept(live) else f"its {path} was changed"


def _find_difference(wanted: Any, live: Any, path: str) -> str | None:
    """The path of the first stated field that is not so."""
    if wanted in _EMPTY and live in _EMPTY:
        return None
    if isinstance(wanted, Mapping):
        return _find_map_difference(wanted, live, path)
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return _find_list_difference(wanted, live, path)
    return None if _is_same(wanted, live) else path


def _find_map_difference(wanted: Mapping[str, Any], live: Any, path: str) -> str | None:
    """Keys that are not stated are others' own, but for those of a map that is applied whole."""
    if not isinstance(live, Mapping):
        return path
    for key, value in wanted.items():
        inner = f"{path}.{key}".lstrip(".")
        different = _find_difference(value, live.get(key), inner)
        if different is not None:
            return different
        if key in _WHOLE and _has_more(value, live.get(key)):
            return inner
    return None


def _has_more(wanted: Any, live: Any) -> bool:
    """Whether a live map has a key, however deep, that is not wanted."""
    if not isinstance(live, Mapping):
        return False
    known = wanted if isinstance(wanted, Mapping) else {}
    return any(key not in known or _has_more(known[key], value) for key, value in live.items())


def _find_list_difference(wanted: Sequence[Any], live: Any, path: str) -> str | None:
    """Items with a key may stand among items of others; without one the list is ours alone."""
    if not isinstance(live, Sequence) or isinstance(live, str):
        return path
    if not all(isinstance(item, Mapping) for item in wanted):
        same = len(wanted) == len(live) and all(map(_is_same, wanted, live))
        return None if same else path
    key = next((key for key in _ITEM_KEYS if all(key in item for item in wanted)), None)
    if key is None:
        return None if _is_matched(wanted, live) else path
    found = {item.get(key): item for item in live if isinstance(item, Mapping)}
    for item in wanted:
        different = _find_difference(item, found.get(item[key]), f"{path}[{item[key]}]")
        if different is not None:
            return different
    return None


def _is_matched(wanted: Sequence[Any], live: Sequence[Any]) -> bool:
    """Whether each wanted item is one of the live ones, in any order: the API server may reorder an HPA's metrics."""
    left = list(live)
    for item in wanted:
        match = next((other for other in left if _find_difference(item, other, "") is None), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def _is_same(wanted: Any, live: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(live, bool) or wanted is None or live is None:
        return wanted is live
    if wanted == live:
        return True
    number = parse_quantity(wanted)
    return number is not None and number == parse_quantity(live)
