"""What goes wrong with a store, and that it is said in one sentence and leaves nothing half done."""

import threading
import time

import pytest

from model_artifact import object_store, sources
from model_artifact.__main__ import main
from model_artifact.errors import AccessDeniedError, ObjectMissingError, UnreachableError
from model_artifact.inspection import inspect
from model_artifact.location import parse_location
from model_artifact.object_store import Bucket
from model_artifact.summary import parse_failure
from model_artifact.unpacking import unpack
from store.conftest import BRIEF
from store.line import open_line
from store.server import SECRET_KEY


@pytest.fixture
def brief(monkeypatch):
    """Commands wait as briefly as the tests do."""
    monkeypatch.setattr(object_store.Bucket.__init__, "__defaults__", (BRIEF,))


def run_and_explain(capsys, *arguments):
    """Exit code, and the one sentence on stderr without the program's name."""
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("model-artifact: ")]
    assert (out, len(lines)) == ("", 1), (out, err)
    assert SECRET_KEY not in err
    return code, lines[0].removeprefix("model-artifact: ")


@pytest.mark.parametrize("command", ["inspect", "verify", "unpack"])
def test_a_missing_object_is_bad_input(command, bucket, tmp_path, capsys):
    uri, extra = f"s3://{bucket.name}/no.zip", [tmp_path / "1"] if command == "unpack" else []
    expected = f"{uri}: there is no such object; correct the key, or put it there"
    assert run_and_explain(capsys, command, uri, *extra) == (2, expected)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_bucket_is_named(environment, small_artifact, tmp_path, capsys):
    del environment
    words = "there is no such bucket; make it, or correct the name"
    assert run_and_explain(capsys, "inspect", "s3://nowhere/a.zip") == (2, f"s3://nowhere/a.zip: {words}")
    unpack(small_artifact, tmp_path / "1")
    uri = "s3://nowhere/b.zip"
    assert run_and_explain(capsys, "pack", tmp_path / "1", uri) == (2, f"{uri}: {words}")
    assert run_and_explain(capsys, "gc", "s3://nowhere", "--keep-recipes") == (2, f"s3://nowhere/artifacts: {words}")


def test_another_users_bucket_is_denied(server, bucket, small_artifact, through, tmp_path, capsys):
    bucket.upload(small_artifact, "a.zip")
    server.add_user("somebody", "somebodys-own-key")
    through(server.port, "somebody", "somebodys-own-key")
    uri, summary = f"s3://{bucket.name}/a.zip", tmp_path / "summary"
    denied = (
        f"{uri}: access is denied (AccessDenied); allow these credentials to get, put and list here"
        " (s3:GetObject, s3:PutObject, s3:ListBucket)"
    )
    assert run_and_explain(capsys, "unpack", uri, tmp_path / "1", "--summary", summary) == (6, denied)
    failure = parse_failure(summary.read_text())
    assert (failure.error, failure.permanent) == (denied, False)
    unpack(small_artifact, tmp_path / "2")
    assert run_and_explain(capsys, "pack", tmp_path / "2", uri) == (6, denied)
    code, sentence = run_and_explain(capsys, "gc", f"s3://{bucket.name}", "--keep-recipes")
    assert (code, sentence) == (6, denied.replace("a.zip", "artifacts"))


@pytest.mark.parametrize(
    ("keys", "code"),
    [(("modelpress", "wrong-secret-key"), "SignatureDoesNotMatch"), (("nobody", SECRET_KEY), "InvalidAccessKeyId")],
)
def test_wrong_credentials_are_told_apart_from_missing_rights(keys, code, server, bucket, through, capsys):
    through(server.port, *keys)
    expected = f"the store refuses the credentials ({code}); correct those in the environment"
    uri = f"s3://{bucket.name}/a.zip"
    assert run_and_explain(capsys, "inspect", uri) == (6, f"{uri}: {expected}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"AWS_ACCESS_KEY_ID": ""}, "the environment has no credentials; set AWS_ACCESS_KEY_ID"),
        ({"AWS_ENDPOINT_URL": "nonsense here"}, "AWS_ENDPOINT_URL is no URL of a server; write http:// or https://"),
        ({"AWS_ENDPOINT_URL": f"http://me:{SECRET_KEY}@127.0.0.1"}, "AWS_ENDPOINT_URL is no URL of a server"),
        ({"AWS_CA_BUNDLE": "no/such.pem"}, "AWS_CA_BUNDLE names no/such.pem, which cannot be read; mount it"),
    ],
)
def test_an_environment_that_leads_nowhere_is_told_before_anything_is_sent(
    changes, words, environment, monkeypatch, capsys
):
    for name, value in (environment | changes).items():
        monkeypatch.setenv(name, value)
    code, sentence = run_and_explain(capsys, "inspect", "s3://bucket/a.zip")
    assert code == 6
    assert words in sentence


@pytest.mark.usefixtures("brief")
def test_an_endpoint_that_nothing_listens_on_is_tried_again_and_then_named(server, through, tmp_path, capsys):
    with open_line(server.port) as line:
        port = line.port
    through(port)
    uri = "s3://bucket/a.zip"
    expected = f"{uri}: the endpoint cannot be used, the connection is refused; check AWS_ENDPOINT_URL and the server"
    assert run_and_explain(capsys, "unpack", uri, tmp_path / "1") == (6, expected)


def test_other_schemes_are_refused_with_what_is_taken(capsys):
    for scheme in ("gs", "az", "file", "S3"):
        with pytest.raises(SystemExit) as ended:
            main(["inspect", f"{scheme}://bucket/a.zip"])
        assert ended.value.code == 2
        words = f"{scheme}:// is not supported; name a path or s3://BUCKET/KEY"
        assert words in capsys.readouterr().err


def test_a_server_killed_while_it_sends_gives_what_came_and_then_says_so(own_server, large_artifact, through):
    own_server.make_bucket("models")
    environment = through(own_server.port)
    Bucket("models", environment, BRIEF).upload(large_artifact, "large.zip")
    with open_line(own_server.port) as line:
        source = Bucket("models", through(line.port), BRIEF).open("large.zip")
        line.after(3_000_000, own_server.kill)
        pieces = []
        with pytest.raises(UnreachableError, match=r"^s3://models/large.zip: the endpoint cannot be used"):
            pieces.extend(source.stream(0, source.size_bytes))
    assert 2_000_000 < sum(map(len, pieces)) < 10_000_000
    assert b"".join(pieces) == large_artifact.read_bytes()[: sum(map(len, pieces))]


@pytest.mark.usefixtures("brief")
def test_a_server_killed_while_an_artifact_is_unpacked_leaves_no_folder(
    own_server, large_artifact, through, tmp_path, capsys
):
    own_server.make_bucket("models")
    Bucket("models", through(own_server.port), BRIEF).upload(large_artifact, "large.zip")
    with open_line(own_server.port) as line:
        through(line.port)
        line.after(8_000_000, own_server.kill)
        code, sentence = run_and_explain(capsys, "unpack", "s3://models/large.zip", tmp_path / "out" / "1")
    assert code == 6
    assert sentence.startswith("s3://models/large.zip: the endpoint cannot be used, ")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.usefixtures("brief")
def test_a_server_killed_while_it_receives_has_no_object_afterwards(
    own_server, large_artifact, through, tmp_path, capsys
):
    own_server.make_bucket("models")
    unpack(large_artifact, tmp_path / "1")
    with open_line(own_server.port) as line:
        through(line.port)
        line.after(9_000_000, own_server.kill)
        code, sentence = run_and_explain(capsys, "pack", tmp_path / "1", "s3://models/large.zip")
    assert code == 6
    assert sentence.startswith("s3://models/large.zip: the endpoint cannot be used, ")
    own_server.start()
    bucket = Bucket("models", through(own_server.port), BRIEF)
    assert bucket.list_objects("") == []
    with pytest.raises(ObjectMissingError):
        bucket.open("large.zip")
    assert main(["pack", str(tmp_path / "1"), "s3://models/large.zip"]) == 0
    assert [each.key for each in bucket.list_objects("")] == ["large.zip"]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(bucket, large_artifact, line, through):
    """The server is there all the time; the line to it is cut once, and the rest comes on another."""
    bucket.upload(large_artifact, "large.zip")
    source = Bucket(bucket.name, through(line.port), BRIEF).open("large.zip")
    line.after(3_000_000, line.cut)
    assert b"".join(source.stream(0, source.size_bytes)) == large_artifact.read_bytes()
    assert line.carried_bytes < 2 * source.size_bytes


def test_a_slow_server_is_waited_for(bucket, small_artifact, line, through):
    """Each piece takes a third of the silence that is allowed; all of it takes longer."""
    bucket.upload(small_artifact, "a.zip")
    slow = Bucket(bucket.name, through(line.port), BRIEF)
    line.seconds_a_piece = BRIEF.silence_seconds / 3
    begun = time.monotonic()
    source = slow.open("a.zip")
    assert b"".join(source.stream(0, source.size_bytes)) == small_artifact.read_bytes()
    assert time.monotonic() - begun > BRIEF.silence_seconds


def test_a_silent_server_is_given_up(bucket, small_artifact, line, through):
    bucket.upload(small_artifact, "a.zip")
    line.silent = True
    begun = time.monotonic()
    with pytest.raises(UnreachableError, match=r"the endpoint cannot be used, it does not answer in time; check AWS_"):
        Bucket(bucket.name, through(line.port), BRIEF).open("a.zip")
    assert time.monotonic() - begun < BRIEF.retry_seconds + 10
    line.silent = False


def test_an_object_that_was_altered_in_the_store_is_never_unpacked(
    bucket, bucket_folder, large_artifact, tmp_path, capsys
):
    bucket.upload(large_artifact, "large.zip")
    stored = bucket_folder / "large.zip"
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(bytes(data))
    uri = f"s3://{bucket.name}/large.zip"
    code, sentence = run_and_explain(capsys, "unpack", uri, tmp_path / "1")
    assert (code, "fetch or pack it again" in sentence) == (3, True)
    assert not (tmp_path / "1").exists()
    assert run_and_explain(capsys, "verify", uri)[0] == 3


def test_an_object_that_is_replaced_while_it_is_read_is_not_mixed(bucket, large_artifact, small_artifact):
    bucket.upload(large_artifact, "a.zip")
    source = bucket.open("a.zip")
    bucket.upload(small_artifact, "a.zip")
    with pytest.raises(UnreachableError, match="the object was replaced while it was read; try again"):
        source.read_at(0, 100)


def test_what_an_upload_sends_is_compared_with_its_checksum(bucket, large_artifact, line, through):
    """One byte of the first part changes on its way; the server refuses it, and no object appears."""
    altering = Bucket(bucket.name, through(line.port), BRIEF)
    line.alter_at = 3_000_000
    with pytest.raises((UnreachableError, AccessDeniedError)):
        altering.upload(large_artifact, "large.zip")
    assert bucket.list_objects("") == []


def test_without_obstore_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "model_artifact.object_store", None)
    with pytest.raises(object_store.StoreAccessError, match=r"install modelpress-artifact\[s3\]"):
        sources.open_bucket("models")


def test_many_read_one_object_at_once(bucket, large_artifact):
    bucket.upload(large_artifact, "large.zip")
    found, threads = [], []
    for _ in range(4):
        task = threading.Thread(target=lambda: found.append(inspect(parse_location(f"s3://{bucket.name}/large.zip"))))
        threads.append(task)
        task.start()
    for task in threads:
        task.join()
    assert found == [inspect(large_artifact)] * 4
