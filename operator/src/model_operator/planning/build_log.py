"""What is kept of a failed build's log: its pod, and so its log, goes with its node, its deadline or its Job. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.observation import BuildAttempt
from model_operator.planning.job import recipe_label
from model_operator.planning.redaction import redact

MOST_LINES: Final = 50
LONGEST_LINE: Final = 500


def render_build_logs(model: CompressedModel, attempts: Sequence[BuildAttempt]) -> tuple[dict[str, Any], ...]:
    """One immutable ConfigMap for each failed build whose log is not kept yet; it goes with the build's Job."""
    recipe = model.recipe()
    if recipe is None:
        return ()
    label = recipe_label(recipe.digest)
    return tuple(_render(model.metadata.namespace, label, attempt) for attempt in attempts if attempt.log.strip())


def format_tail(log: str) -> str:
    """The last lines, none of them very long, without what looks like a secret."""
    lines = redact(log).rstrip().splitlines()[-MOST_LINES:]
    return "".join(f"{line[:LONGEST_LINE]}\n" for line in lines)


def _render(namespace: str, label: str, attempt: BuildAttempt) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.build_log_name(attempt.job),
            "namespace": namespace,
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_COMPONENT: names.COMPONENT_BUILD_LOG,
                names.LABEL_RECIPE: label,
            },
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": attempt.job, "uid": attempt.uid},
            ],
        },
        "immutable": True,
        "data": {names.LOG_KEY: format_tail(attempt.log)},
    }
