"""How this operator is set up: environment variables MODELPRESS_*, in the order of the chart's values.

Built once in `__main__` and passed down. A value that is not allowed ends the operator at its start with a sentence.
"""

from typing import Annotated, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from model_operator.api import rules
from model_operator.errors import SettingsError

PREFIX = "MODELPRESS_"
_PUBLIC_KEYS = r"^(\s*-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----)*\s*$"
_NEVER_SHOWN = {
    "signing_public_keys": "holds something else than public keys in PEM",
    "prometheus_url": "is no http:// or https:// URL, or holds credentials: they belong into a Secret",
}
"""What is given by mistake may be a private key or a password, so that only what is wrong with it is told."""


class Settings(BaseSettings):
    """The operator's settings."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    watch_namespaces: Annotated[str, Field(title="Namespaces")] = ""
    """Comma-separated namespaces to serve; empty: all."""
    workers: Annotated[int, Field(ge=1, le=64)] = 4
    """Models that are reconciled at the same time."""
    resync_seconds: Annotated[int, Field(ge=5, le=3600)] = 60
    """Every model is looked at again after this long, whatever a watch said."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    builder_image: str = "ghcr.io/modelpress/modelpress-builder:0.1.0"
    server_image: str = "tensorflow/serving:2.20.0"
    """Serves the models unless `spec.serving.image` names another one."""
    unpack_image: str = "ghcr.io/modelpress/modelpress-server:0.1.0"
    """Holds `model-artifact`; verifies and unpacks before the server starts."""
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    image_pull_secrets: str = ""
    """Comma-separated names of Secrets in the models' namespaces."""

    store_claim_name: str = "modelpress-store"
    """The PersistentVolumeClaim, one a namespace, that holds artifacts."""
    store_uri: Annotated[str, Field(pattern=rules.STORE_URI_PATTERN)] = ""
    """A store in place of that claim: s3://BUCKET/PREFIX, or pvc://CLAIM; empty: the claim."""
    store_secret_name: str = ""
    """A Secret, one a namespace, whose keys are the environment that reaches an s3:// store; empty: pods need none."""
    data_claim_name: str = ""
    """A PersistentVolumeClaim with data sets that builds read; empty: builds download them."""

    signing_public_keys: Annotated[str, Field(pattern=_PUBLIC_KEYS)] = ""
    """Public keys in PEM, of which one must have signed what is served; empty: signatures are not looked at."""
    signing_secret_name: str = ""
    """A Secret, one a namespace, with the private key `signing.pem` by which builds sign; empty: they do not."""

    prometheus_url: Annotated[str, Field(pattern=r"^(https?://[^/@\s]+(/[^@\s]*)?)?$")] = ""
    """Where KPIs are read; empty: they stay Unknown."""
    prometheus_credentials_folder: str = ""
    """A folder with what that Prometheus asks for: any of username and password, token, ca.crt, tls.crt and tls.key."""
    prometheus_insecure: bool = False
    """Take any certificate of that Prometheus, and send credentials to it over http as well."""
    prometheus_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    kpi_seconds: Annotated[int, Field(ge=5, le=3600)] = 15
    """KPIs of a model that serves are read this often."""
    price_cpu_core_hour: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 0.0
    """Of one core for an hour, in any currency; with both prices 0 no cost is compared."""
    price_memory_gibibyte_hour: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 0.0
    """Of one GiB for an hour, in the same currency."""

    health_port: Annotated[int, Field(ge=1, le=65_535)] = 8080
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] = 8081


def load_settings() -> Settings:
    """The settings that the environment states.

    Raises:
        SettingsError: with the first variable that is wrong, its value and what is allowed.
    """
    try:
        return Settings()
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = problem["loc"][0]
        variable = f"{PREFIX}{name}".upper()
        if name in _NEVER_SHOWN:
            raise SettingsError(f"{variable}: {_NEVER_SHOWN[str(name)]}") from None
        raise SettingsError(f"{variable} is {problem['input']!r}: {problem['msg']}") from error


def split_names(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list."""
    return tuple(name for part in text.split(",") if (name := part.strip()))
