"""What the watch has told of the models: which were seen, and whose baseline they are. Pure memory, no client."""

from collections.abc import Iterable, Mapping
from typing import Any

from model_operator import names
from model_operator.workqueue import Key

Object = Mapping[str, Any]
_Version = tuple[str, int, bool]


class ModelIndex:
    """Remembers of each model its version (uid, generation, being deleted) and its baseline."""

    def __init__(self) -> None:
        self._seen: dict[Key, _Version] = {}
        self._listed: dict[Key, _Version] = {}
        self._baselines: dict[Key, Key] = {}

    def note_event(self, body: Object, *, deleted: bool) -> bool:
        """Take in what the watch told; True when the model is new, gone or changed in more than its status."""
        key = model_key(body)
        if deleted:
            self._baselines.pop(key, None)
            return self._seen.pop(key, None) is not None
        self._note_baseline(key, body)
        version = _version(body)
        changed = self._seen.get(key) != version
        self._seen[key] = version
        return changed

    def note_list(self, bodies: Iterable[Object]) -> tuple[set[Key], set[Key]]:
        """Take in a list of all models.

        Returns:
            The models that the watch has not told in this version yet; and, of those, the ones that it had not told
            when the last list had them so already. A watch that is alive tells within seconds.
        """
        listed = {model_key(body): _version(body) for body in bodies}
        untold = {key for key, version in listed.items() if self._seen.get(key) != version}
        missed = {key for key in untold if self._listed.get(key) == listed[key]}
        # Only what an earlier list had: a list may be older than what the watch told meanwhile.
        for key in self._listed.keys() - listed.keys():
            self._seen.pop(key, None)
            self._baselines.pop(key, None)
        for body in bodies:
            self._note_baseline(model_key(body), body)
        self._listed = listed
        return untold, missed

    def dependents(self, baseline: Key) -> list[Key]:
        """The models that are measured against this one."""
        return [key for key, their_baseline in self._baselines.items() if their_baseline == baseline]

    def _note_baseline(self, key: Key, body: Object) -> None:
        name = ((body.get("spec") or {}).get("baseline") or {}).get("name")
        if name:
            self._baselines[key] = (key[0], name)
        else:
            self._baselines.pop(key, None)


def model_key(body: Object) -> Key:
    """The key of a CompressedModel."""
    return body["metadata"]["namespace"], body["metadata"]["name"]


def parse_owner_keys(body: Object) -> set[Key]:
    """The models that a child belongs to: the one that its label names, and those that own it."""
    metadata = body["metadata"]
    found = {each["name"] for each in metadata.get("ownerReferences") or () if each.get("kind") == names.KIND}
    labelled = (metadata.get("labels") or {}).get(names.LABEL_MODEL)
    return {(metadata["namespace"], name) for name in found | ({labelled} if labelled else set())}


def _version(body: Object) -> _Version:
    metadata = body["metadata"]
    return metadata["uid"], metadata.get("generation", 0), "deletionTimestamp" in metadata
