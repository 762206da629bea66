"""The API server as a pass sees it: what is watched is answered from memory, and what is written goes there at once.

Memory may be late, never wrong in a way that does harm: a pass never reads what is older than its own write, an object
is deleted by its uid alone, and nothing is applied over an object that the watch, which goes by our label, cannot see.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from model_operator import names
from model_operator.errors import ClusterError
from model_operator.kube import WATCHED_KINDS, ApiKube, Object
from model_operator.object_cache import ObjectCache, object_key, parse_version
from model_operator.planning.drift import find_change, hash_change
from model_operator.recent import Recent
from model_operator.watch_lag import ObjectKey

ABSENCE_SECONDS: Final = 5.0
"""An object that was not there this long ago is taken to be absent still when it is applied."""
CLAIM_SECONDS: Final = 3.0
BOUND_CLAIM_SECONDS: Final = 60.0
"""Claims are not watched: they are the users' own and many. One that is bound is asked for this often at most."""
CLAIMS_A_SECOND: Final = 0.25
"""Bound claims that are asked for, however many namespaces have one; each is then asked for more seldom."""
MARK_SECONDS: Final = 600.0
"""What is remembered of a name goes when nobody asked for it this long: the models that did are gone, or ask seldom."""
MOST_MARKS: Final = 50_000
"""Of each kind of memory; the five names that a model asks for, for 10,000 models."""

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


class CachedKube:
    """A `Kube` over the API server and the cache that the watch fills. Safe to use from several threads."""

    def __init__(self, api: ApiKube, cache: ObjectCache, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask `api` for what `cache` does not know for sure."""
        self._api = api
        self._cache = cache
        self._clock = clock
        # When the name was last looked for in vain; what has no label of ours; a claim, and until when that holds.
        self._absent = Recent[ObjectKey, float](MARK_SECONDS, MOST_MARKS, clock)
        self._foreign = Recent[ObjectKey, bool](MARK_SECONDS, MOST_MARKS, clock)
        self._claims = Recent[tuple[str, str], tuple[float, Object | None]](MARK_SECONDS, MOST_MARKS, clock)
        self._kept = Recent[ObjectKey, str](MARK_SECONDS, MOST_MARKS, clock)

    def read(self, kind: str, namespace: str, name: str) -> Object | None:
        """See `Kube`."""
        if kind == "PersistentVolumeClaim":
            return self._read_claim(namespace, name)
        if kind not in WATCHED_KINDS:
            return self._api.read(kind, namespace, name)
        key = (kind, namespace, name)
        found = self._cache.find(key, self._api.scope(namespace))
        if found.sure and found.body is not None:
            self._absent.drop(key)
            return found.body
        # The watch of models sees every one; what has no label of ours stays unseen under the name of a child.
        known_absent = kind == names.KIND or (self._absent.find(key) is not None and not self._foreign.find(key))
        return None if found.sure and known_absent else self._ask(key)

    def list_labelled(
        self, kind: str, namespace: str, labels: Mapping[str, str], *, fresh: bool = False
    ) -> list[Object]:
        """See `Kube`."""
        scope = self._api.scope(namespace)
        found = None if fresh else self._cache.list_labelled(kind, namespace, scope, labels)
        return self._noted(self._api.list_labelled(kind, namespace, labels)) if found is None else found

    def list_owned(self, kind: str, namespace: str, uid: str) -> list[Object]:
        """See `Kube`."""
        found = self._cache.list_owned(kind, namespace, self._api.scope(namespace), uid)
        return self._noted(self._api.list_owned(kind, namespace, uid)) if found is None else found

    def _noted(self, bodies: list[Object]) -> list[Object]:
        for body in bodies:
            if body["kind"] in WATCHED_KINDS:
                self._cache.note_answer(body, written=False)
        return bodies

    def list_events(self, namespace: str, kind: str, name: str) -> list[Object]:
        """See `Kube`."""
        return self._api.list_events(namespace, kind, name)

    def read_log(self, namespace: str, pod: str, container: str) -> str:
        """See `Kube`."""
        return self._api.read_log(namespace, pod, container)

    def create(self, namespace: str, body: Object) -> bool:
        """See `Kube`."""
        key = _key(namespace, body)
        made = self._write(key, lambda: self._api.create(namespace, body))
        if made is None:
            # It may be one that the watch cannot see.
            self._absent.drop(key)
            self._note_doubt(key)
            return False
        return True

    def add_owner(self, kind: str, namespace: str, name: str, owner: Object) -> None:
        """See `Kube`."""
        self._write((kind, namespace, name), lambda: self._api.add_owner(kind, namespace, name, owner))

    def apply(self, namespace: str, body: Object) -> None:
        """See `Kube`.

        Raises:
            ClusterError: also when an object has appeared of which the plan cannot know.
        """
        key = _key(namespace, body)
        self._check_absence(key)
        answer = self._write(key, lambda: self._api.apply(namespace, body))
        if answer is not None:
            self._note_kept(key, body, answer)

    def _note_kept(self, key: ObjectKey, body: Object, answer: Object) -> None:
        """Remember what the API server made of an apply, and tell where that is not what was applied."""
        kept, path = hash_change(body, answer), find_change(body, answer)
        if kept is None:
            self._kept.drop(key)
            return
        if self._kept.find(key) != kept:
            _log.warning("%s %s/%s: an admission policy changes its %s, which is left so", *key, path)
        self._kept.keep(key, kept)

    def find_kept(self, kind: str, namespace: str, name: str) -> str | None:
        """See `Kube`."""
        return self._kept.find((kind, namespace, name))

    def scale(self, namespace: str, name: str, replicas: int) -> None:
        """See `Kube`."""
        key = ("Deployment", namespace, name)
        scaled = self._certainly(key, lambda: self._api.scale(namespace, name, replicas))
        self._note_doubt(key, parse_version(scaled))

    def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """See `Kube`."""
        try:
            self._api.delete(kind, namespace, name, uid)
        finally:
            # It may be gone, or wait for somebody's finalizer.
            self._note_doubt((kind, namespace, name))

    def leave(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """See `Kube`."""
        key = (kind, namespace, name)
        if self._write(key, lambda: self._api.leave(kind, namespace, name, uid)) is None:
            self._note_doubt(key)

    def write_status(self, namespace: str, name: str, uid: str, status: Object) -> None:
        """See `Kube`."""
        self._write((names.KIND, namespace, name), lambda: self._api.write_status(namespace, name, uid, status))

    def _write(self, key: ObjectKey, run: Callable[[], Object | None]) -> Object | None:
        """Take in what the write answered."""
        answer = self._certainly(key, run)
        if answer is not None:
            self._absent.drop(key)
            self._foreign.drop(key)
            if key[0] in WATCHED_KINDS:
                self._cache.note_answer(answer, written=True)
        return answer

    def _certainly(self, key: ObjectKey, run: Callable[[], Answer]) -> Answer:
        """Do the write; where it is not answered, nobody knows whether it was done."""
        try:
            return run()
        except ClusterError:
            self._note_doubt(key)
            raise

    def _note_doubt(self, key: ObjectKey, version: int | None = None) -> None:
        """Have the API server asked for it; what is not watched is never read from memory, so no doubt would end."""
        if key[0] in WATCHED_KINDS:
            self._cache.note_doubt(key, version)

    def _ask(self, key: ObjectKey) -> Object | None:
        known_version = self._cache.version_of(key)
        body = self._api.read(*key)
        if body is None:
            self._foreign.drop(key)
            self._cache.note_absence(key, known_version)
            self._absent.keep(key, self._clock())
            return None
        self._absent.drop(key)
        self._cache.note_answer(body, written=False)
        if self._cache.version_of(key) is None:
            self._foreign.keep(key, True)
        else:
            self._foreign.drop(key)
        return body

    def _check_absence(self, key: ObjectKey) -> None:
        """Refuse to apply over an object that the plan was made without."""
        if self._cache.version_of(key) is not None or self._foreign.find(key):
            return
        looked_at = self._absent.find(key)
        is_sure = looked_at is not None and self._clock() - looked_at <= ABSENCE_SECONDS
        if not is_sure and self._ask(key) is not None:
            raise ClusterError(
                f"{key[0]} {key[1]}/{key[2]} has appeared since it was looked for: it is looked at again"
            )

    def _read_claim(self, namespace: str, name: str) -> Object | None:
        known = self._claims.find((namespace, name))
        if known is not None and self._clock() < known[0]:
            return known[1]
        claim = self._api.read("PersistentVolumeClaim", namespace, name)
        bound = claim is not None and (claim.get("status") or {}).get("phase") == "Bound"
        seconds = max(BOUND_CLAIM_SECONDS, len(self._claims) / CLAIMS_A_SECOND) if bound else CLAIM_SECONDS
        self._claims.keep((namespace, name), (self._clock() + seconds, claim))
        return claim


def _key(namespace: str, body: Object) -> ObjectKey:
    kind, _, name = object_key(body)
    return kind, namespace, name
