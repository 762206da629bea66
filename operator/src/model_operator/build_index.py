"""How many builds stand how, from what the watch tells of build Jobs. Pure memory."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

Object = Mapping[str, Any]

STATES: Final = ("pending", "running", "suspended", "succeeded", "failed")


class BuildIndex:
    """Remembers how each build Job stands."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._counts: Counter[str] = Counter(dict.fromkeys(STATES, 0))

    def note_event(self, job: Object, *, deleted: bool) -> None:
        """Take in what the watch told of a Job."""
        uid = job["metadata"]["uid"]
        before = self._states.pop(uid, None)
        if before is not None:
            self._counts[before] -= 1
        if not deleted:
            state = self._states[uid] = parse_build_state(job)
            self._counts[state] += 1

    def count(self) -> Mapping[str, int]:
        """Jobs by state; every state is there."""
        return dict(self._counts)


def parse_build_state(job: Object) -> str:
    """How the Job stands by its own status alone: running once its pod is ready."""
    status = job.get("status") or {}
    finished = {each["type"] for each in status.get("conditions") or () if each.get("status") == "True"}
    if "Complete" in finished:
        return "succeeded"
    if "Failed" in finished:
        return "failed"
    if (job.get("spec") or {}).get("suspend"):
        return "suspended"
    return "running" if status.get("ready") else "pending"
