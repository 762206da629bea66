"""What a whole life of models left behind, and how it differs from that of a life in which nothing failed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api_proxy import Asked, Rule
from model_life import Life
from survival_stage import Stage

RECIPES = 3
"""Of one life, for each of which one build begins."""


@dataclass(frozen=True)
class Lived:
    """One life, looked back upon.

    Attributes:
        asked: all that the operator asked of the API server, the first one first.
        end: what stood in the namespace, and what was told of it.
        begun: how many processes the operator was.
        log: the end of the operator's.
    """

    asked: tuple[Asked, ...]
    end: dict[str, Any]
    begun: int
    log: str

    @property
    def writes(self) -> list[Asked]:
        """All that was to change something."""
        return [each for each in self.asked if each.write]

    @property
    def built(self) -> list[str]:
        """The requests by which the API server made a Job."""
        return [describe(each) for each in self.writes if is_build(each)]

    def find_faults(self, unharmed: "Lived") -> list[Any]:
        """What is not as in the unharmed life, and builds that were begun twice."""
        faults: list[Any] = find_differences(self.end, unharmed.end)
        return faults if len(self.built) == RECIPES else [*faults, self.built]


def live(stage: Stage, harm: Callable[[Stage], Rule] | None = None, play: Callable[[Life], None] = Life.live) -> Lived:
    """A whole life on that stage, or the part that is played, in which the proxy goes by the harm's rule."""
    with stage:
        if harm is not None:
            stage.proxy.rule = harm(stage)
        try:
            play(stage.life)
        except Exception as error:
            told = "\n".join(describe(each) for each in stage.proxy.writes())
            raise AssertionError(f"{error}\n{told}\n{stage.operator.words()}") from error
        return Lived(tuple(stage.proxy.asked), stage.life.snapshot(), stage.operator.begun, stage.operator.words())


def is_build(asked: Asked) -> bool:
    """Whether a Job was made."""
    return asked.method == "POST" and asked.path.endswith("/jobs") and asked.status == 201


def describe(asked: Asked) -> str:
    """Which write it was, and what became of it."""
    return f"{asked.write}: {asked.method} {asked.path} {asked.status}"


def locate(asked: Asked) -> str:
    """What is written to, in whichever namespace: `PATCH deployments/small/scale`."""
    parts = asked.path.split("/")
    return f"{asked.method} {'/'.join(parts[parts.index('namespaces') + 2 :])}"


def list_targets(lived: Lived) -> list[tuple[str, int]]:
    """Every write of a life as one can be found in another life: the n-th to its place."""
    places = [locate(each) for each in lived.writes]
    return [(place, places[: number + 1].count(place)) for number, place in enumerate(places)]


def is_told_otherwise(fault: tuple[Any, ...]) -> bool:
    """Whether it is Events alone: of a build that began or ended while nobody looked, less is told."""
    if fault[0] != "events":
        return False
    _, more, missing = fault
    return {reason for reason, *_ in more} <= {"ArtifactFound"} and not list_sure(missing)


def list_sure(milestones: list[list[str]]) -> list[list[str]]:
    """Those that are told whether or not somebody looked just then; builds come and go between two looks."""
    return [each for each in milestones if not each[0].startswith("Build")]


def find_differences(end: dict[str, Any], wanted: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What is not as it should be: with both forms, or, of lists, with what is too much and what is missing."""
    return [
        (key, *_subtract(end.get(key), wanted.get(key)), *_subtract(wanted.get(key), end.get(key)))
        for key in sorted(end.keys() | wanted.keys())
        if end.get(key) != wanted.get(key)
    ]


def _subtract(one: Any, other: Any) -> list[Any]:
    """The items of one list that the other has less often; anything else as it is."""
    if not isinstance(one, list) or not isinstance(other, list):
        return [one]
    left, more = list(other), []
    for item in one:
        if item in left:
            left.remove(item)
        else:
            more.append(item)
    return [more]
