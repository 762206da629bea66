"""An API server that is slow, overloaded, broken or away for a while: lives go on, and come to the same end."""

import functools
import itertools
import random
import threading
import time

import pytest
from api_proxy import Answer, Lose, Wait
from lived import describe, is_told_otherwise, list_sure, live
from model_life import Life

KOPF_TRIES_SECONDS = 30
LONGER_THAN_KOPF_TRIES_SECONDS = 34
OUTAGE_SECONDS = 4
LONG = "500 for longer than kopf tries"
ASKED_TO_WAIT = "429 with Retry-After"
WATCHED_KINDS = ("models", "deployments", "services", "hpas", "pdbs", "jobs", "configmaps", "pods")
SLOW_SECONDS = 2.0


def after(write, seconds, outcome):
    """A harm: from this write on, and for so long, every request meets the outcome; watches are cut as it begins."""

    def harm(stage):
        stage.life.patience_seconds += 2 * seconds
        begun = []

        def rule(asked):
            if not begun and asked.write == write:
                begun.append(time.monotonic())
                threading.Thread(target=stage.proxy.cut_watches).start()
            return outcome if begun and time.monotonic() - begun[0] < seconds else None

        return rule

    return harm


def from_first_watch(choose):
    """A harm: what is chosen for each request, once the operator has found that it may work here."""
    watched = threading.Event()

    def rule(asked):
        if asked.watches:
            watched.set()
        return choose() if watched.is_set() else None

    return lambda _: rule


def one_in_three(seed):
    """Chooses failures for one request in three, each time another one."""
    chance, lock = random.Random(seed), threading.Lock()  # noqa: S311 - it decides nothing secret
    ways = (Answer(500), Answer(429, {"Retry-After": "1"}), Answer(503), Lose(done=False), Lose(done=True), Wait(0.5))

    def choose():
        with lock:
            return chance.choice(ways) if chance.random() < 1 / 3 else None

    return choose


def cutting(stage):
    """A harm: the watches are cut at every tenth request."""
    count = itertools.count(1)

    def rule(_):
        if next(count) % 10 == 0:
            threading.Thread(target=stage.proxy.cut_watches).start()

    return rule


WEATHER = {  # the longest first, so that the last one that a process has left is short
    LONG: after(4, LONGER_THAN_KOPF_TRIES_SECONDS, Answer(500)),
    "one request in three fails": from_first_watch(one_in_three(20)),
    ASKED_TO_WAIT: after(2, OUTAGE_SECONDS, Answer(429, {"Retry-After": "2"})),
    "429 without": after(5, OUTAGE_SECONDS, Answer(429)),
    "500 for a moment": after(3, OUTAGE_SECONDS, Answer(500)),
    "watches are cut again and again": cutting,
}


@pytest.fixture(scope="module")
def live_in(new_stage, unharmed):
    """A life in that weather; tests of the same one look at the same life."""

    def play(life):
        life.live()
        life.wait_until_told(list_sure(unharmed.end["events"]))

    return functools.cache(lambda name: live(new_stage(), WEATHER[name], play))


def test_an_api_server_that_takes_two_seconds_for_everything_only_delays(new_stage):
    lived = live(new_stage(), lambda _: lambda _: Wait(SLOW_SECONDS), Life.begin)
    assert (lived.begun, len(lived.built)) == (1, 1)
    assert all(each.status < 300 for each in lived.writes)
    print(lived.writes[-1].at - lived.asked[0].at)


def test_watches_come_back_after_the_longest_outage(live_in):
    asked = live_in(LONG).asked
    refused = [each.at for each in asked if each.status == 500]
    assert max(refused) - min(refused) > KOPF_TRIES_SECONDS
    watched = {each.path for each in asked if each.watches and each.at < min(refused)}
    again = {each.path for each in asked if each.watches and each.at > max(refused) and each.status == 200}
    assert len(watched) == len(WATCHED_KINDS)
    assert again == watched


@pytest.mark.parametrize("name", WEATHER)
@pytest.mark.timeout(600)
def test_it_comes_to_the_same_end_in_one_process(live_in, unharmed, name):
    lived = live_in(name)
    faults = [each for each in lived.find_faults(unharmed) if not is_told_otherwise(each)]
    assert faults == [], "\n".join(map(describe, lived.writes)) + lived.log
    assert lived.begun == 1


def test_what_the_server_asks_to_wait_is_waited(live_in):
    """No request is repeated before the time that the 429 named, whoever made it."""
    refused = {}
    for asked in live_in(ASKED_TO_WAIT).asked:
        key = asked.method, asked.path, asked.query
        if key in refused:
            assert asked.at - refused.pop(key) >= 1.9, key
        if asked.status == 429:
            refused[key] = asked.at
