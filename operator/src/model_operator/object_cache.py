"""What the API server told of the objects that the operator watches: pure memory, no client.

The watch, the answers to our writes and single reads fill it. Of two tellings of one object the one with the larger
resourceVersion is kept, so that nobody acts on what is older than what he wrote. Kubernetes compares resourceVersions
of one kind as whole numbers (stated since 1.35, true of every release before); where one is no number, `find` and
`list_labelled` answer nothing for its kind, and the API server is asked instead.

Objects are kept packed and parsed on every read, so that a reader may do with his copy what he likes.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from model_operator import names
from model_operator.packing import Packer
from model_operator.watch_lag import ObjectKey, WatchLag

Object = Mapping[str, Any]

_INDEXED: Final = (names.LABEL_MODEL, names.LABEL_RECIPE)
"""Labels that lists go by."""
_OWNER: Final = "owner"
"""Stands for the uid of an owner where others are labels."""
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
TOMBSTONE_SECONDS: Final = 300.0
"""An answer to a request is not older than this when it comes."""
_ANY_VERSION: Final = -1


class _Entry(NamedTuple):
    version: int
    told: int
    """The version that the watch told; smaller than `version` after a write of ours."""
    indexed: tuple[tuple[str, str], ...]
    """The labels and owners that it is found by."""
    data: bytes


class _Tombstone(NamedTuple):
    version: int
    at: float


@dataclass(frozen=True)
class Found:
    """What the cache knows of one object.

    Attributes:
        sure: whether that is as new as everything that was written and listed; if not, ask the API server.
        body: None where there is none that carries our label.
    """

    sure: bool
    body: Object | None = None


class Listed(NamedTuple):
    """One object of a metadata list."""

    namespace: str
    name: str
    version: int | None


class ObjectCache:
    """The objects of every watched kind. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """An empty cache, that is sure of nothing."""
        self._clock = clock
        self._lock = threading.RLock()
        self._entries: dict[ObjectKey, _Entry] = {}
        self._packers: dict[str, Packer] = {}
        self._labelled: dict[tuple[str, str, str, str], set[str]] = {}
        self._tombstones: dict[ObjectKey, _Tombstone] = {}
        # The version that the object has at least, or, below zero, the number of a doubt about a version nobody knows.
        self._doubts: dict[ObjectKey, int] = {}
        self._last_doubt = 0
        self._complete: set[tuple[str, str]] = set()
        self._incomparable: set[str] = set()
        self.lag = WatchLag(clock)

    def __len__(self) -> int:
        """Objects that are kept."""
        return len(self._entries)

    def count(self) -> dict[str, int]:
        """Objects that are kept, by kind."""
        with self._lock:
            counts: dict[str, int] = {}
            for kind, _, _ in self._entries:
                counts[kind] = counts.get(kind, 0) + 1
            return counts

    def note_told(self, body: Object, *, deleted: bool) -> bool:
        """Take in what the watch told; whether that was news, and not in the cache already."""
        key, version = object_key(body), parse_version(body)
        with self._lock:
            self.lag.note_event(key[0])
            if version is None:
                self._incomparable.add(key[0])
                return True
            self.lag.note_told(key, version)
            if deleted:
                return self._bury(key, version)
            return self._keep(key, version, version, body)

    def note_answer(self, body: Object, *, written: bool) -> None:
        """Take in an object that the API server answered with.

        Args:
            body: the whole object, with its kind.
            written: by us just now; then the watch must tell of it as well.
        """
        key, version = object_key(body), parse_version(body)
        with self._lock:
            if version is None:
                self._incomparable.add(key[0])
                return
            if self._is_ours(body):
                self._keep(key, version, _ANY_VERSION, body)
                if written:
                    self._expect(key, version)
            if self._doubts.get(key, version) <= version:
                self._doubts.pop(key, None)

    def begin_check(self) -> int:
        """Before a metadata list is asked for; what this answers goes with the list."""
        return self._last_doubt

    def note_absence(self, key: ObjectKey, known_version: int | None) -> None:
        """The API server was asked and has no such object.

        Args:
            key: of the object.
            known_version: what `version_of` said before it was asked; what was told since is newer than the answer.
        """
        with self._lock:
            self._doubts.pop(key, None)
            entry = self._entries.get(key)
            if entry is not None and entry.version == known_version:
                self._bury(key, entry.version)

    def version_of(self, key: ObjectKey) -> int | None:
        """The version that is kept; None where no such object is."""
        entry = self._entries.get(key)
        return entry.version if entry else None

    def note_doubt(self, key: ObjectKey, version: int | None = None) -> None:
        """Something was written, and no object was answered: ask the API server until the cache has it.

        Args:
            key: of the object.
            version: that it has at least; None where that is unknown.
        """
        with self._lock:
            entry = self._entries.get(key)
            if version is None:
                self._last_doubt -= 1
                self._doubts[key] = self._last_doubt
            elif entry is None or entry.version < version:
                self._doubt(key, version)
                self._expect(key, version)

    def find(self, key: ObjectKey, scope: str) -> Found:
        """What is known of the object.

        Args:
            key: of the object.
            scope: the namespace that its kind is watched in; empty: all at once.
        """
        with self._lock:
            if key[0] in self._incomparable or key in self._doubts or (key[0], scope) not in self._complete:
                return Found(sure=False)
            entry = self._entries.get(key)
            return Found(sure=True, body=None if entry is None else self._unpack(key))

    def list_labelled(self, kind: str, namespace: str, scope: str, labels: Mapping[str, str]) -> list[Object] | None:
        """The objects that carry all of these labels; None where the API server must be asked."""
        label = next((label for label in _INDEXED if label in labels), None)
        found = None if label is None else self._list_indexed_by(kind, namespace, scope, label, labels[label])
        if found is None:
            return None
        return [body for body in found if labels.items() <= (body["metadata"].get("labels") or {}).items()]

    def list_owned(self, kind: str, namespace: str, scope: str, uid: str) -> list[Object] | None:
        """The objects that the owner of this uid owns; None where the API server must be asked."""
        return self._list_indexed_by(kind, namespace, scope, _OWNER, uid)

    def _list_indexed_by(self, kind: str, namespace: str, scope: str, label: str, value: str) -> list[Object] | None:
        with self._lock:
            if kind in self._incomparable or (kind, scope) not in self._complete:
                return None
            if any(doubted[:2] == (kind, namespace) for doubted in self._doubts):
                return None
            named = self._labelled.get((kind, namespace, label, value), ())
            return [self._unpack((kind, namespace, name)) for name in sorted(named)]

    def is_complete(self, kind: str, scope: str) -> bool:
        """Whether the watch has delivered what was there when it began."""
        return (kind, scope) in self._complete

    def check_listed(self, kind: str, listed: Iterable[Listed], begun: int = 0) -> set[ObjectKey]:
        """Take in a metadata list; returns the objects that the watch has not told in that version or a later one.

        What is not told must be within a while (`lag`), and until then the API server is asked for those objects.

        Args:
            kind: of the objects.
            listed: a part of the list.
            begun: what `begin_check` answered before it was asked for.
        """
        untold = set()
        with self._lock:
            for namespace, name, version in listed:
                key = (kind, namespace, name)
                if version is None:
                    self._incomparable.add(kind)
                    continue
                if begun <= self._doubts.get(key, 0) < 0:
                    # Whatever was written is in the list.
                    del self._doubts[key]
                    if self._kept_version(key) < version:
                        self._doubt(key, version)
                if self._told(key) < version:
                    untold.add(key)
                    self._expect(key, version)
                    if self._kept_version(key) < version:
                        self._doubt(key, version)
        return untold

    def end_check(
        self, kind: str, scope: str, names_listed: set[tuple[str, str]], version: int | None, begun: int = 0
    ) -> list[Object]:
        """Drop what a whole metadata list did not have; returns the dropped objects.

        A watch that had to begin anew does not tell what was deleted meanwhile.

        Args:
            kind: of the objects.
            scope: the namespace that was listed; empty: all.
            names_listed: namespace and name of every object that was in the list.
            version: of the list; nothing that is newer is dropped, and without one nothing at all.
            begun: what `begin_check` answered before it was asked for.
        """
        dropped: list[Object] = []
        with self._lock:
            if version is None:
                return dropped
            self.lag.forget_unlisted(kind, scope, names_listed, version)
            for key in self._unlisted(kind, scope, names_listed):
                if self._entries[key].version <= version:
                    dropped.append(self._unpack(key))
                    self._bury(key, version)
            for key in [each for each in self._doubts if each[0] == kind and each[1:] not in names_listed]:
                if (not scope or key[1] == scope) and begun <= self._doubts[key] <= version:
                    del self._doubts[key]
            self._drop_tombstones()
        return dropped

    def note_complete(self, kind: str, scope: str) -> None:
        """The watch has told everything that a metadata list had."""
        with self._lock:
            self._complete.add((kind, scope))

    def _packer(self, kind: str) -> Packer:
        return self._packers.setdefault(kind, Packer())

    def _unpack(self, key: ObjectKey) -> Object:
        return self._packer(key[0]).unpack(self._entries[key].data)

    def _kept_version(self, key: ObjectKey) -> int:
        return self._entries[key].version if key in self._entries else _ANY_VERSION

    def _told(self, key: ObjectKey) -> int:
        entry, tombstone = self._entries.get(key), self._tombstones.get(key)
        return max(entry.told if entry else _ANY_VERSION, tombstone.version if tombstone else _ANY_VERSION)

    def _expect(self, key: ObjectKey, version: int) -> None:
        if self._told(key) < version:
            self.lag.expect(key, version)

    def _is_ours(self, body: Object) -> bool:
        """Whether the watch, which goes by our label, would tell of it."""
        labels = body["metadata"].get("labels") or {}
        return body["kind"] == names.KIND or labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY

    def _keep(self, key: ObjectKey, version: int, told: int, body: Object) -> bool:
        tombstone, entry = self._tombstones.get(key), self._entries.get(key)
        if tombstone is not None and version <= tombstone.version:
            return False
        if entry is not None and version <= entry.version:
            if told > entry.told:
                self._entries[key] = entry._replace(told=told)
            return False
        indexed = _list_indexed(body)
        self._forget(key)
        for label, value in indexed:
            self._labelled.setdefault((*key[:2], label, value), set()).add(key[2])
        told = max(told, entry.told if entry else _ANY_VERSION)
        self._entries[key] = _Entry(version, told, indexed, self._packer(key[0]).pack(strip(body)))
        self._settle(key, version)
        return True

    def _doubt(self, key: ObjectKey, version: int) -> None:
        doubt = self._doubts.get(key, version)
        self._doubts[key] = doubt if doubt < 0 else max(doubt, version)

    def _settle(self, key: ObjectKey, version: int) -> None:
        """End a doubt that this version answers; one without a version ends by asking the API server alone."""
        if 0 <= self._doubts.get(key, _ANY_VERSION) <= version:
            del self._doubts[key]

    def _bury(self, key: ObjectKey, version: int) -> bool:
        entry = self._entries.get(key)
        if entry is not None and entry.version > version:
            return False
        self._forget(key)
        self._tombstones[key] = _Tombstone(version, self._clock())
        self._settle(key, version)
        return entry is not None

    def _forget(self, key: ObjectKey) -> None:
        entry = self._entries.pop(key, None)
        for label, value in entry.indexed if entry else ():
            place = (*key[:2], label, value)
            named = self._labelled[place]
            named.discard(key[2])
            if not named:
                del self._labelled[place]

    def _unlisted(self, kind: str, scope: str, names_listed: set[tuple[str, str]]) -> list[ObjectKey]:
        return [
            key
            for key in self._entries
            if key[0] == kind and (not scope or key[1] == scope) and key[1:] not in names_listed
        ]

    def _drop_tombstones(self) -> None:
        oldest = self._clock() - TOMBSTONE_SECONDS
        for key in [key for key, each in self._tombstones.items() if each.at < oldest]:
            del self._tombstones[key]


def object_key(body: Object) -> ObjectKey:
    """Kind, namespace and name."""
    metadata = body["metadata"]
    return sys.intern(body["kind"]), sys.intern(metadata.get("namespace", "")), sys.intern(metadata["name"])


def _list_indexed(body: Object) -> tuple[tuple[str, str], ...]:
    """What the object is found by; owners of Jobs alone, which may have several."""
    labels = body["metadata"].get("labels") or {}
    owners = body["metadata"].get("ownerReferences") or () if body["kind"] == "Job" else ()
    by_label = ((label, labels[label]) for label in _INDEXED if label in labels)
    return (*by_label, *((_OWNER, owner["uid"]) for owner in owners))


def parse_version(body: Object) -> int | None:
    """The resourceVersion as a number that can be compared; None where it is none."""
    text = str(body["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdecimal() else None


def strip(body: Object) -> Object:
    """The object without what the operator never reads: who wrote which field, and what kubectl applied last."""
    metadata = {key: value for key, value in body["metadata"].items() if key not in {"managedFields", "selfLink"}}
    if metadata.get("annotations"):
        metadata["annotations"] = {
            name: value for name, value in metadata["annotations"].items() if name != _LAST_APPLIED
        }
    return {**body, "metadata": metadata}
