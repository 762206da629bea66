"""Which revision is served, since when, and which ones were served before. Pure."""

from datetime import datetime
from typing import Final

from model_operator import names
from model_operator.api.status import CompressedModelStatus, Revision, ServingStatus

KEPT_REVISIONS: Final = 10
"""Older ones are forgotten: a status has its bounds."""


def find_since(previous: CompressedModelStatus | None, served: str | None, now: datetime) -> datetime | None:
    """Since when the revision is served: from now on where another one was; None where that was never noted."""
    if served is None:
        return None
    before = previous.serving if previous is not None else None
    return before.since if before is not None and before.revision == served else now


def render_history(
    previous: CompressedModelStatus | None, serving: ServingStatus | None, generation: int, now: datetime
) -> tuple[Revision, ...]:
    """The last revisions, oldest first; the one that was served joins when another takes its place.

    Args:
        previous: the status that stands.
        serving: what is served now.
        generation: of the spec when it was replaced.
        now: when it is.
    """
    if previous is None:
        return ()
    before = previous.serving
    if before is None or before.revision is None or serving is None or serving.revision in {None, before.revision}:
        return previous.history[-KEPT_REVISIONS:]
    replaced = Revision(
        digest=before.digest or before.revision,
        served_at=before.since,
        replaced_at=now,
        reason=f"replaced by {serving.digest or serving.revision} at generation {generation} of the spec",
    )
    return (*previous.history, replaced)[-KEPT_REVISIONS:]


def match_digest(revision: str, *digests: str | None) -> str | None:
    """The content digest that the revision abbreviates; None where it is none of them."""
    return next((digest for digest in digests if digest and names.short_digest(digest) == revision), None)
