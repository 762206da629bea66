"""Compares what the API server has with what the watch told: once a minute, by lists of metadata alone.

Of many namespaces it is more seldom, so that an operator that has nothing to do asks for little however many they are.

The lists are exact (no resourceVersion is asked for), since one out of a cache of the API server's could be as old as
the watch. They go by pages, so that many objects need no more memory than few.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from model_operator import names
from model_operator.kube import WATCHED_KINDS, Object
from model_operator.model_index import model_key, parse_owner_keys
from model_operator.object_cache import Listed, ObjectCache, parse_version
from model_operator.workqueue import Key

AUDIT_SECONDS: Final = 60.0
LISTS_A_SECOND: Final = 0.5
"""Of audits that find nothing: with what the watches and the claims take, an idle operator stays below one request."""
_SCOPES_AT_ONCE: Final = 4
"""Of many namespaces; the kinds of one are listed in turn, so that no more than this many pages are held."""

_COUNTED: Final = frozenset({names.KIND, "Job"})
"""Kinds of which more is remembered than the objects."""


def plan_audit_seconds(resync_seconds: float, scopes: int) -> float:
    """The time from one audit to the next: a minute, or the resync where that is shorter; longer from 4 namespaces on.

    Args:
        resync_seconds: of the settings.
        scopes: namespaces that are listed one by one; 1 when all are at once.
    """
    crowded = max(1.0, scopes * len(WATCHED_KINDS) / (LISTS_A_SECOND * AUDIT_SECONDS))
    return min(AUDIT_SECONDS, resync_seconds) * crowded


class MetadataLister(Protocol):
    """Who lists metadata."""

    @property
    def scopes(self) -> Sequence[str]:
        """The namespaces that are watched; one empty name when all are."""

    def list_metadata(self, kind: str, namespace: str) -> Iterator[tuple[int | None, list[Object]]]:
        """The list's version and the metadata of the objects that the watch sees, page by page."""


@dataclass(frozen=True)
class Findings:
    """What one audit found.

    Attributes:
        complete: whether the watch has told of everything that was there when it began.
        changed: the models whose objects, or who themselves, the watch had not told of.
        gone: the models and Jobs that are gone without the watch telling so.
    """

    complete: bool = True
    changed: set[Key] = field(default_factory=set)
    gone: list[Object] = field(default_factory=list)


class Audit:
    """Audits every kind in every namespace that is watched."""

    def __init__(self, lister: MetadataLister, cache: ObjectCache) -> None:
        """Compare what `lister` lists with `cache`."""
        self._lister = lister
        self._cache = cache

    def plan_seconds(self, resync_seconds: float) -> float:
        """See `plan_audit_seconds`."""
        return plan_audit_seconds(resync_seconds, len(self._lister.scopes))

    def check(self, *, incomplete_only: bool = False, note_listed: Callable[[], None] = lambda: None) -> Findings:
        """Compare every kind, or those alone that the watch has not delivered yet.

        Args:
            incomplete_only: whether it is these alone.
            note_listed: called for each list, when it was answered; from several threads.

        Raises:
            ClusterError: when the API server does not answer.
            RefusedError: when it does not let the operator list.
        """

        def check_scope(scope: str) -> Findings:
            found = Findings()
            for kind in WATCHED_KINDS:
                if not (incomplete_only and self._cache.is_complete(kind, scope)):
                    self._check(kind, scope, found)
                    note_listed()
            return found

        scopes = self._lister.scopes
        parts = [check_scope(scopes[0])] if len(scopes) == 1 else _work_at_once(check_scope, scopes)
        return Findings(
            all(self._cache.is_complete(kind, scope) for kind in WATCHED_KINDS for scope in scopes),
            {key for part in parts for key in part.changed},
            [body for part in parts for body in part.gone],
        )

    def _check(self, kind: str, scope: str, findings: Findings) -> None:
        version, listed, untold = None, set[tuple[str, str]](), False
        begun = self._cache.begin_check()
        for version, items in self._lister.list_metadata(kind, scope):  # noqa: B007 - the same on every page
            page = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in items}
            listed |= page.keys()
            versions = [Listed(*key, parse_version(item)) for key, item in page.items()]
            late = self._cache.check_listed(kind, versions, begun)
            untold |= bool(late)
            for _, namespace, name in late:
                findings.changed.update(_models_of(kind, page[namespace, name]))
        for body in self._cache.end_check(kind, scope, listed, version, begun):
            findings.changed.update(_models_of(kind, body))
            if kind in _COUNTED:
                findings.gone.append(body)
        if not untold:
            self._cache.note_complete(kind, scope)


def _work_at_once(check_scope: Callable[[str], Findings], scopes: Sequence[str]) -> list[Findings]:
    """Every namespace, some at a time; one that fails ends it."""
    with ThreadPoolExecutor(_SCOPES_AT_ONCE, thread_name_prefix="audit") as pool:
        try:
            return list(pool.map(check_scope, scopes))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _models_of(kind: str, body: Object) -> set[Key]:
    return {model_key(body)} if kind == names.KIND else parse_owner_keys(body)
