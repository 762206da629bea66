"""What a build needs to reach package registries from this machine and no image may hold: certificates and indexes."""

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

# The first line of each secret. pip, uv and the shell ignore it; a layer that holds it holds a secret.
MARKER = "# modelpress build secret: this line must be in no image"
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
INDEX_VARIABLES = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_INDEX",
    "UV_INDEX_STRATEGY",
    "UV_INDEX_URL",
    "UV_INSECURE_HOST",
)


@contextmanager
def secret_arguments(folder: Path, environment: Mapping[str, str] = os.environ) -> Iterator[list[str]]:
    """The `--secret` arguments of a build; their files are readable by the owner alone and gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as place:
        arguments = []
        for name, text in read_secrets(environment).items():
            path = Path(place, name)
            path.write_text(text)
            arguments.append(f"--secret=id={name},src={path}")
        yield arguments


def read_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The contents by name: `ca`, where this machine has a bundle, and `index`, where the environment names one."""
    secrets = {}
    bundle = certificate_bundle(environment)
    if bundle.is_file():
        secrets["ca"] = f"{MARKER}\n{bundle.read_text()}"
    lines = [f"{name}={shlex.quote(environment[name])}" for name in INDEX_VARIABLES if environment.get(name)]
    if lines:
        secrets["index"] = "\n".join((MARKER, *lines, ""))
    return secrets


def certificate_bundle(environment: Mapping[str, str]) -> Path:
    """The bundle that the environment names, else the system's."""
    named = [Path(environment[name]) for name in CERTIFICATE_VARIABLES if environment.get(name)]
    return next((path for path in named if path.is_file()), SYSTEM_CERTIFICATES)
