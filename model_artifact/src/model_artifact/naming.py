"""Names from an archive as they may stand in a sentence. Pure."""

_LONGEST = 120


def format_name(name: str) -> str:
    """The name on one line, without what a terminal would obey, cut where it is too long."""
    plain = name if name.isprintable() else ascii(name)[1:-1]
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}…"
