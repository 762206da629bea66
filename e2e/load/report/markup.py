"""HTML from text: whatever comes in is escaped here, and nowhere else are tags made. Pure."""

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

Pictures = Mapping[str, bytes]
"""PNGs by the name of their file; those for a dark page are named `...-dark.png`."""

Kind = Literal["", "text", "good", "bad", "missing", "strong"]
NOT_RUN = "not run"


@dataclass(frozen=True)
class Cell:
    """What stands in a table.

    Attributes:
        text: the figure.
        note: small, below it.
        kind: how it looks; text is to the left and may wrap.
    """

    text: str
    note: str = ""
    kind: Kind = ""


MISSING = Cell(NOT_RUN, kind="missing")
NOTHING = Cell("\N{EN DASH}", kind="missing")

Head = Sequence[tuple[str, Sequence[str]]]
"""Groups of columns: a title over its columns' names; an empty title has one column of that name alone."""


def render_table(caption: str, head: Head, rows: Sequence[Sequence[Cell]]) -> str:
    """A table in a frame that scrolls sideways where the page is narrow; the first column stays."""
    lines = "".join(
        f"<tr>{''.join(_render_cell(cell, first=not n) for n, cell in enumerate(row))}</tr>" for row in rows
    )
    words = {column for row in rows[:1] for column, cell in enumerate(row) if cell.kind == "text"}
    return (
        f'<div class="frame"><table><caption><span>{escape(caption)}</span></caption>'
        f"<thead>{_render_head(head, words)}</thead><tbody>{lines}</tbody></table></div>"
    )


def _render_head(head: Head, words: Collection[int]) -> str:
    """One line, or two where there are groups; columns of words have their names to the left."""
    above: list[str] = []
    below: list[str] = []
    column = 0
    grouped = any(title for title, _ in head)
    for title, names in head:
        if title:
            above.append(f"<th colspan={len(names)} class=group scope=colgroup>{escape(title)}</th>")
        for name in names:
            style = " class=text" if column in words else ""
            rows = " rowspan=2" if grouped and not title else ""
            (below if title else above).append(f"<th scope=col{style}{rows}>{escape(name)}</th>")
            column += 1
    return f"<tr>{''.join(above)}</tr>" + (f"<tr>{''.join(below)}</tr>" if grouped else "")


def _render_cell(cell: Cell, *, first: bool) -> str:
    note = f"<small>{escape(cell.note)}</small>" if cell.note else ""
    style = f' class="{cell.kind}"' if cell.kind else ""
    if first:
        return f"<th scope=row{style}>{escape(cell.text)}{note}</th>"
    return f"<td{style}>{escape(cell.text)}{note}</td>"


def render_paragraph(text: str, style: str = "") -> str:
    """A paragraph; an empty one is nothing."""
    return f"<p{f' class={style}' if style else ''}>{escape(text)}</p>" if text else ""


def render_list(texts: Sequence[str], style: str = "") -> str:
    """A list; an empty one is nothing."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul{f' class={style}' if style else ''}>{items}</ul>" if items else ""


def render_heading(text: str, level: int) -> str:
    """A heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def render_section(anchor: str, title: str, *parts: str) -> str:
    """A part of the page that can be linked to."""
    return f'<section id="{escape(anchor)}">{render_heading(title, 2)}{"".join(parts)}</section>'


def render_grid(parts: Sequence[str]) -> str:
    """Beside each other where the page is wide."""
    found = [part for part in parts if part]
    return f'<div class="grid">{"".join(found)}</div>' if found else ""


def render_picture(name: str, pictures: Pictures, caption: str, missing: str = "") -> str:
    """A picture inside of the page, in its dark form where the reader's screen is dark; words where there is none."""
    if name not in pictures:
        return render_paragraph(missing, "note")
    dark = name.removesuffix(".png") + "-dark.png"
    source = f'<source media="(prefers-color-scheme: dark)" srcset="{_encode(pictures[dark])}">'
    return (
        f'<figure><picture>{source}<img alt="{escape(caption)}" src="{_encode(pictures[name])}"></picture>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _encode(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def render_contents(entries: Sequence[tuple[str, str]]) -> str:
    """Links to sections, as (anchor, title)."""
    links = "".join(f'<a href="#{escape(anchor)}">{escape(title)}</a> ' for anchor, title in entries)
    return f"<nav>{links}</nav>"


def render_facts(facts: Mapping[str, str]) -> str:
    """Names with what they are."""
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
    return f"<dl>{pairs}</dl>"


def render_document(title: str, style: str, body: Sequence[str]) -> str:
    """The file: `body` is HTML already."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{style}</style>\n</head>\n<body>\n{chr(10).join(part for part in body if part)}\n</body>\n</html>\n"
    )
