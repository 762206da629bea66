"""Answers in gzip, for clients that say they take it. Pure."""

import zlib

# Below this, compressing an answer costs both sides more than sending it.
SMALLEST_PACKED_BYTES = 16 * 1024


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the header's list names gzip, or everything, and not with the quality 0."""
    for item in accept_encoding.lower().split(","):
        coding, _, quality = item.partition(";")
        if coding.strip() in {"gzip", "*"}:
            return quality.replace(" ", "").rstrip("0") not in {"q=", "q=0."}
    return False


def pack_answer(body: str) -> bytes | None:
    """The body in gzip, or None where it is too small to gain from it."""
    content = body.encode("utf-8", errors="replace")
    if len(content) < SMALLEST_PACKED_BYTES:
        return None
    # Quickly rather than well: digits shrink to half at any level.
    return zlib.compress(content, level=1, wbits=zlib.MAX_WBITS | 16)
