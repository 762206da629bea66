"""What a library's error about an object means, in one sentence with a remedy. Pure; it knows obstore's words alone."""

import re

from model_artifact.errors import AccessDeniedError, ObjectMissingError, StoreAccessError, UnreachableError

_STATUS = re.compile(r"Server returned non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,64})</Code>")
_CAUSES = (
    ("ConnectionRefused", "the connection is refused"),
    ("dns error", "its host name is not known"),
    ("certificate", "its certificate is not trusted"),
    ("kind: Timeout", "it does not answer in time"),
    ("TimedOut", "it does not answer in time"),
    ("builder error", "its address is no URL"),
)
_DENIED_STATUSES = {"401", "403"}
_CREDENTIAL_CODES = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
}
_REPLACED_STATUS = "412"


def explain(where: str, error: Exception) -> StoreAccessError:
    """Our error for the library's; its own text, which may be long and name anything, is not repeated.

    Args:
        where: s3://BUCKET/KEY.
        error: the library's.
    """
    text = str(error)
    status, code = _find(_STATUS, text), _find(_CODE, text)
    if code == "NoSuchBucket":
        return ObjectMissingError(f"{where}: there is no such bucket; make it, or correct the name")
    if status in _DENIED_STATUSES or code in _CREDENTIAL_CODES:
        return AccessDeniedError(f"{where}: {_format_denial(code)}")
    if isinstance(error, FileNotFoundError) or status == "404":
        return ObjectMissingError(f"{where}: there is no such object; correct the key, or put it there")
    if status == _REPLACED_STATUS:
        return UnreachableError(f"{where}: the object was replaced while it was read; try again")
    if status:
        said = f"{status} {code}".strip()
        return UnreachableError(f"{where}: the store answers {said}; look at its log, and try again")
    cause = next((words for mark, words in _CAUSES if mark in text), "the connection breaks off")
    return UnreachableError(f"{where}: the endpoint cannot be used, {cause}; check AWS_ENDPOINT_URL and the server")


def _format_denial(code: str) -> str:
    if code in _CREDENTIAL_CODES:
        return f"the store refuses the credentials ({code}); correct those in the environment"
    return (
        f"access is denied ({code or 'without a reason'}); allow these credentials to get, put and list here"
        " (s3:GetObject, s3:PutObject, s3:ListBucket)"
    )


def _find(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""
