"""What an operator asks of the API server while nothing happens, counted for an hour and more."""

import kopf
import pytest

from model_operator.audit import AUDIT_SECONDS, Audit, plan_audit_seconds
from model_operator.cached_kube import CachedKube
from model_operator.handlers import CHILDREN, configure
from model_operator.object_cache import ObjectCache

RESYNC_SECONDS = 60
SECONDS = 20_000


class Counting:
    """An API server with a bound claim in each namespace, that counts what it is asked."""

    def __init__(self, scopes):
        self.scopes = tuple(f"n{number}" for number in range(scopes))
        self.lists = self.reads = 0

    def scope(self, namespace):
        """Each for itself."""
        return namespace

    def list_metadata(self, _kind, _scope):
        """Nothing is there."""
        self.lists += 1
        yield 1, []

    def read(self, _kind, _namespace, name):
        """The claim."""
        self.reads += 1
        return {"metadata": {"name": name}, "status": {"phase": "Bound"}}


@pytest.mark.parametrize("scopes", [1, 4, 8, 50, 200])
def test_an_idle_operator_asks_less_than_once_a_second_however_many_namespaces_it_serves(scopes, clock):
    server, cache = Counting(scopes), ObjectCache(clock)
    kube, audit = CachedKube(server, cache, clock), Audit(server, cache)
    begun = next_audit = clock.now
    while clock.now < begun + SECONDS:
        for namespace in server.scopes:
            kube.read("PersistentVolumeClaim", namespace, "modelpress-store")
        if clock.now >= next_audit:
            audit.check()
            next_audit += audit.plan_seconds(RESYNC_SECONDS)
        clock.now += RESYNC_SECONDS
    settings = kopf.OperatorSettings()
    configure(settings, scopes)
    watches = SECONDS / settings.watching.server_timeout * scopes * (len(CHILDREN) + 1)
    # What is asked at the start, once in each namespace, is not idleness.
    begin = 9 * scopes
    assert (server.lists + server.reads - begin + watches) / SECONDS <= 1
    assert settings.watching.client_timeout > settings.watching.server_timeout


@pytest.mark.parametrize(("scopes", "seconds"), [(1, 60), (3, 60), (4, 64), (10, 160), (50, 800)])
def test_audits_come_once_a_minute_and_of_many_namespaces_as_often_as_the_page_says(scopes, seconds):
    assert plan_audit_seconds(60, scopes) == seconds
    assert plan_audit_seconds(3600, scopes) == seconds
    assert plan_audit_seconds(6, scopes) == seconds / 10
    assert AUDIT_SECONDS == 60
