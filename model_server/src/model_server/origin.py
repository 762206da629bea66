"""What a version was loaded from, and whether what lies there now should be loaded in its place."""

import time

from model_server.versions import VersionFolder


class Origin:
    """A version folder as it was loaded, and what was seen there since.

    Files that come or change soon after, or soon after the last that did, still belong to the copy that was loaded.
    """

    def __init__(self, folder: VersionFolder, change_seconds: float) -> None:
        """Of this folder; `change_seconds` is how soon is soon."""
        self.folder = folder
        self._change_seconds = change_seconds
        self._seen = folder
        self._seen_seconds = time.monotonic()
        self._settled = False

    def notice(self, now: VersionFolder) -> list[str]:
        """Remember how the folder is now; the files that came or changed too late, each time that they do."""
        if now.path != self.folder.path or now.fingerprint == self._seen.fingerprint:
            return []
        seconds = time.monotonic()
        self._settled = self._settled or seconds - self._seen_seconds > self._change_seconds
        news = now.list_news(self._seen)
        self._seen, self._seen_seconds = now, seconds
        return news if self._settled else []

    def outdated_by(self, now: VersionFolder) -> bool:
        """Whether the folder as it is now should be loaded: it is whole, and another one or still the same copy."""
        if not now.complete:
            return False
        return now.path != self.folder.path or (not self._settled and bool(now.list_news(self.folder)))
