"""Takes out of a text what looks like a secret, before it is written where others may read it. Pure."""

import re
from typing import Final

REMOVED: Final = "[removed]"

_NAMES = (
    r"(?:pass(?:word|wd|phrase)?|secret|token|credentials?|signature"
    r"|api[-_]?key|access[-_]?key(?:[-_]?id)?|private[-_]?key)"
)
_PATTERNS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        # A private key in PEM, also one that is cut off or whose lines are one.
        r"(?P<before>-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?=-----END|\Z)",
        # https://user:word@host
        r"(?P<before>[a-z][a-z0-9+.-]*://)[^/\s:@]*:[^/\s@]+(?=@)",
        r"(?P<before>\b(?:Bearer|Basic)\s+)[A-Za-z0-9+/=._~-]{8,}",
        # NAME=value, "name": "value", name: value; also where the name is a part of a longer one.
        rf"(?P<before>[\w.-]*{_NAMES}[\w.-]*[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;}}\]]+",
        r"(?P<before>\b)(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    )
)


def redact(text: str) -> str:
    """The text with every key, password and token in it replaced, wherever it can be told by its form or its name."""
    for pattern in _PATTERNS:
        text = pattern.sub(lambda found: f"{found['before']}{REMOVED}", text)
    return text
