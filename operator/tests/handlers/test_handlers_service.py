"""What the watch tells reaches the right models, and what runs ends; kopf's own part is tried on an API server."""

import asyncio
import itertools
import time

import kopf
import pytest

from model_operator import service as service_module
from model_operator.audit import AUDIT_SECONDS, Audit
from model_operator.errors import ClusterError
from model_operator.handlers import CHILDREN, build_registry, configure
from model_operator.health import Health
from model_operator.measurement import KpiReader
from model_operator.model_index import ModelIndex, parse_owner_keys
from model_operator.object_cache import ObjectCache
from model_operator.observe import Sources
from model_operator.rights import REQUIRED_RIGHTS
from model_operator.service import Service
from model_operator.settings import Settings
from model_operator.telemetry import Telemetry
from model_operator.watch_lag import OVERDUE_SECONDS

A, B = ("press", "a"), ("press", "b")


def model(name="a", uid="u", generation=1, baseline=None, **metadata):
    spec = {"baseline": {"name": baseline}} if baseline else {}
    versioned = {"uid": uid, "generation": generation, "resourceVersion": "1"}
    stated = {"name": name, "namespace": "press", **versioned, **metadata}
    return {"kind": "CompressedModel", "metadata": stated, "spec": spec}


def child(*owners, **labels):
    references = [{"kind": "CompressedModel", "name": name} for name in owners]
    metadata = {"name": "x", "namespace": "press", "uid": "x", "resourceVersion": "1"}
    return {"kind": "Deployment", "metadata": {**metadata, "labels": labels, "ownerReferences": references}}


class Play:
    """A service whose passes are remembered."""

    def __init__(self, kube, **settings):
        self.kube = kube
        self.health = Health(60)
        self.telemetry = Telemetry()
        self.cache = ObjectCache()
        sources = Sources(kube, KpiReader(None, 15), Settings(**{"resync_seconds": 3600, **settings}))
        self.service = Service(sources, self.cache, Audit(kube, self.cache), self.health, self.telemetry)

    def tell(self, body, *, deleted=False):
        """Be the watch of models."""
        self.service.note_model({**body, "metadata": {"resourceVersion": "1", **body["metadata"]}}, deleted=deleted)

    def run(self, scenario):
        """Play the scenario while the service runs; the watch tells what is there, as it does when it begins."""

        async def play():
            self.service.start()
            for body in [body for (kind, _, _), body in self.kube.objects.items() if kind == "CompressedModel"]:
                self.tell(body)
            try:
                await scenario()
            finally:
                await self.service.stop()

        asyncio.run(play())

    def count(self, result):
        """Passes that ended so."""
        return self.telemetry.registry.get_sample_value("modelpress_reconciles_total", {"result": result})

    async def until(self, is_enough, what):
        """Wait until it is so."""
        deadline = time.monotonic() + 5
        while not is_enough():
            assert time.monotonic() < deadline, f"{what}: {self.kube.writes}, {self.count('gone')} gone"
            await asyncio.sleep(0.01)


def test_a_model_that_is_listed_is_looked_at(kube, body):
    kube.put(body)
    play = Play(kube)

    async def scenario():
        await play.until(lambda: ("status", "CompressedModel", "small") in kube.writes, "a status")

    play.run(scenario)
    conditions = kube.objects["CompressedModel", "press", "small"]["status"]["conditions"]
    assert [each["reason"] for each in conditions if each["type"] == "Ready"] == ["StoreMissing"]
    assert play.count("done") == 1
    assert play.health.is_ready()


def test_an_object_that_is_no_model_is_told_so(kube, body):
    body["spec"]["compression"]["bits"] = 17
    kube.put(body)
    play = Play(kube)

    async def scenario():
        await play.until(lambda: kube.writes, "a status")

    play.run(scenario)
    conditions = kube.objects["CompressedModel", "press", "small"]["status"]["conditions"]
    assert {each["type"]: each["reason"] for each in conditions}["Stalled"] == "InvalidSpec"


def test_a_model_that_is_gone_is_forgotten(kube):
    play = Play(kube)

    async def scenario():
        play.tell(model())
        await play.until(lambda: play.count("gone") == 1, "a pass")

    play.run(scenario)
    assert kube.writes == []


def test_a_model_that_is_being_deleted_is_left_alone(kube, body):
    kube.put(body)["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    play = Play(kube)

    async def scenario():
        await play.until(lambda: play.count("gone") == 1, "a pass")

    play.run(scenario)
    assert kube.writes == []


def test_our_own_status_is_no_reason_to_look_again_and_children_are(kube):
    play = Play(kube)

    async def scenario():
        play.tell(model())
        await play.until(lambda: play.count("gone") == 1, "the first pass")
        play.tell({**model(), "status": {"observedGeneration": 1}})
        play.service.note_child(child("a"), deleted=False, listed=False)
        await play.until(lambda: play.count("gone") == 2, "the child's pass")
        play.tell(model(generation=2))
        await play.until(lambda: play.count("gone") == 3, "the change's pass")

    play.run(scenario)
    assert play.count("gone") == 3


def test_a_watch_that_begins_anew_is_heard_where_it_has_news(kube):
    play = Play(kube)

    async def scenario():
        play.service.note_child(child("a"), deleted=False, listed=True)
        await play.until(lambda: play.count("gone") == 1, "a pass for news")
        play.service.note_child(child("a"), deleted=False, listed=True)
        play.service.note_child(child("b"), deleted=False, listed=False)
        await play.until(lambda: play.count("gone") == 2, "a pass for an event")

    play.run(scenario)
    assert play.count("gone") == 2


def test_a_change_of_a_baseline_reaches_what_is_measured_against_it(kube):
    kube.put(model("a", baseline="b"))
    play = Play(kube)

    async def scenario():
        await play.until(lambda: play.count("done") == 1, "the first pass")
        kube.put(model("b"))
        play.tell(model("b"))
        await play.until(lambda: play.count("done") == 3, "both passes")

    play.run(scenario)


def test_a_failed_pass_is_counted_and_comes_again(kube, body):
    kube.put(body)
    kube.refuse["read", "CompressedModel"] = ClusterError("away")
    play = Play(kube)

    async def scenario():
        await play.until(lambda: play.count("failed") == 1, "a failure")
        kube.refuse.clear()
        await play.until(lambda: play.count("done") == 1, "a success")

    play.run(scenario)


def test_a_list_that_fails_is_tried_again(kube, body, caplog):
    kube.put(body)
    kube.refuse["list", "CompressedModel"] = ClusterError("away")
    play = Play(kube)

    async def scenario():
        await play.until(lambda: "nothing could be listed: away" in caplog.text, "a warning")
        assert not play.health.is_ready()
        kube.refuse.clear()
        await play.until(lambda: play.count("done") == 1, "a pass")
        assert play.health.is_ready()

    play.run(scenario)


def test_what_the_watch_does_not_tell_is_looked_at_all_the_same(kube, body, monkeypatch):
    monkeypatch.setattr(service_module, "START_SECONDS", 0.1)
    play = Play(kube)

    async def scenario():
        await play.until(play.health.is_ready, "the first audit")
        kube.put(body)
        await play.service.audit()
        await play.until(lambda: play.count("done") == 1, "a pass")

    play.run(scenario)


def test_a_model_that_went_without_a_word_is_forgotten(kube):
    kube.put(model("a", baseline="b"))
    play = Play(kube)

    async def scenario():
        await play.until(lambda: play.count("done") == 1, "a pass")
        kube.objects.clear()
        assert await play.service.audit()
        await play.until(lambda: play.count("gone") == 1, "another pass")

    play.run(scenario)
    assert len(play.cache) == 0


def test_a_build_that_went_without_a_word_is_counted_no_more(kube):
    play = Play(kube)
    job = child() | {"kind": "Job", "status": {"ready": 1}}
    kube.put(job)

    async def scenario():
        play.service.note_child(job, deleted=False, listed=True)
        assert play.service.builds_by_state()["running"] == 1
        kube.objects.clear()
        await play.service.audit()

    play.run(scenario)
    assert set(play.service.builds_by_state().values()) == {0}


class SlowClock:
    """Seconds that pass while something is listed."""

    now = 1000.0

    def __call__(self):
        """The time."""
        return self.now


def test_lists_that_take_long_at_the_start_are_no_reason_to_be_restarted(kube, body):
    """Two lists of 100 s each, of an operator that is given up after 180 s without a sign of life."""
    clock = SlowClock()
    play = Play(kube)
    play.health = Health(60, clock)
    play.service._health = play.health
    problems, listed = [], kube.list_metadata

    def list_slowly(kind, scope):
        if len(problems) < 2:
            clock.now += 100
            deadline = time.monotonic() + 5
            while play.health._queue_turned_at < clock.now and time.monotonic() < deadline:
                time.sleep(0.05)
            problems.append(play.health.find_problem())
        return listed(kind, scope)

    kube.list_metadata = list_slowly
    kube.put(body)

    async def scenario():
        await play.until(lambda: play.count("done") == 1, "a pass")

    play.run(scenario)
    assert problems == ["", ""]
    assert play.health.is_ready()


def test_a_watch_that_does_not_tell_is_found_after_thirty_seconds(kube):
    play = Play(kube)

    async def scenario():
        await play.until(play.health.is_ready, "the first audit")
        kube.put(model())
        await play.service.audit()
        assert play.health.find_problem() == ""
        later = time.monotonic() + 31
        play.cache.lag._clock = lambda: later
        await play.service.audit()
        problem = "the watch has not told of CompressedModel press/a for 31 s"
        assert play.health.find_problem() == problem
        play.tell(kube.objects["CompressedModel", "press", "a"])
        await play.service.audit()
        assert play.health.find_problem() == ""

    play.run(scenario)


def test_the_index_tells_what_is_new_changed_and_gone():
    index = ModelIndex()
    assert index.note_event(model(), deleted=False) is True
    assert index.note_event(model(), deleted=False) is False
    assert index.note_event(model(generation=2), deleted=False) is True
    assert index.note_event(model(generation=2, uid="v"), deleted=False) is True
    assert index.note_event(model(generation=2, uid="v", deletionTimestamp="t"), deleted=False) is True
    assert index.note_event(model(), deleted=True) is True
    assert index.note_event(model(), deleted=True) is False


def test_the_index_follows_baselines():
    index = ModelIndex()
    index.note_event(model("a", baseline="b"), deleted=False)
    index.note_event(model("c", baseline="b"), deleted=False)
    assert index.dependents(B) == [A, ("press", "c")]
    index.note_event(model("a", baseline="d"), deleted=False)
    assert index.dependents(B) == [("press", "c")]
    index.note_event(model("c"), deleted=True)
    assert index.dependents(B) == []
    assert index.dependents(("press", "d")) == [A]


def test_the_index_counts_models_by_how_they_stand():
    index = ModelIndex()
    status = {"conditions": [{"type": "Ready", "status": "True"}], "artifact": {"sizeBytes": 7}}
    index.note_event({**model("a"), "status": status}, deleted=False)
    index.note_event({**model("b"), "status": {"conditions": [{"type": "Ready", "status": "nonsense"}]}}, deleted=False)
    assert index.count_ready() == {"true": 1, "false": 0, "unknown": 1}
    assert [facts.artifact_bytes for _, facts in index.list_facts()] == [7, None]
    index.note_event(model("a"), deleted=True)
    assert index.count_ready() == {"true": 0, "false": 0, "unknown": 1}
    assert index.list_keys() == [B]


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        (child(**{"modelpress.dev/model": "a"}), {A}),
        (child("a", "b"), {A, B}),
        (child("b", **{"modelpress.dev/model": "a"}), {A, B}),
        (child(), set()),
    ],
)
def test_a_child_belongs_to_its_label_and_its_owners(body, keys):
    assert parse_owner_keys(body) == keys


def test_kopf_watches_by_our_label_and_writes_nothing_of_its_own(kube):
    settings = kopf.OperatorSettings()
    configure(settings)
    assert set(settings.watching.label_selectors.values()) == {"app.kubernetes.io/managed-by=modelpress"}
    assert len(settings.watching.label_selectors) == len(CHILDREN)
    assert (settings.posting.enabled, settings.peering.standalone) == (False, True)
    registry = build_registry(Play(kube).service)
    assert registry._changing.get_all_handlers() == []
    assert registry._spawning.get_all_handlers() == []
    assert registry._indexing.get_all_handlers() == []
    assert len(registry._watching.get_all_handlers()) == len(CHILDREN) + 1


def test_a_dead_watch_is_looked_for_once_a_minute_and_given_thirty_seconds():
    assert (AUDIT_SECONDS, OVERDUE_SECONDS) == (60, 30)


def test_kopf_never_gives_a_watch_up():
    settings = kopf.OperatorSettings()
    configure(settings)
    pauses = settings.networking.error_backoffs
    assert list(itertools.islice(pauses, 6)) == list(itertools.islice(pauses, 6)) == [1, 2, 4, 8, 15, 15]
    assert next(itertools.islice(pauses, 10_000, None)) == 15


def test_what_is_watched_is_what_rights_are_asked_for():
    asked = {(right.group, right.resource) for right in REQUIRED_RIGHTS if right.verb == "watch"}
    assert asked == {(group, plural) for group, _, plural in CHILDREN} | {("modelpress.dev", "compressedmodels")}
