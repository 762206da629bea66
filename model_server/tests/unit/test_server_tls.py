import json
import subprocess

import grpc
import pytest

from model_server.errors import StartupError
from model_server.tls import load_credentials

MARKED_KEY = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"
MARKED_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Two keys with their certificates, in PEM."""
    folder = tmp_path_factory.mktemp("tls")
    made = []
    for name in ("one", "two"):
        files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt", "-subj", f"/CN={name}"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        subprocess.run(["openssl", "req", "-x509", *curve, *files], check=True, capture_output=True)
        made.append(((folder / f"{name}.key").read_text(), (folder / f"{name}.crt").read_text()))
    return made


@pytest.fixture
def write(tmp_path):
    def write_config(**parts):
        file = tmp_path / "ssl.txt"
        file.write_text("\n".join(f"{name}: {json.dumps(value)}" for name, value in parts.items()))
        return str(file)

    return write_config


def test_no_file_means_no_encryption():
    assert load_credentials("", use_alts=False) is None


def test_key_and_certificate_make_credentials(write, pairs):
    (key, certificate), (_, authority) = pairs
    file = write(server_key=key, server_cert=certificate)
    assert isinstance(load_credentials(file, use_alts=False), grpc.ServerCredentials)
    file = write(server_key=key, server_cert=certificate, custom_ca=authority, client_verify=True)
    assert isinstance(load_credentials(file, use_alts=False), grpc.ServerCredentials)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"server_cert": MARKED_CERTIFICATE}, "has no server_key: it holds the PEM text itself, not a path"),
        ({"server_key": MARKED_KEY, "server_cert": "/tls/server.crt"}, "has no server_cert: it holds the PEM text"),
        (
            {"server_key": MARKED_KEY, "server_cert": MARKED_CERTIFICATE, "client_verify": True},
            "client_verify without custom_ca",
        ),
        ({"server_key": MARKED_KEY, "server_cert": MARKED_CERTIFICATE}, "are damaged, encrypted or not of each other"),
        ({"key": MARKED_KEY}, "Error parsing text-format tensorflow.serving.SSLConfig"),
    ],
)
def test_incomplete_config_is_refused(write, parts, message):
    with pytest.raises(StartupError, match=message):
        load_credentials(write(**parts), use_alts=False)


def test_what_does_not_belong_together_is_refused(write, pairs):
    (key, certificate), (_, other) = pairs
    with pytest.raises(StartupError, match="are damaged, encrypted or not of each other"):
        load_credentials(write(server_key=key, server_cert=other), use_alts=False)
    with pytest.raises(StartupError, match="custom_ca is no certificate"):
        load_credentials(
            write(server_key=key, server_cert=certificate, custom_ca=MARKED_CERTIFICATE, client_verify=True),
            use_alts=False,
        )


def test_alts_is_refused_rather_than_left_out():
    with pytest.raises(StartupError, match=r"^--use_alts_credentials=true works between"):
        load_credentials("", use_alts=True)
