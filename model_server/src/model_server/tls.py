"""TLS for the gRPC ports, from an SSLConfig."""

import os
import ssl
from pathlib import Path

import grpc

from model_server._protos import ssl_config_pb2
from model_server.errors import StartupError
from model_server.text_config import load_text_config

_CERTIFICATE, _KEY = "-----BEGIN CERTIFICATE-----", "PRIVATE KEY-----"


def load_credentials(ssl_config_file: str, *, use_alts: bool) -> grpc.ServerCredentials | None:
    """The credentials of an --ssl_config_file; None without one, which means no encryption.

    Raises:
        StartupError: The file cannot be read, or holds no key and certificate in PEM; or ALTS is asked for.
    """
    if use_alts:
        raise StartupError(
            "--use_alts_credentials=true works between services of Google's own cloud only: give --ssl_config_file, or"
            " false for no encryption."
        )
    if not ssl_config_file:
        return None
    config = load_text_config(Path(ssl_config_file), ssl_config_pb2.SSLConfig(), "ssl_config_file")
    for name, mark in (("server_key", _KEY), ("server_cert", _CERTIFICATE)):
        if mark not in getattr(config, name):
            raise StartupError(
                f"--ssl_config_file={ssl_config_file} has no {name}: it holds the PEM text itself, not a path to it."
            )
    if config.client_verify and not config.custom_ca:
        raise StartupError(
            f"--ssl_config_file={ssl_config_file} has client_verify without custom_ca: give the authority's"
            " certificate that clients are verified against."
        )
    _check_pair(config, ssl_config_file)
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None if config.client_verify else None,
        require_client_auth=config.client_verify,
    )


def _check_pair(config: ssl_config_pb2.SSLConfig, file: str) -> None:
    """Have OpenSSL read what gRPC would refuse without a reason, at the port or at the first handshake.

    It takes keys from files only; this one is in memory and has no name.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with os.fdopen(os.memfd_create("server-key"), "wb", buffering=0) as memory:
        memory.write(f"{config.server_cert}\n{config.server_key}".encode())
        try:
            context.load_cert_chain(f"/proc/self/fd/{memory.fileno()}", password=lambda: "")
        except (ssl.SSLError, OSError) as error:
            raise StartupError(
                f"--ssl_config_file={file}: server_key and server_cert are damaged, encrypted or not of each other:"
                f" {error}."
            ) from error
    try:
        context.load_verify_locations(cadata=config.custom_ca or config.server_cert)
    except ssl.SSLError as error:
        raise StartupError(f"--ssl_config_file={file}: custom_ca is no certificate: {error}.") from error
