"""Puts a study's tables into a page, between its markers; what stands around them stays."""

from model_builder.errors import BuildError
from model_builder.reproduce.studies import Part

END = "<!-- end of the tables -->"


def format_marker(part: Part) -> str:
    """The line above a study's tables."""
    return f"<!-- reproduce {part.arguments} -->"


def replace_tables(page: str, marker: str, tables: str) -> str:
    """The page with other tables below the marker.

    Raises:
        BuildError: when the marker, or its end, is not there once.
    """
    before, found, rest = page.partition(f"{marker}\n")
    if not found or marker in rest:
        raise BuildError(f"the page has not one line {marker}; put it where the tables belong, and {END} below it")
    _, end, after = rest.partition(END)
    if not end:
        raise BuildError(f"the page has no line {END} below {marker}; put it where the tables end")
    return f"{before}{marker}\n{tables.strip()}\n{END}{after}"
