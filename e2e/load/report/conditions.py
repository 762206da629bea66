"""Every profile asked in every way: their names for people and for files. Pure."""

from load.report.cells import Cells, Condition, name_profile
from load.results import ProfileTold


def picture_name(*parts: str) -> str:
    """The file's name of a picture, without what a file's name cannot have."""
    return "-".join("".join(c if c.isalnum() or c in "._" else "-" for c in part) for part in parts)


def list_conditions(cells: Cells) -> list[tuple[ProfileTold, Condition]]:
    """Every profile, asked in every way."""
    return [(each, Condition(each.name, way)) for each in cells.results.profiles for way in cells.ways]


def name_condition(profile: ProfileTold, condition: Condition) -> str:
    """For people."""
    return f"{name_profile(profile)}, {condition.way.name}"


def condition_parts(condition: Condition) -> tuple[str, str, str]:
    """Of a picture's name."""
    return condition.profile, condition.way.protocol, condition.way.generator
