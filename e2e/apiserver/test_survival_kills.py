"""An operator that is killed at any one of its writes: it comes to the same end, and builds nothing twice.

By turns of the harms, to every other write of a life; `MODELPRESS_HARMS=all` does all of them to every write.
"""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from api_proxy import Lose
from lived import is_told_otherwise, list_targets, live, locate

LIVES_AT_ONCE = 6
SPREAD = 4
HARMS = {
    "killed before it": lambda stage: Lose(done=False, then=stage.replace_operator),
    "killed after it": lambda stage: Lose(done=True, then=stage.replace_operator),
}
EVERY_HARM_TO_EVERY_WRITE = os.environ.get("MODELPRESS_HARMS") == "all"  # as nightly
if EVERY_HARM_TO_EVERY_WRITE:
    HARMS["answer lost"] = lambda _: Lose(done=True)


def test_two_lives_in_which_nothing_fails_end_alike(new_stage, unharmed):
    assert {"cmod/small", "cmod/twin", "deployment/small", "deployment/twin", "service/small"} <= unharmed.end.keys()
    again = live(new_stage())
    assert again.find_faults(unharmed) == [], again.log


@pytest.mark.parametrize(("turn", "harm"), list(enumerate(HARMS.values())), ids=HARMS.keys())
@pytest.mark.timeout(1200)
def test_whatever_happens_to_any_one_write_the_end_is_the_same_and_builds_run_once(new_stage, unharmed, turn, harm):
    """The writes of one life are found in the others by their places: the first to a Service, the third of a status."""
    reached, targets = set(), list_targets(unharmed)
    if not EVERY_HARM_TO_EVERY_WRITE:
        targets = targets[2 * turn :: 2 * len(HARMS)]

    def live_through(target):
        def rule_of(stage):
            count = itertools.count(1)

            def rule(asked):
                if not asked.write or locate(asked) != target[0] or next(count) != target[1]:
                    return None
                reached.add(target)
                return harm(stage)

            return rule

        return live(new_stage(), rule_of)

    with ThreadPoolExecutor(LIVES_AT_ONCE) as pool:
        lives = list(pool.map(live_through, targets))
    wrong = [
        f"{target}: {faults}\n{lived.log}"
        for target, lived in zip(targets, lives, strict=True)
        if (faults := [each for each in lived.find_faults(unharmed) if not is_told_otherwise(each)])
    ]
    assert wrong == [], "\n\n".join(wrong)
    # Two changes that come together are told at once, so a life may have a status or an Event less than another.
    missed = set(targets) - reached
    assert len(missed) <= SPREAD
    assert all(place.endswith(("/status", "events")) for place, _ in missed), missed
