"""Authorities and certificates for loopback, made by openssl, valid for a day."""

import subprocess
from pathlib import Path

from loopback import HOST


def write_authority(folder: Path, name: str) -> None:
    """An authority: NAME.crt and NAME.key."""
    options = ("-days", "1", "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}")
    _openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *options)


def write_certificate(folder: Path, name: str, authority: str) -> None:
    """A certificate for this machine's loopback or a client, signed by an authority: NAME.crt and NAME.key."""
    request = ("-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    _openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *request)
    (folder / f"{name}.ext").write_text(f"subjectAltName=IP:{HOST}\nextendedKeyUsage=serverAuth,clientAuth\n")
    signed = ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", "1")
    command = ("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", "-extfile", f"{name}.ext")
    _openssl(folder, *command, *signed)


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
