from pathlib import Path

import pytest

from model_artifact.errors import LocationError
from model_artifact.location import ObjectLocation, parse_location


@pytest.mark.parametrize("text", ["a.zip", "/store/a.zip", "./s3:/a", "C:/a.zip", "."])
def test_what_has_no_scheme_is_a_path(text):
    assert parse_location(text) == Path(text)


@pytest.mark.parametrize(
    ("text", "bucket", "key"),
    [
        ("s3://models/a.zip", "models", "a.zip"),
        ("s3://models/team/artifacts/0a_B-1.zip", "models", "team/artifacts/0a_B-1.zip"),
        ("s3://models/team/", "models", "team"),
        ("s3://my.models-1", "my.models-1", ""),
        ("s3://models/", "models", ""),
    ],
)
def test_a_place_in_a_bucket_is_bucket_and_key(text, bucket, key):
    location = parse_location(text)
    assert location == ObjectLocation(bucket, key)
    assert parse_location(str(location)) == location


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gs://models/a.zip", "gs://models/a.zip: gs:// is not supported; name a path or s3://BUCKET/KEY"),
        ("az://models/a.zip", "az:// is not supported"),
        ("S3://models/a.zip", "S3:// is not supported"),
        ("file:///a.zip", "file:// is not supported"),
        ("s3://", "'' is no bucket's name; write s3://BUCKET/KEY"),
        ("s3://Models/a.zip", "'Models' is no bucket's name"),
        ("s3://mo/a.zip", "'mo' is no bucket's name"),
        ("s3://models/../a.zip", "a key is letters, digits, - _ . and single slashes"),
        ("s3://models//a.zip", "a key is letters, digits"),
        ("s3://models/a b.zip", "a key is letters, digits"),
        ("s3://models/a.zip?versionId=1", "a key is letters, digits"),
    ],
)
def test_what_is_written_otherwise_is_refused_with_what_to_write(text, words):
    with pytest.raises(LocationError) as refused:
        parse_location(text)
    assert words in str(refused.value)


def test_a_password_in_a_name_is_refused_and_not_repeated():
    with pytest.raises(LocationError) as refused:
        parse_location("s3://key:hidden@models/a.zip")
    assert "hidden" not in str(refused.value)
    assert str(refused.value).startswith("s3://…@…: credentials stand in the environment and in no name; write s3://")


def test_what_lies_below_and_its_name():
    root = ObjectLocation("models", "")
    assert str(root.join("artifacts/a.zip")) == "s3://models/artifacts/a.zip"
    assert str(root.join("team").join("a.zip")) == "s3://models/team/a.zip"
    assert root.join("team/a.zip").name == "a.zip"
