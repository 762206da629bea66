"""Shows how far a build is to Prometheus: on a port, or in a file that node-exporter's textfile collector reads."""

from pathlib import Path
from typing import get_args

from prometheus_client import CollectorRegistry, Enum, Gauge, start_http_server, write_to_textfile

from model_artifact.summary import BuildProgress
from model_builder.errors import BuildError
from model_builder.progress import Progress

_NUMBERS = {
    "epoch": "Epoch that is being trained, from 1.",
    "epochs": "Epochs of the whole training.",
    "steps_per_second": "Training steps a second, since training began or went on.",
    "eta_seconds": "Seconds until the end of training.",
    "loss": "Mean loss of the training images since the epoch began.",
    "accuracy_percent": "Training images of the epoch that were answered rightly.",
    "test_accuracy_percent": "Test images that the compressed weights answered rightly after the last epoch.",
    "metric_value": "The recipe's metric on the training images of the epoch, where no classes of images are learnt.",
    "test_metric_value": "The same on the test images, with the compressed weights after the last epoch.",
    "zeros_percent": "Weights of the compressed kernels that are zero.",
}
_PHASES = get_args(BuildProgress.model_fields["phase"].annotation)


class BuildMetrics:
    """The numbers of one build as Prometheus metrics; a `Progress` that keeps them current."""

    def __init__(self, text_file: Path | None = None) -> None:
        """Have no values yet.

        Args:
            text_file: written anew, as a whole, each time something is told; absent: nowhere.
        """
        self.registry = CollectorRegistry()
        self._text_file = text_file
        self._phase = Enum("modelpress_build_phase", "What the build does.", states=_PHASES, registry=self.registry)
        self._gauges = {
            name: Gauge(f"modelpress_build_{name}", text, registry=self.registry) for name, text in _NUMBERS.items()
        }
        for gauge in self._gauges.values():
            gauge.set(float("nan"))  # not zero: nothing is known yet

    def __call__(self, progress: BuildProgress) -> None:
        """Take over what is told; numbers that it leaves out keep their value."""
        self._phase.state(progress.phase)
        for name, gauge in self._gauges.items():
            value = getattr(progress, name)
            if value is not None:
                gauge.set(value)
        if self._text_file is not None:
            write_to_textfile(str(self._text_file), self.registry)


def serve_metrics(port: int | None, text_file: Path | None, address: str = "0.0.0.0") -> Progress | None:  # noqa: S104 asked for by a flag
    """Show a build's metrics on a port, in a file, or both; None where neither is asked for.

    Raises:
        BuildError: when the port cannot be had or the file's folder is missing.
    """
    if port is None and text_file is None:
        return None
    if text_file is not None and not text_file.absolute().parent.is_dir():
        raise BuildError(f"{text_file}: its folder is missing; make it, or name another file for the metrics")
    metrics = BuildMetrics(text_file)
    if port is not None:
        try:
            start_http_server(port, addr=address, registry=metrics.registry)
        except OSError as error:
            raise BuildError(f"port {port}: cannot be had for metrics ({error.strerror}); choose another") from error
    return metrics
