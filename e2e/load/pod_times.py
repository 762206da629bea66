"""When a pod that is new was created, scheduled, unpacked and Ready, as a watch of the API server tells of it.

Kubernetes' own stamps are cut to seconds, so that a moment is when its event arrived; the stamps stand beside it.
"""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlencode

from cluster.client import Client
from cluster.processes import ClusterError

_SECONDS_TO_END = 5.0


@dataclass
class PodTimes:
    """One pod; every moment is in seconds since 1970, None until it came.

    Attributes:
        name: of the pod.
        created_unix: when it was first told of.
        scheduled_unix: to a node.
        unpacked_unix: its init container has ended with success.
        ready_unix: its condition Ready.
        address: of the pod; empty until it has one.
        created_stamp: as Kubernetes states it, cut to a second.
        ready_stamp: likewise.
    """

    name: str
    created_unix: float
    scheduled_unix: float | None = None
    unpacked_unix: float | None = None
    ready_unix: float | None = None
    address: str = ""
    created_stamp: float | None = None
    ready_stamp: float | None = None

    def note(self, pod: Mapping[str, Any], at_unix: float) -> None:
        """Take what is told of the pod then; what was told before stays."""
        status = pod.get("status", {})
        self.address = self.address or status.get("podIP", "")
        stamps = {each["type"]: each for each in status.get("conditions", ()) if each.get("status") == "True"}
        if "PodScheduled" in stamps and self.scheduled_unix is None:
            self.scheduled_unix = at_unix
        ended = [each.get("state", {}).get("terminated") for each in status.get("initContainerStatuses", ())]
        if ended and all(end and end.get("exitCode") == 0 for end in ended) and self.unpacked_unix is None:
            self.unpacked_unix = at_unix
        if "Ready" in stamps and self.ready_unix is None:
            self.ready_unix, self.ready_stamp = at_unix, parse_stamp(stamps["Ready"].get("lastTransitionTime"))


def parse_stamp(text: str | None) -> float | None:
    """Seconds since 1970."""
    return None if text is None else datetime.fromisoformat(text).timestamp()


class Tracker:
    """The first pod that is none of those that were there.

    Attributes:
        times: of it; None until it is told of.
    """

    def __init__(self, known: Collection[str]) -> None:
        self._known = frozenset(known)
        self._uid = ""
        self.times: PodTimes | None = None

    def note(self, event: Mapping[str, Any], at_unix: float) -> None:
        """Take one event of the watch.

        Raises:
            ClusterError: when the pod goes before it is Ready, or the watch itself failed.
        """
        pod = event["object"]
        if event["type"] == "ERROR":
            raise ClusterError(f"the watch of pods failed: {pod.get('message', pod)}")
        uid = pod["metadata"].get("uid", "")
        if uid in self._known or (self._uid and uid != self._uid) or event["type"] == "BOOKMARK":
            return
        if self.times is None:
            self._uid = uid
            stamp = parse_stamp(pod["metadata"].get("creationTimestamp"))
            self.times = PodTimes(pod["metadata"]["name"], at_unix, created_stamp=stamp)
        self.times.note(pod, at_unix)
        if event["type"] == "DELETED" and self.times.ready_unix is None:
            raise ClusterError(f"{self.times.name} was taken away before it was Ready")


class PodWatch:
    """Watches pods by label from the moment at which the block begins, in a thread of its own."""

    def __init__(self, client: Client, namespace: str, selector: str, clock: Callable[[], float] = time.time) -> None:
        self._client, self._clock = client, clock
        self._path = f"/api/v1/namespaces/{namespace}/pods?{urlencode({'labelSelector': selector})}"
        self._changed = threading.Condition()
        self._problem: ClusterError | None = None
        self._tracker = Tracker(())
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        listed = json.loads(self._client.kubectl("get", "--raw", self._path))
        self._tracker = Tracker([pod["metadata"]["uid"] for pod in listed["items"]])
        asked = urlencode({"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]})
        command = [str(self._client.binaries / "kubectl"), f"--kubeconfig={self._client.kubeconfig}"]
        command += ["get", "--raw", f"{self._path}&{asked}"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._thread is not None:
            self._process.terminate()
            self._thread.join(_SECONDS_TO_END)
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        with self._process.stdout as lines:
            for line in lines:
                at_unix = self._clock()
                with self._changed:
                    try:
                        self._tracker.note(json.loads(line), at_unix)
                    except ClusterError as error:
                        self._problem = error
                    self._changed.notify_all()
        with self._changed:
            self._problem = self._problem or ClusterError("the watch of pods ended before the new one was Ready")
            self._changed.notify_all()

    def wait_until_ready(self, seconds: float) -> PodTimes:
        """The new pod's times, once it is Ready.

        Raises:
            ClusterError: when there is none in time, or it goes before.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                times = self._tracker.times
                if times is not None and times.ready_unix is not None:
                    return times
                if self._problem is not None:
                    raise self._problem
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ClusterError(f"no new pod is Ready after {seconds:.0f} s; last seen: {times}")
                self._changed.wait(left)
