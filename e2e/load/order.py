"""In which order runs are made: shuffled within each block, so that a drift of the machine meets all alike. Pure."""

import random
from collections.abc import Sequence

from load.configurations import Planned
from load.measuring import Key
from load.results import Protocol


def plan_order(
    planned: Sequence[Planned], profiles: Sequence[str], protocols: Sequence[Protocol], blocks: int, seed: int
) -> list[Key]:
    """Every configuration under every profile by every protocol that it has, once in each block."""
    found: list[Key] = []
    for block in range(blocks):
        keys = [
            Key(each.name, profile, protocol, block)
            for each in planned
            for profile in profiles
            for protocol in protocols
            if protocol in each.protocols
        ]
        random.Random(f"{seed}/{block}").shuffle(keys)  # noqa: S311 - an order, no secret
        found += keys
    return found


def format_left(seconds: float) -> str:
    """A length of time for people: 45 s, 12 min, 3 h 5 min."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
