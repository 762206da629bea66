"""The node's certificates: one authority, and a key for each who must be known. Made by openssl, valid for 30 days."""

import subprocess
from pathlib import Path

from cluster.places import API_SERVICE_ADDRESS, NODE_ADDRESS, NODE_NAME

DAYS = "30"

_SERVER_NAMES = "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1"
IDENTITIES = {
    "apiserver": ("/CN=kube-apiserver", f"{_SERVER_NAMES},IP:{NODE_ADDRESS},IP:{API_SERVICE_ADDRESS}"),
    "admin": ("/O=system:masters/CN=admin", "DNS:admin"),
    "kubelet-client": ("/O=system:masters/CN=kube-apiserver-kubelet-client", "DNS:kubelet-client"),
    "controllers": ("/CN=system:kube-controller-manager", "DNS:controllers"),
    "scheduler": ("/CN=system:kube-scheduler", "DNS:scheduler"),
    "proxy": ("/CN=system:kube-proxy", "DNS:proxy"),
    "node": (f"/O=system:nodes/CN=system:node:{NODE_NAME}", f"DNS:{NODE_NAME},IP:{NODE_ADDRESS}"),
    "front-proxy": ("/CN=front-proxy-client", "DNS:front-proxy"),
}


def write_certificates(folder: Path) -> None:
    """The authority, the key of service accounts, and every identity; nothing when they are there already."""
    if (folder / "complete").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    _openssl(folder, "genrsa", "-out", "sa.key", "2048")
    _openssl(folder, "rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")
    authority = ("-x509", "-days", DAYS, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=modelpress-cluster")
    _openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", *authority)
    for name, (subject, names) in IDENTITIES.items():
        _write_identity(folder, name, subject, names)
    (folder / "complete").touch()


def _write_identity(folder: Path, name: str, subject: str, names: str) -> None:
    request = ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
    _openssl(folder, "req", *request)
    (folder / f"{name}.ext").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", DAYS, "-extfile", f"{name}.ext")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *signed)


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def format_kubeconfig(pki: Path, server: str, identity: str) -> str:
    """A kubeconfig that names the server and an identity by its files."""
    return f"""apiVersion: v1
kind: Config
clusters:
- name: modelpress
  cluster: {{server: "{server}", certificate-authority: "{pki}/ca.crt"}}
users:
- name: {identity}
  user: {{client-certificate: "{pki}/{identity}.crt", client-key: "{pki}/{identity}.key"}}
contexts:
- name: modelpress
  context: {{cluster: modelpress, user: {identity}}}
current-context: modelpress
"""
