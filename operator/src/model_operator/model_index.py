"""What the watch has told of the models: which are there, how they stand, whose baseline they are. Pure memory."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from model_operator import names
from model_operator.workqueue import Key

Object = Mapping[str, Any]

SAVINGS: Final = ("size", "latency", "cpu", "memory")
"""The ratios baseline : model of `status.savings`."""


class ModelFacts(NamedTuple):
    """What is remembered of one model."""

    uid: str
    generation: int
    deleting: bool
    ready: str
    """Status of its Ready condition in lower case: true, false or unknown."""
    baseline: str
    """Name; empty when it names none."""
    artifact_bytes: int | None
    """Size of its artifact; None while it has none."""
    revision: str
    """What it serves; empty while that is nothing."""
    savings: tuple[tuple[str, float], ...]
    """Ratios of SAVINGS that were measured."""


class ModelIndex:
    """Remembers a few facts of each model."""

    def __init__(self) -> None:
        self._facts: dict[Key, ModelFacts] = {}
        self._dependents: dict[Key, set[Key]] = {}
        self._ready: Counter[str] = Counter({"true": 0, "false": 0, "unknown": 0})

    def note_event(self, body: Object, *, deleted: bool) -> bool:
        """Take in what the watch told; True when the model is new, gone or changed in more than its status."""
        key, before = model_key(body), self._facts.get(model_key(body))
        if before is not None:
            self._forget(key, before)
        if deleted:
            return before is not None
        facts = self._facts[key] = parse_facts(body)
        self._ready[facts.ready] += 1
        if facts.baseline:
            self._dependents.setdefault((key[0], facts.baseline), set()).add(key)
        return before is None or before[:3] != facts[:3]

    def list_keys(self) -> list[Key]:
        """All models."""
        return list(self._facts)

    def list_facts(self) -> Iterable[tuple[Key, ModelFacts]]:
        """All models and what is remembered of them."""
        return list(self._facts.items())

    def generation(self, key: Key) -> int:
        """The newest that was told of; 0 for a model that was not."""
        return self._facts[key].generation if key in self._facts else 0

    def count_ready(self) -> Mapping[str, int]:
        """Models by the status of their Ready condition."""
        return dict(self._ready)

    def dependents(self, baseline: Key) -> list[Key]:
        """The models that are measured against this one."""
        return sorted(self._dependents.get(baseline, ()))

    def _forget(self, key: Key, facts: ModelFacts) -> None:
        del self._facts[key]
        self._ready[facts.ready] -= 1
        if facts.baseline:
            place = key[0], facts.baseline
            self._dependents[place].discard(key)
            if not self._dependents[place]:
                del self._dependents[place]


def model_key(body: Object) -> Key:
    """The key of a CompressedModel."""
    return body["metadata"]["namespace"], body["metadata"]["name"]


def parse_owner_keys(body: Object) -> set[Key]:
    """The models that a child belongs to: the one that its label names, and those that own it."""
    metadata = body["metadata"]
    found = {each["name"] for each in metadata.get("ownerReferences") or () if each.get("kind") == names.KIND}
    labelled = (metadata.get("labels") or {}).get(names.LABEL_MODEL)
    return {(metadata["namespace"], name) for name in found | ({labelled} if labelled else set())}


def parse_facts(body: Object) -> ModelFacts:
    """What is worth remembering of a model, of whatever form it is."""
    metadata, status = body["metadata"], body.get("status") or {}
    baseline = ((body.get("spec") or {}).get("baseline") or {}).get("name")
    size, savings = (status.get("artifact") or {}).get("sizeBytes"), status.get("savings") or {}
    return ModelFacts(
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        deleting="deletionTimestamp" in metadata,
        ready=_parse_ready(status),
        baseline=str(baseline or ""),
        artifact_bytes=size if isinstance(size, int) else None,
        revision=str((status.get("serving") or {}).get("revision") or ""),
        savings=tuple((what, float(savings[what])) for what in SAVINGS if isinstance(savings.get(what), int | float)),
    )


def _parse_ready(status: Object) -> str:
    conditions = status.get("conditions") or ()
    stated = next((str(each.get("status")).lower() for each in conditions if each.get("type") == "Ready"), "unknown")
    return stated if stated in {"true", "false"} else "unknown"
