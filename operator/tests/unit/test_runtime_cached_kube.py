"""Reading from memory: never older than what was written, never over what is somebody else's, right in the end."""

import contextlib
import copy
import itertools
import random
import threading

import pytest

from model_operator.audit import Audit
from model_operator.cached_kube import (
    ABSENCE_SECONDS,
    BOUND_CLAIM_SECONDS,
    CLAIM_SECONDS,
    MARK_SECONDS,
    CachedKube,
)
from model_operator.errors import ClusterError
from model_operator.kube import WATCHED_KINDS
from model_operator.object_cache import ObjectCache
from model_operator.planning.drift import hash_kept
from model_operator.recent import Recent

OURS = {"app.kubernetes.io/managed-by": "modelpress"}


class Server:
    """An API server whose watch tells only when it is let, and that remembers what it was asked.

    Attributes:
        events: what the watch has not delivered yet.
        asked: verb and kind of every read.
        broken: the next write is done and not answered.
    """

    scopes = ("",)

    def __init__(self):
        self.objects = {}
        self.events = []
        self.asked = []
        self.broken = False
        self._versions = itertools.count(10)

    def scope(self, _):
        """All namespaces at once."""
        return ""

    def read(self, kind, namespace, name):
        """A read."""
        self.asked.append(("get", kind))
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    def list_labelled(self, kind, namespace, labels):
        """A list."""
        self.asked.append(("list", kind))
        there = [body for key, body in self.objects.items() if key[:2] == (kind, namespace)]
        return copy.deepcopy([body for body in there if labels.items() <= body["metadata"]["labels"].items()])

    def list_owned(self, kind, namespace, uid):
        """A list by owner."""
        self.asked.append(("list", kind))
        there = [body for key, body in self.objects.items() if key[:2] == (kind, namespace)]
        return [body for body in there if any(owner["uid"] == uid for owner in body["metadata"]["ownerReferences"])]

    def list_metadata(self, kind, scope):
        """An audit's list."""
        assert scope == ""
        there = [body for key, body in self.objects.items() if key[0] == kind]
        seen = [
            body for body in there if kind == "CompressedModel" or OURS.items() <= body["metadata"]["labels"].items()
        ]
        yield next(self._versions), [{"metadata": copy.deepcopy(body["metadata"])} for body in seen]

    def put(self, body, labels=OURS):
        """Make or change an object, as anybody."""
        metadata = body["metadata"]
        key = (body["kind"], "press", metadata["name"])
        standing = self.objects.get(key, {}).get("metadata", {})
        version = next(self._versions)
        uid = standing.get("uid", f"u{version}")
        stated = {"namespace": "press", "uid": uid, "resourceVersion": str(version), "ownerReferences": []}
        stored = {**copy.deepcopy(body), "metadata": {**stated, "labels": dict(labels), **copy.deepcopy(metadata)}}
        stored["metadata"]["resourceVersion"] = str(version)
        self.objects[key] = stored
        self.events.append((copy.deepcopy(stored), False))
        return copy.deepcopy(stored)

    def remove(self, kind, name):
        """Remove an object, as anybody."""
        gone = self.objects.pop((kind, "press", name))
        gone["metadata"]["resourceVersion"] = str(next(self._versions))
        self.events.append((gone, True))

    def _answer(self, body):
        if self.broken:
            self.broken = False
            raise ClusterError("no answer")
        return body

    def create(self, namespace, body):
        """Make one that is not there."""
        if (body["kind"], namespace, body["metadata"]["name"]) in self.objects:
            return None
        return self._answer(self.put(body))

    def apply(self, _, body):
        """Make or change one."""
        return self._answer(self.put(body))

    def add_owner(self, kind, namespace, name, owner):
        """One more owner."""
        standing = copy.deepcopy(self.objects[kind, namespace, name])
        standing["metadata"]["ownerReferences"] += [owner]
        return self._answer(self.put(standing))

    def scale(self, namespace, name, replicas):
        """Set replicas."""
        standing = copy.deepcopy(self.objects["Deployment", namespace, name])
        scaled = self.put({**standing, "spec": {"replicas": replicas}})
        return self._answer({"kind": "Scale", "metadata": scaled["metadata"]})

    def delete(self, kind, namespace, name, uid):
        """Remove that very one."""
        if self.objects.get((kind, namespace, name), {"metadata": {"uid": ""}})["metadata"]["uid"] == uid:
            self.remove(kind, name)
        self._answer(None)

    def leave(self, kind, namespace, name, uid):
        """Be ended, until what it owns is gone; one that owns nothing is gone at once."""
        standing = copy.deepcopy(self.objects.get((kind, namespace, name), {}))
        if not standing.get("owns"):
            return self.delete(kind, namespace, name, uid)
        standing["metadata"]["deletionTimestamp"] = "2026-03-02T10:00:00Z"
        return self._answer(self.put(standing))

    def write_status(self, namespace, name, uid, status):
        """Write the status."""
        standing = self.objects.get(("CompressedModel", namespace, name))
        if standing is None:
            return None
        assert standing["metadata"]["uid"] == uid
        return self._answer(self.put({**standing, "status": status}))


@pytest.fixture
def server():
    """An empty API server."""
    return Server()


@pytest.fixture
def cache(clock):
    """A cache to which the watch has delivered nothing, since nothing is there."""
    made = ObjectCache(clock)
    for kind in WATCHED_KINDS:
        made.note_complete(kind, "")
    return made


@pytest.fixture
def kube(server, cache, clock):
    """What a pass uses."""
    return CachedKube(server, cache, clock)


def deliver(server, cache):
    """Have the watch tell all that happened."""
    for body, deleted in server.events:
        if body["kind"] == "CompressedModel" or OURS.items() <= body["metadata"]["labels"].items():
            cache.note_told(body, deleted=deleted)
    server.events.clear()


def body_of(kind="Deployment", name="a", **fields):
    return {"kind": kind, "metadata": {"name": name}, **fields}


def test_what_the_watch_told_needs_no_request(server, cache, kube):
    for kind in WATCHED_KINDS:
        server.put(body_of(kind), OURS | {"modelpress.dev/model": "a"})
    deliver(server, cache)
    for kind in WATCHED_KINDS:
        assert kube.read(kind, "press", "a")["kind"] == kind
    assert [each["kind"] for each in kube.list_labelled("Pod", "press", {"modelpress.dev/model": "a"})] == ["Pod"]
    assert kube.list_owned("Job", "press", "u") == []
    assert server.asked == []


def test_what_was_written_is_read_before_the_watch_tells(server, kube):
    kube.apply("press", body_of(spec=1))
    kube.apply("press", body_of(spec=2))
    asked = len(server.asked)
    assert kube.read("Deployment", "press", "a")["spec"] == 2
    server.put(body_of("CompressedModel"), {})
    model = kube._ask(("CompressedModel", "press", "a"))
    kube.write_status("press", "a", model["metadata"]["uid"], {"x": 1})
    assert kube.read("CompressedModel", "press", "a")["status"] == {"x": 1}
    assert len(server.asked) == asked + 1


def test_what_an_admission_policy_makes_of_an_apply_is_remembered_and_told_once(server, kube, caplog, monkeypatch):
    def put(body, labels=OURS):
        return Server.put(server, {**body, "spec": {"image": f"mirror.example/{body['spec']['image']}"}}, labels)

    kube.apply("press", body_of(spec={"image": "a"}))
    assert caplog.messages == []
    assert kube.find_kept("Deployment", "press", "a") is None
    monkeypatch.setattr(server, "put", put)
    for _ in range(2):
        kube.apply("press", body_of(spec={"image": "a"}))
    assert caplog.messages == ["Deployment press/a: an admission policy changes its spec.image, which is left so"]
    assert kube.find_kept("Deployment", "press", "a") == hash_kept(kube.read("Deployment", "press", "a"))
    assert kube.find_kept("Service", "press", "a") is None
    monkeypatch.undo()
    kube.apply("press", body_of(spec={"image": "a"}))
    assert kube.find_kept("Deployment", "press", "a") is None


def test_an_old_event_after_a_write_is_not_believed(server, cache, kube):
    server.put(body_of(spec=1))
    deliver(server, cache)
    server.put(body_of(spec=2))
    kube.apply("press", body_of(spec=3))
    late, server.events = server.events[0], []
    cache.note_told(late[0], deleted=False)
    assert kube.read("Deployment", "press", "a")["spec"] == 3


def test_a_write_without_an_answer_is_asked_for_until_it_is_known(server, cache, kube):
    server.put(body_of(spec=1))
    deliver(server, cache)
    server.broken = True
    with pytest.raises(ClusterError):
        kube.apply("press", body_of(spec=2))
    assert kube.read("Deployment", "press", "a")["spec"] == 2
    assert server.asked == [("get", "Deployment")]
    assert kube.read("Deployment", "press", "a")["spec"] == 2
    assert server.asked == [("get", "Deployment")]


def test_scaling_and_deleting_are_asked_for_once(server, cache, kube):
    uid = server.put(body_of())["metadata"]["uid"]
    deliver(server, cache)
    kube.scale("press", "a", 3)
    assert kube.read("Deployment", "press", "a")["spec"] == {"replicas": 3}
    server.broken = True
    with pytest.raises(ClusterError):
        kube.scale("press", "a", 4)
    assert kube.read("Deployment", "press", "a")["spec"] == {"replicas": 4}
    kube.delete("Deployment", "press", "a", uid)
    assert kube.read("Deployment", "press", "a") is None
    assert kube.read("Deployment", "press", "a") is None
    assert server.asked == [("get", "Deployment")] * 3
    kube.leave("Job", "press", "j", "u")
    assert kube.list_owned("Job", "press", "u") == []
    assert server.asked[3:] == [("list", "Job")]


def test_an_audit_ends_a_doubt_that_nobody_asks_about(server, cache, kube):
    uid = server.put(body_of("Job", "j"))["metadata"]["uid"]
    server.put(body_of("Job", "k"))
    deliver(server, cache)
    kube.leave("Job", "press", "j", uid)
    server.broken = True
    with pytest.raises(ClusterError):
        kube.add_owner("Job", "press", "k", {"uid": "u"})
    audit = Audit(server, cache)
    begun = cache.begin_check()
    assert len(kube.list_owned("Job", "press", "u")) == 1
    assert server.asked == [("list", "Job")]
    kube.leave("Job", "press", "late", "u")
    cache.end_check("Job", "", set(), 1, begun)
    assert ("Job", "press", "late") in cache._doubts
    audit.check()
    assert cache._doubts == {}
    deliver(server, cache)
    assert len(kube.list_owned("Job", "press", "u")) == 1
    assert server.asked == [("list", "Job")]


def test_a_write_that_nobody_knows_of_waits_for_the_version_that_is_listed(server, cache, kube):
    server.put(body_of("Job", "j"))
    deliver(server, cache)
    server.broken = True
    with pytest.raises(ClusterError):
        kube.add_owner("Job", "press", "j", {"uid": "u"})
    Audit(server, cache).check()
    assert not cache.find(("Job", "press", "j"), "").sure
    deliver(server, cache)
    assert cache.find(("Job", "press", "j"), "").sure


def test_an_object_without_our_label_is_seen_and_looked_at_again_each_time(server, kube):
    server.put(body_of(spec="theirs"), {})
    for number in range(1, 3):
        assert kube.read("Deployment", "press", "a")["spec"] == "theirs"
        assert server.asked == [("get", "Deployment")] * number
    server.remove("Deployment", "a")
    assert kube.read("Deployment", "press", "a") is None
    assert kube.read("Deployment", "press", "a") is None
    assert server.asked == [("get", "Deployment")] * 3


def test_nothing_is_applied_over_what_has_appeared(server, kube, clock):
    assert kube.read("Deployment", "press", "a") is None
    server.put(body_of(spec="theirs"), {})
    clock.now += ABSENCE_SECONDS + 1
    with pytest.raises(ClusterError, match="Deployment press/a has appeared since it was looked for"):
        kube.apply("press", body_of(spec="ours"))
    assert server.objects["Deployment", "press", "a"]["spec"] == "theirs"
    assert kube.read("Deployment", "press", "a")["spec"] == "theirs"
    # Who has seen it may apply: it is the model's own, with its label taken off.
    kube.apply("press", body_of(spec="ours"))
    asked = len(server.asked)
    assert kube.read("Deployment", "press", "a")["spec"] == "ours"
    assert len(server.asked) == asked


def test_what_was_absent_a_moment_ago_is_applied_without_a_request(server, kube):
    assert kube.read("Deployment", "press", "a") is None
    kube.apply("press", body_of())
    assert server.asked == [("get", "Deployment")]


def test_a_label_taken_off_by_hand_does_not_hide_the_object(server, cache, kube):
    assert kube.read("Deployment", "press", "a") is None
    kube.apply("press", body_of(spec=1))
    deliver(server, cache)
    bare = server.put(body_of(spec=1), {})
    server.events.clear()
    cache.note_told(bare, deleted=True)  # which is how a watch by label tells it
    assert kube.read("Deployment", "press", "a")["metadata"]["labels"] == {}


def test_making_what_is_there_says_so_and_is_looked_up(server, kube):
    server.put(body_of("ConfigMap", data="theirs"), {})
    assert kube.create("press", body_of("ConfigMap")) is False
    assert kube.read("ConfigMap", "press", "a")["data"] == "theirs"
    assert kube.create("press", body_of("Job")) is True
    kube.add_owner("Job", "press", "a", {"uid": "u"})
    assert [each["metadata"]["name"] for each in kube.list_owned("Job", "press", "u")] == ["a"]
    assert server.asked == [("get", "ConfigMap")]


def test_a_model_that_is_gone_is_gone(server, kube):
    assert kube.read("CompressedModel", "press", "a") is None
    kube.write_status("press", "a", "u", {})
    assert server.asked == []


def test_before_the_watch_has_delivered_the_server_is_asked(server, clock):
    cache = ObjectCache(clock)
    kube = CachedKube(server, cache, clock)
    server.put(body_of("Pod"), OURS | {"modelpress.dev/model": "a"})
    assert len(kube.list_labelled("Pod", "press", {"modelpress.dev/model": "a"})) == 1
    assert kube.read("Pod", "press", "a") is not None
    assert server.asked == [("list", "Pod"), ("get", "Pod")]
    assert not Audit(server, cache).check().complete
    deliver(server, cache)
    assert Audit(server, cache).check(incomplete_only=True).complete
    assert kube.read("Pod", "press", "a") is not None
    assert len(server.asked) == 2


def test_claims_are_remembered_for_a_while(server, kube, clock):
    server.put(body_of("PersistentVolumeClaim", status={"phase": "Pending"}), {})
    assert kube.read("PersistentVolumeClaim", "press", "a")["status"]["phase"] == "Pending"
    server.put(body_of("PersistentVolumeClaim", status={"phase": "Bound"}), {})
    assert kube.read("PersistentVolumeClaim", "press", "a")["status"]["phase"] == "Pending"
    clock.now += CLAIM_SECONDS
    assert kube.read("PersistentVolumeClaim", "press", "a")["status"]["phase"] == "Bound"
    server.remove("PersistentVolumeClaim", "a")
    clock.now += BOUND_CLAIM_SECONDS - 1
    assert kube.read("PersistentVolumeClaim", "press", "a")["status"]["phase"] == "Bound"
    clock.now += 1
    assert kube.read("PersistentVolumeClaim", "press", "a") is None


def test_names_that_nobody_asks_for_any_more_are_forgotten(server, kube, clock):
    """Models come and go under ever new names, with claims of their own and with others' objects of their names."""
    for number in range(500):
        server.put(body_of("Service", f"m{number}"), {})
        kube.read("Service", "press", f"m{number}")
        kube.read("Deployment", "press", f"m{number}")
        kube.read("PersistentVolumeClaim", "press", f"c{number}")
        clock.now += MARK_SECONDS / 50
    memories = (kube._absent, kube._foreign, kube._claims)
    assert [len(each) for each in memories] == [50 + 1] * 3
    clock.now += MARK_SECONDS + 1
    kube.read("Deployment", "press", "other")
    kube.read("Service", "press", "other")
    kube.read("PersistentVolumeClaim", "press", "other")
    assert [len(each) for each in memories] == [2, 0, 1]


def test_what_is_asked_for_again_and_again_stays_known(server, kube, clock):
    for _ in range(20):
        assert kube.read("Deployment", "press", "a") is None
        clock.now += MARK_SECONDS / 2
    assert server.asked == [("get", "Deployment")]


def test_somebody_elses_object_that_was_forgotten_is_still_not_applied_over(server, kube, clock):
    server.put(body_of(spec="theirs"), {})
    kube.read("Deployment", "press", "a")
    clock.now += MARK_SECONDS + 1
    with pytest.raises(ClusterError, match="has appeared since"):
        kube.apply("press", body_of(spec="ours"))
    assert server.objects["Deployment", "press", "a"]["spec"] == "theirs"


def test_of_too_many_values_the_one_that_was_unused_longest_goes(clock):
    recent = Recent(10.0, 2, clock)
    recent.keep("a", 1)
    recent.keep("b", 2)
    assert recent.find("a") == 1
    recent.keep("c", 3)
    assert [recent.find(key) for key in "abc"] == [1, None, 3]
    recent.drop("a")
    assert recent.find("a") is None


def test_what_is_not_watched_is_always_asked_for(server, kube):
    assert kube.read("Event", "press", "a") is None
    assert kube.list_labelled("Event", "press", {"x": "y"}) == []
    assert kube.create("press", body_of("Event")) is True
    assert server.asked == [("get", "Event"), ("list", "Event")]


def test_what_was_left_and_is_being_ended_needs_no_request_after_that(server, cache, kube):
    server.put(body_of("Job", owns="pods"), OURS | {"modelpress.dev/recipe": "r"})
    deliver(server, cache)
    kube.leave("Job", "press", "a", "u")
    (job,) = kube.list_labelled("Job", "press", {"modelpress.dev/recipe": "r"})
    assert job["metadata"]["deletionTimestamp"]
    assert server.asked == []


def test_what_is_not_watched_leaves_no_doubt_for_ever(server, cache, kube):
    assert kube.create("press", body_of("Event")) is True
    assert kube.create("press", body_of("Event")) is False
    server.broken = True
    with pytest.raises(ClusterError, match="no answer"):
        kube.create("press", body_of("Event", "b"))
    assert cache._doubts == {}


def test_an_audit_names_the_models_of_what_was_not_told(server, cache):
    server.put(body_of("CompressedModel", "m"), {})
    server.put(body_of("Deployment", "m"), OURS | {"modelpress.dev/model": "m"})
    job = body_of("Job", "j")
    job["metadata"]["ownerReferences"] = [{"kind": "CompressedModel", "name": "n", "uid": "u"}]
    server.put(job)
    findings = Audit(server, cache).check()
    assert findings.changed == {("press", "m"), ("press", "n")}
    assert findings.gone == []
    deliver(server, cache)
    server.remove("CompressedModel", "m")
    server.remove("Job", "j")
    server.events.clear()
    findings = Audit(server, cache).check()
    assert findings.changed == {("press", "m"), ("press", "n")}
    assert [(each["kind"], each["metadata"]["name"]) for each in findings.gone] == [
        ("CompressedModel", "m"),
        ("Job", "j"),
    ]
    assert Audit(server, cache).check().changed == set()


class TwoNamespaces(Server):
    """A server of which two namespaces are watched, each by watches of its own."""

    scopes = ("press", "other")

    def scope(self, namespace):
        """Each for itself."""
        return namespace

    def list_metadata(self, kind, scope):
        """An audit's list of one namespace."""
        there = [body["metadata"] for key, body in self.objects.items() if key[:2] == (kind, scope)]
        yield next(self._versions), [{"metadata": metadata} for metadata in there]


def test_each_namespace_is_delivered_and_audited_for_itself(clock):
    server, cache = TwoNamespaces(), ObjectCache(clock)
    kube, audit = CachedKube(server, cache, clock), Audit(server, cache)
    for namespace in server.scopes:
        made = server.put(body_of("Job", namespace))
        made["metadata"]["namespace"] = namespace
        server.objects["Job", namespace, namespace] = made
    server.objects.pop(("Job", "press", "other"))
    cache.note_told(server.objects["Job", "press", "press"], deleted=False)
    assert not audit.check().complete
    assert kube.read("Job", "press", "press") is not None
    assert server.asked == []
    assert kube.read("Job", "other", "other") is not None
    assert server.asked == [("get", "Job")]
    cache.note_told(server.objects["Job", "other", "other"], deleted=False)
    assert audit.check(incomplete_only=True).complete
    del server.objects["Job", "press", "press"]
    audit.check()
    assert kube.read("Job", "other", "other") is not None
    assert cache.version_of(("Job", "press", "press")) is None
    assert len(server.asked) == 1


class ManyNamespaces(Server):
    """A server whose lists wait until others are asked for at the same time, at most four."""

    scopes = tuple(f"n{number}" for number in range(8))

    def __init__(self):
        super().__init__()
        self.together, self.most, self.lock = 0, 0, threading.Lock()
        self.meeting = threading.Barrier(4)

    def list_metadata(self, _kind, _scope):
        """An audit's list of one namespace."""
        with self.lock:
            self.together += 1
            self.most = max(self.most, self.together)
        self.meeting.wait(20)
        with self.lock:
            self.together -= 1
        yield next(self._versions), []


def test_many_namespaces_are_audited_four_at_a_time_and_each_list_is_a_sign_of_life(clock):
    server, noted = ManyNamespaces(), []
    findings = Audit(server, ObjectCache(clock)).check(note_listed=lambda: noted.append(1))
    assert findings.complete
    assert (server.most, len(noted)) == (4, len(server.scopes) * len(WATCHED_KINDS))


def test_a_namespace_that_cannot_be_listed_fails_the_audit(clock):
    class Refusing(ManyNamespaces):
        def list_metadata(self, kind, scope):
            if scope == "n5":
                raise ClusterError("no answer")
            return Server.list_metadata(self, kind, "")

    with pytest.raises(ClusterError, match="no answer"):
        Audit(Refusing(), ObjectCache(clock)).check()


class Chaos:
    """Random writes of ours and of others, lost answers, deletions, a watch that lags and forgets deletions.

    Attributes:
        written: name -> the count that we wrote last, of objects that nobody removed since.
    """

    def __init__(self, seed, clock):
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.clock = clock
        self.server, self.cache = Server(), ObjectCache(clock)
        self.kube, self.audit = CachedKube(self.server, self.cache, clock), Audit(self.server, self.cache)
        self.written = {}

    def there(self, name):
        """What stands in the server."""
        return self.server.objects.get(("Deployment", "press", name))

    def apply(self, name):
        """We write; one answer in five is lost."""
        self.server.broken = self.chance.random() < 0.2
        self.written[name] = (self.there(name) or {"count": 0})["count"] + 1
        self.kube.apply("press", body_of(name=name, count=self.written[name]))

    def scale(self, name):
        """We scale what is there."""
        if self.there(name):
            self.server.broken = self.chance.random() < 0.2
            self.kube.scale("press", name, 2)

    def others(self, name):
        """Somebody else writes."""
        if self.there(name):
            self.server.put({**self.there(name), "count": self.there(name)["count"] + 1})

    def remove(self, name):
        """Somebody else removes it."""
        if self.there(name):
            self.server.remove("Deployment", name)
            self.written.pop(name, None)

    def tell(self, _):
        """The watch delivers its oldest event."""
        if self.server.events:
            body, deleted = self.server.events.pop(0)
            self.cache.note_told(body, deleted=deleted)

    def relist(self, _):
        """The watch begins anew."""
        self.server.events.clear()
        for body in self.server.objects.values():
            self.cache.note_told(copy.deepcopy(body), deleted=False)

    def look(self, _):
        """An audit."""
        self.audit.check()

    def step(self):
        """One of these, and a read after it."""
        name = self.chance.choice("abc")
        action = self.chance.choice(
            (self.apply, self.apply, self.scale, self.others, self.remove, self.tell, self.tell, self.relist, self.look)
        )
        with contextlib.suppress(ClusterError):
            action(name)
        self.server.broken = False
        self.clock.now += self.chance.random()
        found = self.kube.read("Deployment", "press", name)
        if name in self.written:
            assert found is not None, (action.__name__, name)
            assert found["count"] >= min(self.written[name], self.there(name)["count"]), (action.__name__, name)


@pytest.mark.parametrize("seed", range(30))
def test_however_late_the_watch_is_no_pass_reads_what_is_older_than_its_write(seed, clock):
    chaos = Chaos(seed, clock)
    for _ in range(400):
        chaos.step()
    deliver(chaos.server, chaos.cache)
    chaos.audit.check()
    for name in "abc":
        assert chaos.kube.read("Deployment", "press", name) == chaos.there(name)
    assert chaos.cache.lag.seconds_to_overdue() is None
