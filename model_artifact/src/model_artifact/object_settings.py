"""What the environment says about an S3 store: its endpoint, and whether there are credentials.

obstore reads the rest itself: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, and the files of
web identities. Without any of them it would ask the machine's metadata service, which no pod of ours relies on.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from model_artifact.errors import AccessDeniedError, StoreAccessError, UnreachableError

if TYPE_CHECKING:
    from obstore.store import ClientConfig

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_CERTIFICATES_VARIABLE = "AWS_CA_BUNDLE"
_CREDENTIALS = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
    ("AWS_SKIP_SIGNATURE",),
)
_URL = re.compile(
    r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._/-]*)?|https?://\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?/?"
)


def check_environment(bucket: str, environment: Mapping[str, str]) -> None:
    """Refuse an environment that no request can be made with.

    Raises:
        AccessDeniedError: when it has no credentials.
        UnreachableError: when its endpoint is no URL.
    """
    if not any(all(environment.get(name) for name in names) for names in _CREDENTIALS):
        raise AccessDeniedError(
            f"s3://{bucket}: the environment has no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in a"
            " cluster by the Secret that the chart's store.secretName names"
        )
    variable, endpoint = _find_endpoint(environment)
    if endpoint and not _URL.fullmatch(endpoint):
        # The value is not repeated: it may hold a password.
        raise UnreachableError(
            f"s3://{bucket}: {variable} is no URL of a server; write http:// or https:// and a host, without user"
        )


def _find_endpoint(environment: Mapping[str, str]) -> tuple[str, str]:
    """The variable that names the endpoint, and its value; both empty for Amazon's own."""
    return next(((name, environment[name]) for name in ENDPOINT_VARIABLES if environment.get(name)), ("", ""))


def read_client_options(environment: Mapping[str, str]) -> "ClientConfig":
    """Plain HTTP only where the endpoint says so, and the certificates of a private authority where they are given.

    Raises:
        StoreAccessError: when the file of certificates cannot be read.
    """
    options: ClientConfig = {"allow_http": _find_endpoint(environment)[1].startswith("http://")}
    bundle = environment.get(_CERTIFICATES_VARIABLE)
    if bundle:
        try:
            options["root_certificate"] = Path(bundle).read_bytes()
        except OSError as error:
            raise StoreAccessError(
                f"{_CERTIFICATES_VARIABLE} names {bundle}, which cannot be read; mount it or unset the variable"
            ) from error
    return options
