import pytest

from model_artifact.errors import AccessDeniedError, ObjectMissingError, UnreachableError
from model_artifact.object_errors import explain

WHERE = "s3://models/a.zip"


def answer(status, code=""):
    body = f"<Error><Code>{code}</Code><Message>m</Message></Error>" if code else ""
    return f"Generic S3 error: Error performing GET - Server returned non-2xx status code: {status}: {body}"


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        (answer("404 Not Found", "NoSuchBucket"), ObjectMissingError, "there is no such bucket; make it, or"),
        (answer("404 Not Found", "NoSuchKey"), ObjectMissingError, "there is no such object; correct the key, or"),
        (answer("404 Not Found"), ObjectMissingError, "there is no such object"),
        (answer("403 Forbidden", "AccessDenied"), AccessDeniedError, "access is denied (AccessDenied); allow these"),
        (answer("403 Forbidden"), AccessDeniedError, "access is denied (without a reason); allow these"),
        (answer("403 Forbidden", "InvalidAccessKeyId"), AccessDeniedError, "the store refuses the credentials (Inv"),
        (answer("400 Bad Request", "ExpiredToken"), AccessDeniedError, "the store refuses the credentials (ExpiredT"),
        (answer("412 Precondition Failed"), UnreachableError, "the object was replaced while it was read; try again"),
        (answer("503 Slow Down", "SlowDown"), UnreachableError, "the store answers 503 SlowDown; look at its log"),
        (answer("301 Moved"), UnreachableError, "the store answers 301; look at its log"),
        ("kind: Connect … ConnectionRefused", UnreachableError, "the connection is refused; check AWS_ENDPOINT_URL"),
        ('ConnectError("dns error", …)', UnreachableError, "its host name is not known; check AWS_ENDPOINT_URL"),
        ("invalid peer certificate: UnknownIssuer", UnreachableError, "its certificate is not trusted; check AWS_E"),
        ("kind: Timeout", UnreachableError, "it does not answer in time; check AWS_ENDPOINT_URL and the server"),
        ("something else\nand more", UnreachableError, "the connection breaks off; check AWS_ENDPOINT_URL"),
    ],
)
def test_each_answer_has_its_kind_and_one_sentence(text, kind, words):
    error = explain(WHERE, ValueError(text))
    assert type(error) is kind
    assert str(error).startswith(f"{WHERE}: ")
    assert words in str(error)
    assert "\n" not in str(error)


def test_a_missing_file_of_the_library_is_a_missing_object():
    assert type(explain(WHERE, FileNotFoundError("Object at location a.zip not found"))) is ObjectMissingError


def test_what_the_library_says_is_not_repeated():
    error = explain(WHERE, ValueError(f"{answer('500 Internal')} Authorization: AWS4-HMAC-SHA256 Credential=hidden"))
    assert "hidden" not in str(error)
