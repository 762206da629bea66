"""Whole lives by chance: whatever happens, in whatever order, what must hold holds, and in the end all is served.

MODELPRESS_LIVES=FIRST-LAST plays others; a failure names its seed and tells the story up to it.
"""

import os

import pytest
from simulated_controllers import summarise
from simulated_life import Life
from simulated_people import People

NAMES = ("small", "twin")
FIRST, LAST = map(int, os.environ.get("MODELPRESS_LIVES", "0-24").split("-"))
DEEDS = 30


@pytest.mark.parametrize("seed", range(FIRST, LAST + 1))
def test_whatever_happens_it_holds_and_all_is_served_in_the_end(seed):
    life = Life(seed)
    people = People(life, NAMES)
    for name in NAMES:
        life.make_model(name, replicas=life.random.randint(1, 2))
    for _ in range(DEEDS):
        people.act()
        for _ in range(life.random.choice([0, 1, 3, 12])):
            life.run_round(NAMES, passes=0.7)
    people.make_peace()
    life.settle()
    for name in life.list_models():
        check_end(life, name)
    life.check_events()


def check_end(life, name):
    """It is served as the spec says, on as many pods."""
    spec, status = life.read_spec(name), life.read_status(name)
    wanted = summarise(life.recipe_digest(name)).digest
    assert life.tell("Stalled", name)[0] == "False", life.format()
    assert life.tell("Ready", name)[0] == "True", life.format()
    assert status["serving"]["digest"] == wanted, life.format()
    assert (("HorizontalPodAutoscaler", name) in life.api.live) == (spec.autoscaling is not None)
    deployment = life.api.live["Deployment", name]
    if spec.autoscaling is None:
        assert deployment["spec"]["replicas"] == spec.replicas
    assert len(life.list_servers(name)) == deployment["spec"]["replicas"]
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == life.sources.settings.server_image
