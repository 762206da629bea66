"""What each reason means and what to do, from the page that tells of them (docs/reasons.md, beside this file)."""

import re
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

_ROW: Final = re.compile(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


class Remedy(NamedTuple):
    """One row of the page."""

    meaning: str
    what_to_do: str


@cache
def load_remedies() -> dict[str, Remedy]:
    """Every reason of a condition."""
    text = files("kubectl_cmod").joinpath("reasons.md").read_text(encoding="utf-8")
    return {reason: Remedy(meaning.strip(), remedy.strip()) for reason, meaning, remedy in _ROW.findall(text)}


def find_remedy(reason: str) -> Remedy:
    """The reason's row; empty words for one that this release does not know."""
    return load_remedies().get(reason, Remedy("", ""))
