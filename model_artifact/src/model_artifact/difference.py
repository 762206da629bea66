"""Two artifacts beside each other. Pure."""

import json
from collections import Counter
from typing import Any

from model_artifact.documents import Change, DiffDocument, LayerPair, TensorDocument, render_side, render_tensor
from model_artifact.inspection import ArtifactFacts
from model_artifact.manifest import Quality
from model_artifact.recipe import Recipe


def compare(a: ArtifactFacts, b: ArtifactFacts) -> DiffDocument:
    """What differs between two artifacts, and the numbers of both."""
    return DiffDocument(
        same=a.digest == b.digest,
        a=render_side(a),
        b=render_side(b),
        recipe=_compare_fields(_flatten(a.recipe), _flatten(b.recipe)),
        quality=_compare_fields(_flatten(a.quality), _flatten(b.quality)),
        files=_compare_fields(_hashes(a), _hashes(b)),
        layers=_pair_layers(a, b),
    )


def _hashes(facts: ArtifactFacts) -> dict[str, str]:
    return {file.path: file.sha256 for file in facts.manifest.content.files}


def _flatten(document: Recipe | Quality | None) -> dict[str, str]:
    """Each field by its path, written as JSON."""
    return dict(_leaves("", document.model_dump(mode="json", by_alias=True))) if document else {}


def _leaves(path: str, node: Any) -> list[tuple[str, str]]:
    if isinstance(node, dict):
        return [leaf for key, value in node.items() for leaf in _leaves(f"{path}.{key}" if path else key, value)]
    return [(path, json.dumps(node))]


def _compare_fields(a: dict[str, str], b: dict[str, str]) -> tuple[Change, ...]:
    return tuple(
        Change(field=field, a=a.get(field, "null"), b=b.get(field, "null"))
        for field in sorted(a.keys() | b.keys())
        if a.get(field) != b.get(field)
    )


def _pair_layers(a: ArtifactFacts, b: ArtifactFacts) -> tuple[LayerPair, ...]:
    """Tensors of one name are a pair, the first with the first where a name occurs more than once."""
    left, right = _by_name(a), _by_name(b)
    return tuple(LayerPair(name=key[0], a=left.get(key), b=right.get(key)) for key in {**left, **right})


def _by_name(facts: ArtifactFacts) -> dict[tuple[str, int], TensorDocument]:
    seen: Counter[str] = Counter()
    found = {}
    for tensor in facts.tensors:
        found[tensor.name, seen[tensor.name]] = render_tensor(tensor)
        seen[tensor.name] += 1
    return found
