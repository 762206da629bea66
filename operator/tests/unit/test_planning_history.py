"""Which revision is served since when, and which ones were before."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from planning_toy import ToyCluster

from model_operator.api.status import CompressedModelStatus, Revision, ServingStatus
from model_operator.planning.history import KEPT_REVISIONS, find_since, match_digest, render_history

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(days=1)


def make_serving(letter=None, since=EARLIER):
    digest = None if letter is None else f"sha256:{letter * 64}"
    revision = None if letter is None else letter * 12
    return ServingStatus(revision=revision, digest=digest, since=since, selector="", http="", grpc="")


def make_status(letter=None, history=()):
    return CompressedModelStatus(observed_generation=1, serving=make_serving(letter), history=history)


def test_a_history_starts_with_the_first_replacement():
    assert render_history(None, make_serving("a"), 1, NOW) == ()
    assert render_history(make_status(), make_serving("a"), 1, NOW) == ()
    assert render_history(make_status("a"), make_serving("a"), 2, NOW) == ()
    assert render_history(make_status("a"), make_serving(), 2, NOW) == ()
    assert render_history(make_status("a"), None, 2, NOW) == ()
    (entry,) = render_history(make_status("a"), make_serving("b", NOW), 4, NOW)
    reason = f"replaced by sha256:{'b' * 64} at generation 4 of the spec"
    assert entry == Revision(digest=f"sha256:{'a' * 64}", served_at=EARLIER, replaced_at=NOW, reason=reason)


def test_a_revision_whose_digest_nothing_tells_is_kept_by_its_first_digits():
    old = make_status("a").model_copy(update={"serving": make_serving("a").model_copy(update={"digest": None})})
    (entry,) = render_history(old, make_serving("b", NOW), 2, NOW)
    assert entry.digest == "a" * 12


def test_since_when_it_is_served_stays_until_another_takes_its_place():
    assert find_since(None, None, NOW) is None
    assert find_since(None, "a" * 12, NOW) == NOW
    assert find_since(make_status("a"), "a" * 12, NOW) == EARLIER
    assert find_since(make_status("a"), "b" * 12, NOW) == NOW
    unknown = CompressedModelStatus(observed_generation=1, serving=make_serving("a", None))
    assert find_since(unknown, "a" * 12, NOW) is None


def test_a_digest_is_found_by_its_revision():
    digest = "sha256:" + "a" * 64
    assert match_digest("a" * 12, None, "", "sha256:" + "b" * 64, digest) == digest
    assert match_digest("c" * 12, digest) is None


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=30))
def test_a_history_is_bounded_and_its_entries_follow_each_other(letters):
    status, now = make_status(letters[0]), NOW
    for number, letter in enumerate(letters):
        now += timedelta(minutes=1)
        before = status.serving
        since = find_since(status, letter * 12, now)
        serving = make_serving(letter, since)
        history = render_history(status, serving, number, now)
        status = CompressedModelStatus(observed_generation=number, serving=serving, history=history)
        assert serving.since == (before.since if before.revision == serving.revision else now)
    assert len(status.history) <= KEPT_REVISIONS
    times = [time for entry in status.history for time in (entry.served_at, entry.replaced_at)]
    assert times == sorted(times)
    assert all(first.replaced_at == second.served_at for first, second in pairwise(status.history))
    assert all(first.digest != second.digest for first, second in pairwise(status.history))


def test_what_is_served_is_told_whole_and_since_when(body):
    cluster = ToyCluster(body)
    cluster.run()
    serving = cluster.status["serving"]
    first = cluster.status["artifact"]["digest"]
    assert (serving["digest"], serving["revision"]) == (first, first.removeprefix("sha256:")[:12])
    cluster.edit(compression={"alpha": 0.5, "bits": 8})
    cluster.run()
    (entry,) = cluster.status["history"]
    second = cluster.status["serving"]
    assert (entry["digest"], entry["servedAt"]) == (first, serving["since"])
    assert entry["replacedAt"] == second["since"] > serving["since"]
    assert entry["reason"] == f"replaced by {second['digest']} at generation 2 of the spec"
