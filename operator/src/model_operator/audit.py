"""Compares what the API server has with what the watch told: once a minute, by lists of metadata alone.

The lists are exact (no resourceVersion is asked for), since one out of a cache of the API server's could be as old as
the watch. They go by pages, so that many objects need no more memory than few.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from model_operator import names
from model_operator.kube import WATCHED_KINDS, Object
from model_operator.model_index import model_key, parse_owner_keys
from model_operator.object_cache import Listed, ObjectCache, parse_version
from model_operator.workqueue import Key

AUDIT_SECONDS: Final = 60.0


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
        gone: the models that are gone without the watch telling so.
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

    def check(self, *, incomplete_only: bool = False) -> Findings:
        """Compare every kind, or those alone that the watch has not delivered yet.

        Raises:
            ClusterError: when the API server does not answer.
            RefusedError: when it does not let the operator list.
        """
        findings = Findings()
        places = [(kind, scope) for kind in WATCHED_KINDS for scope in self._lister.scopes]
        for kind, scope in places:
            if not (incomplete_only and self._cache.is_complete(kind, scope)):
                self._check(kind, scope, findings)
        complete = all(self._cache.is_complete(kind, scope) for kind, scope in places)
        return Findings(complete, findings.changed, findings.gone)

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
            if kind == names.KIND:
                findings.gone.append(body)
        if not untold:
            self._cache.note_complete(kind, scope)


def _models_of(kind: str, body: Object) -> set[Key]:
    return {model_key(body)} if kind == names.KIND else parse_owner_keys(body)
