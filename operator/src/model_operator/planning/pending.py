"""Why a build's pod does not run, in Kubernetes' words, and what to do about it. Pure."""

import re
from typing import Final

from model_operator.api.v1alpha1 import Build
from model_operator.observation import BuildAttempt
from model_operator.planning.reasons import Reason
from model_operator.planning.verdict import format_sentence

_QUOTA_WORDS: Final = "exceeded quota"
_PRIORITY: Final = re.compile(r"no PriorityClass with name (\S+) was found")
IMAGE_REASONS: Final = frozenset({"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"})
# Words of the scheduler -> what to change; all that are found are told.
_SCHEDULING: Final = (
    ("didn't match Pod's node affinity/selector", "change spec.build.nodeSelector, or label a node so"),
    ("untolerated taint", "add the taint to spec.build.tolerations"),
    ("Insufficient ", "lower spec.build.resources.requests, or add a node"),
    ("persistentvolumeclaim", "make the claim, or correct the uri that names it"),
    (
        "volume node affinity conflict",
        "let the build run where its volumes are, or use a store that every node reaches",
    ),
)


def format_pending(attempt: BuildAttempt, build: Build) -> tuple[Reason, str]:
    """The reason of a build whose pod does not run, and a sentence that says why, with the remedy where we know it.

    Args:
        attempt: that is Pending.
        build: of the spec.
    """
    said = f"{attempt.reason} {attempt.message}".strip()
    told = format_sentence(f"Job {attempt.job} has no pod that runs yet{f': {said}' if said else ''}")
    reason, remedy = _find_remedy(attempt, build)
    return reason, f"{told} {remedy}".strip()


def _find_remedy(attempt: BuildAttempt, build: Build) -> tuple[Reason, str]:
    if _QUOTA_WORDS in attempt.message:
        return Reason.QUOTA_EXCEEDED, "Raise the quota, or lower spec.build.resources; it goes on by itself."
    missing = _PRIORITY.search(attempt.message)
    if missing is not None:
        stated = missing[1] if not build.priority_class_name else build.priority_class_name
        make = f"kubectl create priorityclass {stated} --value=0"
        return Reason.BUILD_PENDING, f"Make it: {make}; or correct spec.build.priorityClassName."
    if attempt.reason in IMAGE_REASONS:
        return Reason.BUILD_PENDING, "Check the operator's builder image, and that the node may pull it."
    if attempt.reason == "Unschedulable":
        found = [remedy for words, remedy in _SCHEDULING if words in attempt.message]
        told = "; ".join(found)
        return Reason.BUILD_PENDING, f"{told[0].upper()}{told[1:]}." if told else ""
    return Reason.BUILD_PENDING, ""
