"""What the watch tells reaches the right models, and what runs ends; kopf's own part is tried on an API server."""

import asyncio
import time

import kopf
import pytest

from model_operator.errors import ClusterError
from model_operator.handlers import CHILDREN, build_registry, configure
from model_operator.health import Health
from model_operator.measurement import KpiReader
from model_operator.model_index import ModelIndex, parse_owner_keys
from model_operator.observe import Sources
from model_operator.rights import REQUIRED_RIGHTS
from model_operator.service import Service
from model_operator.settings import Settings
from model_operator.telemetry import Telemetry

A, B = ("press", "a"), ("press", "b")


def model(name="a", uid="u", generation=1, baseline=None, **metadata):
    spec = {"baseline": {"name": baseline}} if baseline else {}
    stated = {"name": name, "namespace": "press", "uid": uid, "generation": generation, **metadata}
    return {"kind": "CompressedModel", "metadata": stated, "spec": spec}


def child(*owners, **labels):
    references = [{"kind": "CompressedModel", "name": name} for name in owners]
    return {"metadata": {"name": "x", "namespace": "press", "labels": labels, "ownerReferences": references}}


class Play:
    """A service whose passes are remembered."""

    def __init__(self, kube, **settings):
        self.kube = kube
        self.health = Health(60)
        self.telemetry = Telemetry()
        sources = Sources(kube, KpiReader(None, 15), Settings(**{"resync_seconds": 3600, **settings}))
        self.service = Service(sources, self.health, self.telemetry)

    def run(self, scenario):
        """Play the scenario while the service runs."""

        async def play():
            self.service.start()
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
        play.service.note_model(model(), deleted=False)
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
        play.service.note_model(model(), deleted=False)
        await play.until(lambda: play.count("gone") == 1, "the first pass")
        play.service.note_model({**model(), "status": {"observedGeneration": 1}}, deleted=False)
        play.service.note_child(child("a"))
        await play.until(lambda: play.count("gone") == 2, "the child's pass")
        play.service.note_model(model(generation=2), deleted=False)
        await play.until(lambda: play.count("gone") == 3, "the change's pass")

    play.run(scenario)
    assert play.count("gone") == 3


def test_a_change_of_a_baseline_reaches_what_is_measured_against_it(kube):
    play = Play(kube)

    async def scenario():
        play.service.note_model(model("a", baseline="b"), deleted=False)
        await play.until(lambda: play.count("gone") == 1, "the first pass")
        play.service.note_model(model("b"), deleted=False)
        await play.until(lambda: play.count("gone") == 3, "both passes")

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
        await play.until(lambda: "models could not be listed: away" in caplog.text, "a warning")
        assert not play.health.is_ready()

    play.run(scenario)


def test_a_watch_that_does_not_tell_is_found_by_the_second_list(kube):
    kube.put(model())
    play = Play(kube)

    async def scenario():
        await play.until(play.health.is_ready, "the first list")
        await play.service.resync()
        assert play.health.find_problem() == "the watch has not told of press/a since the last list"
        play.service.note_model(kube.objects["CompressedModel", "press", "a"], deleted=False)
        await play.service.resync()
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
    index.note_list([model("a", baseline="b"), model("c", baseline="b")])
    assert sorted(index.dependents(B)) == [A, ("press", "c")]
    index.note_event(model("a", baseline="d"), deleted=False)
    assert index.dependents(B) == [("press", "c")]
    index.note_event(model("c"), deleted=True)
    assert index.dependents(B) == []
    index.note_list([])
    assert index.dependents(("press", "d")) == []


def test_a_list_that_is_older_than_what_the_watch_told_takes_nothing_back():
    index = ModelIndex()
    index.note_event(model("a", baseline="b"), deleted=False)
    index.note_list([])
    assert index.dependents(B) == [A]
    assert index.note_event(model("a", baseline="b"), deleted=False) is False


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


def test_what_is_watched_is_what_rights_are_asked_for():
    asked = {(right.group, right.resource) for right in REQUIRED_RIGHTS if right.verb == "watch"}
    assert asked == {(group, plural) for group, _, plural in CHILDREN} | {("modelpress.dev", "compressedmodels")}
