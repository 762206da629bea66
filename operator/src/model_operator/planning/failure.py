"""Why a build failed and what to do, in one sentence. Pure."""

from model_operator.api.v1alpha1 import Build
from model_operator.observation import BuildAttempt
from model_operator.planning.job import DEFAULT_RESOURCES
from model_operator.planning.pod import render_resources
from model_operator.planning.redaction import redact
from model_operator.planning.verdict import format_sentence


def format_cause(attempt: BuildAttempt, build: Build) -> str:
    """The build's own sentence; else Kubernetes' word with its remedy; else where to look."""
    if attempt.failure is not None:
        return format_sentence(redact(attempt.failure.error))
    said = f" ({redact(attempt.message)})" if attempt.message else ""
    if attempt.state == "Succeeded":
        return format_sentence(f"it ended well, but what it handed over cannot be read{said}")
    known = _format_known(attempt.reason, build)
    if known:
        return format_sentence(f"{known}{said}")
    reason = attempt.reason or "it left no reason"
    return format_sentence(f"{reason}{said}; see the log of Job {attempt.job}")


def _format_known(reason: str, build: Build) -> str:
    """What Kubernetes' word means for a build, and which field to change; empty where we know no better."""
    if reason == "OOMKilled":
        limit = render_resources(build.resources, DEFAULT_RESOURCES).get("limits", {}).get("memory")
        stated = f" of {limit}" if limit else ""
        return f"the builder was killed for its memory limit{stated}; raise spec.build.resources.limits.memory"
    if reason == "DeadlineExceeded":
        return f"it took longer than {build.timeout_seconds} s; raise spec.build.timeoutSeconds"
    if reason == "Evicted":
        return "its node ran short of something; raise spec.build.resources.requests"
    return ""
