"""Every metric of a deployed model that has a value, so that any of them may be asked for once it is built. Pure."""

from typing import Any

from numpy.typing import NDArray

from model_artifact.recipe import METRICS, Metric, Task
from model_builder.errors import DataError
from model_builder.quality import measure


def measure_all(task: Task, answers: NDArray[Any], targets: NDArray[Any]) -> dict[Metric, float]:
    """The value of each metric that judges the task; one that these targets give no value is left out.

    Args:
        task: what is answered.
        answers: of the deployed model, as `quality.judge` takes them.
        targets: likewise.
    """
    found: dict[Metric, float] = {}
    for metric in METRICS[task]:
        try:
            found[metric] = measure(metric, answers, targets)
        except DataError:
            continue
    return found
