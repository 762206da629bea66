"""What the cache answers, however late and in whatever order it is told."""

import pytest

from model_operator.object_cache import TOMBSTONE_SECONDS, Listed, ObjectCache
from model_operator.packing import Packer
from model_operator.watch_lag import WatchLag

OURS = {"app.kubernetes.io/managed-by": "modelpress"}
KEY = ("Deployment", "press", "a")


def thing(version, name="a", kind="Deployment", labels=None, owners=(), **fields):
    metadata = {"name": name, "namespace": "press", "uid": f"u-{name}", "resourceVersion": str(version)}
    metadata |= {"labels": {**OURS, **(labels or {})}, "ownerReferences": [{"uid": owner} for owner in owners]}
    return {"kind": kind, "metadata": metadata, **fields}


@pytest.fixture
def cache(clock):
    """A cache to which the watch has delivered all kinds."""
    made = ObjectCache(clock)
    for kind in ("CompressedModel", "Deployment", "Job", "Pod", "ConfigMap"):
        made.note_complete(kind, "")
    return made


def version(cache, key=KEY):
    """The version that it answers; None for absent, `?` where it is not sure."""
    found = cache.find(key, "")
    return (found.body and int(found.body["metadata"]["resourceVersion"])) if found.sure else "?"


def test_before_the_watch_has_delivered_nothing_is_sure():
    cache = ObjectCache()
    cache.note_told(thing(1), deleted=False)
    assert version(cache) == "?"
    assert cache.list_labelled("Pod", "press", "", {"modelpress.dev/model": "a"}) is None
    cache.note_complete("Deployment", "")
    assert version(cache) == 1
    assert cache.find(KEY, "press").sure is False


def test_the_newest_version_is_kept_in_whatever_order_it_comes(cache):
    cache.note_told(thing(5), deleted=False)
    cache.note_told(thing(4), deleted=False)
    assert version(cache) == 5
    cache.note_answer(thing(9), written=True)
    cache.note_told(thing(7), deleted=False)
    assert version(cache) == 9
    cache.note_told(thing(10), deleted=False)
    assert version(cache) == 10


def test_what_was_known_is_no_news(cache):
    assert cache.note_told(thing(5), deleted=False) is True
    assert cache.note_told(thing(5), deleted=False) is False
    cache.note_answer(thing(9), written=True)
    assert cache.note_told(thing(9), deleted=False) is False
    assert cache.note_told(thing(7), deleted=True) is False
    assert cache.note_told(thing(12), deleted=True) is True
    assert cache.note_told(thing(12), deleted=True) is False
    assert cache.note_told(thing("abc"), deleted=False) is True


def test_ten_is_newer_than_nine(cache):
    cache.note_told(thing(9), deleted=False)
    cache.note_told(thing(10), deleted=False)
    assert version(cache) == 10


def test_what_is_deleted_stays_away_and_what_is_made_anew_comes(cache):
    cache.note_told(thing(5), deleted=False)
    cache.note_told(thing(8), deleted=True)
    cache.note_answer(thing(6), written=True)
    assert version(cache) is None
    cache.note_told(thing(9), deleted=False)
    assert version(cache) == 9
    cache.note_told(thing(8), deleted=True)
    assert version(cache) == 9


def test_tombstones_go_in_time(cache, clock):
    cache.note_told(thing(8), deleted=True)
    clock.now += TOMBSTONE_SECONDS + 1
    cache.end_check("Deployment", "", set(), 20)
    assert cache._tombstones == {}


def test_versions_that_are_no_numbers_are_never_trusted(cache):
    cache.note_told(thing("abc"), deleted=False)
    assert version(cache) == "?"
    cache.note_told(thing(5), deleted=False)
    assert version(cache) == "?"
    assert cache.list_owned("Deployment", "press", "", "u") is None
    assert version(cache, ("Pod", "press", "a")) is None
    assert cache.check_listed("Pod", [Listed("press", "a", None)]) == set()
    assert version(cache, ("Pod", "press", "a")) == "?"
    cache.note_answer(thing("x", kind="Job"), written=False)
    assert version(cache, ("Job", "press", "a")) == "?"


def test_a_write_that_answered_nothing_is_asked_for(cache):
    cache.note_told(thing(5), deleted=False)
    cache.note_doubt(KEY)
    cache.note_told(thing(6), deleted=False)
    assert version(cache) == "?"
    cache.note_answer(thing(6), written=False)
    assert version(cache) == 6


def test_a_write_of_which_the_version_is_known_waits_for_that_version(cache):
    cache.note_told(thing(5), deleted=False)
    cache.note_doubt(KEY, 5)
    assert version(cache) == 5
    cache.note_doubt(KEY, 8)
    cache.note_told(thing(7), deleted=False)
    assert version(cache) == "?"
    cache.note_told(thing(8), deleted=False)
    assert version(cache) == 8


def test_a_doubt_ends_when_the_object_is_deleted_or_not_there(cache):
    cache.note_doubt(KEY, 8)
    cache.note_told(thing(9), deleted=True)
    assert version(cache) is None
    cache.note_told(thing(12), deleted=False)
    cache.note_doubt(KEY)
    cache.note_absence(KEY, 12)
    assert version(cache) is None


def test_an_absence_does_not_hide_what_was_told_since(cache):
    known = cache.version_of(KEY)
    cache.note_told(thing(9), deleted=False)
    cache.note_absence(KEY, known)
    assert version(cache) == 9


def test_what_is_not_ours_is_not_kept(cache):
    foreign = thing(5)
    foreign["metadata"]["labels"] = {}
    cache.note_answer(foreign, written=False)
    assert version(cache) is None
    model = {**foreign, "kind": "CompressedModel"}
    cache.note_answer(model, written=False)
    assert version(cache, ("CompressedModel", "press", "a")) == 5
    assert (len(cache), cache.count()) == (1, {"CompressedModel": 1})


def test_lists_go_by_labels(cache):
    model = {"modelpress.dev/model": "m"}
    cache.note_told(thing(1, "b", "Pod", model | {"tier": "x"}), deleted=False)
    cache.note_told(thing(2, "a", "Pod", model), deleted=False)
    cache.note_told(thing(3, "c", "Pod", {"modelpress.dev/model": "n"}), deleted=False)
    found = cache.list_labelled("Pod", "press", "", model)
    assert [each["metadata"]["name"] for each in found] == ["a", "b"]
    assert [each["metadata"]["name"] for each in cache.list_labelled("Pod", "press", "", model | {"tier": "x"})] == [
        "b"
    ]
    assert cache.list_labelled("Pod", "other", "", model) == []
    assert cache.list_labelled("Pod", "press", "", {"tier": "x"}) is None
    cache.note_told(thing(4, "b", "Pod", {"modelpress.dev/model": "n"}), deleted=False)
    cache.note_told(thing(5, "a", "Pod", model), deleted=True)
    assert cache.list_labelled("Pod", "press", "", model) == []
    cache.note_doubt(("Pod", "press", "z"))
    assert cache.list_labelled("Pod", "press", "", model) is None


def test_jobs_are_found_by_their_owners(cache):
    cache.note_told(thing(1, "j", "Job", owners=("u1", "u2")), deleted=False)
    assert [each["metadata"]["name"] for each in cache.list_owned("Job", "press", "", "u2")] == ["j"]
    cache.note_told(thing(2, "j", "Job", owners=("u1",)), deleted=False)
    assert cache.list_owned("Job", "press", "", "u2") == []


def test_a_reader_may_change_what_he_read(cache):
    cache.note_told(thing(1, spec={"replicas": 1}), deleted=False)
    cache.find(KEY, "").body["spec"]["replicas"] = 9
    assert cache.find(KEY, "").body["spec"] == {"replicas": 1}


def test_ballast_is_left_out(cache):
    body = thing(1)
    body["metadata"]["managedFields"] = [{"manager": "x"}]
    body["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "1"}
    cache.note_told(body, deleted=False)
    kept = cache.find(KEY, "").body["metadata"]
    assert "managedFields" not in kept
    assert kept["annotations"] == {"mine": "1"}
    assert "managedFields" in body["metadata"]


def test_a_list_shows_what_the_watch_has_not_told(cache):
    cache.note_told(thing(5), deleted=False)
    listed = [Listed("press", "a", 5), Listed("press", "b", 3)]
    assert cache.check_listed("Deployment", listed) == {("Deployment", "press", "b")}
    assert version(cache, ("Deployment", "press", "b")) == "?"
    assert version(cache) == 5
    assert cache.check_listed("Deployment", [Listed("press", "a", 6)]) == {KEY}
    assert version(cache) == "?"
    cache.note_told(thing(6), deleted=False)
    assert version(cache) == 6
    assert cache.check_listed("Deployment", [Listed("press", "a", 6)]) == set()


def test_what_we_wrote_ourselves_is_sure_and_untold(cache):
    cache.note_answer(thing(6), written=True)
    assert cache.check_listed("Deployment", [Listed("press", "a", 6)]) == {KEY}
    assert version(cache) == 6


def test_a_list_drops_what_went_without_a_word_and_nothing_that_is_newer(cache):
    for number, name in enumerate("abc", start=5):
        cache.note_told(thing(number, name), deleted=False)
    dropped = cache.end_check("Deployment", "", {("press", "a")}, 6)
    assert [each["metadata"]["name"] for each in dropped] == ["b"]
    assert version(cache) == 5
    assert version(cache, ("Deployment", "press", "b")) is None
    assert version(cache, ("Deployment", "press", "c")) == 7
    assert cache.end_check("Deployment", "", set(), None) == []
    assert cache.end_check("Deployment", "other", set(), 99) == []
    assert len(cache) == 2


def test_a_list_ends_the_doubt_about_what_is_gone(cache):
    cache.note_doubt(KEY, 8)
    cache.end_check("Deployment", "", set(), 7)
    assert version(cache) == "?"
    cache.end_check("Deployment", "", set(), 8)
    assert version(cache) is None


def test_what_is_expected_of_the_watch_is_overdue_after_thirty_seconds(cache, clock):
    assert cache.lag.seconds_to_overdue() is None
    cache.note_answer(thing(6), written=True)
    clock.now += 10
    cache.note_answer(thing(7), written=True)
    assert cache.lag.age_seconds("Deployment") == 10
    assert cache.lag.age_seconds("Pod") == 0
    assert cache.lag.seconds_to_overdue() == 20
    assert cache.lag.find_problem() == ""
    clock.now += 20
    assert cache.lag.find_problem() == "the watch has not told of Deployment press/a for 30 s"
    cache.check_listed("Pod", [Listed("press", "p", 3)])
    clock.now += 30
    assert cache.lag.find_problem() == "the watch has not told of Deployment press/a and 1 more for 60 s"
    cache.note_told(thing(6), deleted=False)
    assert cache.lag.find_problem() == "the watch has not told of Pod press/p for 30 s"
    cache.end_check("Pod", "", set(), 4)
    assert cache.lag.find_problem() == ""
    assert cache.lag.seconds_to_overdue() is None


def test_a_write_that_the_watch_told_of_first_is_not_expected(cache):
    cache.note_told(thing(6), deleted=False)
    cache.note_answer(thing(6), written=True)
    cache.note_told(thing(9, "b"), deleted=True)
    cache.note_answer(thing(8, "b"), written=True)
    assert cache.lag.seconds_to_overdue() is None


def test_events_are_counted_by_kind(cache):
    cache.note_told(thing(6), deleted=False)
    cache.note_told(thing(7), deleted=True)
    assert cache.lag.events() == {"Deployment": 2}


def test_what_is_expected_first_is_what_counts(clock):
    lag = WatchLag(clock)
    lag.expect(KEY, 5)
    clock.now += 31
    lag.expect(KEY, 6)
    lag.note_told(KEY, 4)
    assert lag.find_problem() != ""
    lag.note_told(KEY, 5)
    assert lag.find_problem() == ""


def test_alike_objects_take_little_room():
    packer = Packer()
    bodies = [
        {"kind": "Pod", "name": f"pod-{number}", "spec": {str(key): key**3 for key in range(300)}}
        for number in range(3)
    ]
    packed = [packer.pack(body) for body in bodies]
    assert [packer.unpack(each) for each in packed] == bodies
    assert max(map(len, packed)) < 100
