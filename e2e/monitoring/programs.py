"""Prometheus and promtool, built from Go modules into a cache that is keyed by what they are built from.

Debian's package would be quicker, but it is built without Kubernetes service discovery.
"""

import re
from collections.abc import Callable
from pathlib import Path

from images.building import cache_folder
from images.errors import ImageError
from images.go_module import GoModule
from images.steps import Steps

from monitoring.errors import MonitoringError

Tell = Callable[[str], None]

MODULE = Path(__file__).resolve().parent / "go"
PROGRAMS = ("prometheus", "promtool")
DISCOVERY = "github.com/prometheus/prometheus/plugins/plugins.go"
"""Its list of the service discoveries to build with, which its own documentation has one edit for smaller programs."""
KUBERNETES = MODULE / "plugins" / "plugins.go"


def read_digest() -> str:
    """Eight hex digits that change with the versions of Prometheus and of all that it is built from."""
    return _describe().digest


def read_version() -> str:
    """Such as 3.5.1.

    Raises:
        MonitoringError: when go.mod does not say.
    """
    return parse_version((MODULE / "go.mod").read_text())


def parse_version(go_mod: str) -> str:
    """Prometheus' version from its module's: v0.305.1 is 3.5.1.

    Raises:
        MonitoringError: when the module is not named.
    """
    found = re.search(r"github\.com/prometheus/prometheus v0\.(\d)(\d\d)\.(\d+)\b", go_mod)
    if found is None:
        raise MonitoringError(
            "e2e/monitoring/go/go.mod does not name github.com/prometheus/prometheus; restore the file"
        )
    return f"{found[1]}.{int(found[2])}.{found[3]}"


def build_programs(tell: Tell) -> Path:
    """The folder with both, built when they are not there.

    Raises:
        MonitoringError: when there is no Go, or the build fails.
    """
    cache = cache_folder()
    try:
        return _describe().build(cache / "prometheus", Steps(cache / "logs", tell))
    except ImageError as error:
        raise MonitoringError(str(error)) from error


def _describe() -> GoModule:
    version = f"github.com/prometheus/common/version.Version={read_version()}"
    return GoModule(
        "Prometheus", MODULE, PROGRAMS, "some minutes", ("-s", "-w", "-X", version), {DISCOVERY: KUBERNETES}
    )
