"""A Prometheus that does not let everybody in, asked by the operator's client: passwords, tokens, certificates."""

import base64
import contextlib
import logging
import shutil
import ssl
import threading
import traceback
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from loopback import HOST

from model_operator.errors import PrometheusError
from model_operator.prometheus import Access, ApiPrometheus
from monitoring.certificates import write_authority, write_certificate
from monitoring.running import running_prometheus

PASSWORD = "pässword"  # noqa: S105 - of a Prometheus that lives for a test
# By bcrypt with cost 4.
HASH = "$2b$04$LOQohZgf1GLCKcCs7Ykjje.8Pl0/49BeqosGaZTdkvtu1GsC5nmYi"
TLS = "tls_server_config: {{cert_file: {pki}/server.crt, key_file: {pki}/server.key{more}}}\n"
ONE = [({}, 1.0)]


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """A folder with an authority, the certificates of a server and a client, and strangers to them."""
    folder = tmp_path_factory.mktemp("pki")
    for authority, names in (("ca", ("server", "client")), ("other-ca", ("stranger",))):
        write_authority(folder, authority)
        for name in names:
            write_certificate(folder, name, authority)
    return folder


def make_opener(pki, client="", header=""):
    """Asks as somebody who is let in."""
    context = ssl.create_default_context(cafile=pki / "ca.crt")
    if client:
        context.load_cert_chain(pki / f"{client}.crt", pki / f"{client}.key")
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    opener.addheaders = [("Authorization", header)] if header else []
    return opener


@contextlib.contextmanager
def serving(programs, folder, web_config, opener):
    """A Prometheus with that web configuration; its URL."""
    folder.mkdir()
    (folder / "web.yml").write_text(web_config)
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    options = {"web_config": folder / "web.yml", "opener": opener}
    with running_prometheus(
        [programs / "prometheus"], folder / "prometheus.yml", folder / "data", **options
    ) as running:
        yield running.url


@pytest.fixture(scope="module")
def with_password(prometheus_image, pki, tmp_path_factory):
    """URL of one that asks for a password."""
    config = TLS.format(pki=pki, more="") + f"basic_auth_users: {{reader: {HASH}}}\n"
    header = f"Basic {base64.b64encode(f'reader:{PASSWORD}'.encode()).decode()}"
    folder = tmp_path_factory.mktemp("password") / "prometheus"
    with serving(prometheus_image.programs, folder, config, make_opener(pki, header=header)) as url:
        yield url


@pytest.fixture(scope="module")
def with_certificates(prometheus_image, pki, tmp_path_factory):
    """URL of one that asks for a client's certificate."""
    more = f", client_auth_type: RequireAndVerifyClientCert, client_ca_file: {pki}/ca.crt"
    folder = tmp_path_factory.mktemp("certificates") / "prometheus"
    config = TLS.format(pki=pki, more=more)
    with serving(prometheus_image.programs, folder, config, make_opener(pki, client="client")) as url:
        yield url


class BearerProxy(ThreadingHTTPServer):
    """Stands before a Prometheus and lets in who has the token of the hour.

    Attributes:
        accepted: the token that it takes.
    """

    daemon_threads = True

    def __init__(self, opener, url, pki):
        super().__init__((HOST, 0), _Proxied)
        self.opener, self.url, self.accepted = opener, url, None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki / "server.crt", pki / "server.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)


class _Proxied(BaseHTTPRequestHandler):
    def do_GET(self):
        """Ask Prometheus for who may."""
        if self.headers.get("Authorization") == f"Bearer {self.server.accepted}":
            with self.server.opener.open(f"{self.server.url}{self.path}", timeout=5) as answer:
                status, body = answer.status, answer.read()
        else:
            status, body = 401, b"no token of mine"
        self.send_response_only(status)  # unlike send_response it writes no log
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def with_token(with_certificates, pki):
    """A proxy that asks for a token, before the Prometheus that asks for a certificate."""
    proxy = BearerProxy(make_opener(pki, client="client"), with_certificates, pki)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
    thread.start()
    yield proxy
    proxy.shutdown()
    thread.join()
    proxy.server_close()


@pytest.fixture
def secret(pki, tmp_path):
    """Fills a folder as a mounted Secret would be: texts by their key, and files of the authorities'."""

    def write(texts=None, **files):
        for name, text in (texts or {}).items():
            (tmp_path / name).write_text(text)
        for name, file in files.items():
            shutil.copy(pki / file, tmp_path / name.replace("_", "."))
        return tmp_path

    return write


def ask(url, folder=None, **access):
    return ApiPrometheus(url, timeout_seconds=5, access=Access(folder, **access)).query("vector(1)")


def test_a_password_opens(with_password, secret):
    folder = secret({"username": "reader", "password": f"{PASSWORD}\n"}, ca_crt="ca.crt")
    assert ask(with_password, folder) == ONE


def test_a_time_out_need_not_be_of_whole_seconds(with_password, secret):
    folder = secret({"username": "reader", "password": PASSWORD}, ca_crt="ca.crt")
    assert ApiPrometheus(with_password, timeout_seconds=4.5, access=Access(folder)).query("vector(1)") == ONE


def test_a_password_is_read_anew_for_each_question(with_password, secret):
    folder = secret({"username": "reader", "password": "wrong"}, ca_crt="ca.crt")
    prometheus = ApiPrometheus(with_password, timeout_seconds=5, access=Access(folder))
    with pytest.raises(PrometheusError, match=r"does not answer: HTTP 401: Unauthorized$"):
        prometheus.query("vector(1)")
    secret({"password": PASSWORD})
    assert prometheus.query("vector(1)") == ONE


def test_without_credentials_it_stays_shut(with_password, secret):
    with pytest.raises(PrometheusError, match=r"HTTP 401: Unauthorized$"):
        ask(with_password, secret(ca_crt="ca.crt"))


@pytest.mark.parametrize("files", [{}, {"ca_crt": "other-ca.crt"}])
def test_a_server_of_an_unknown_authority_is_sent_nothing(files, with_token, secret):
    folder = secret({"token": "s3cret"}, **files)
    with pytest.raises(PrometheusError, match=r"does not answer: .*CERTIFICATE_VERIFY_FAILED"):
        ask(f"https://{HOST}:{with_token.server_port}", folder)


def test_any_certificate_is_taken_by_explicit_setting_alone(with_password, secret):
    folder = secret({"username": "reader", "password": PASSWORD})
    assert ask(with_password, folder, insecure=True) == ONE


def test_a_clients_certificate_opens(with_certificates, secret):
    assert ask(with_certificates, secret(ca_crt="ca.crt", tls_crt="client.crt", tls_key="client.key")) == ONE


@pytest.mark.parametrize("files", [{}, {"tls_crt": "stranger.crt", "tls_key": "stranger.key"}])
def test_without_one_of_its_authority_it_stays_shut(files, with_certificates, secret):
    with pytest.raises(PrometheusError, match=rf"^Prometheus at {with_certificates} does not answer: "):
        ask(with_certificates, secret(ca_crt="ca.crt", **files))


def test_a_certificate_without_its_key_is_told(with_certificates, secret):
    with pytest.raises(PrometheusError, match=rf"^Prometheus at {with_certificates} does not answer: "):
        ask(with_certificates, secret(ca_crt="ca.crt", tls_crt="client.crt", tls_key="stranger.key"))


def test_an_authority_that_is_none_is_told(with_password, secret):
    with pytest.raises(PrometheusError, match=rf"^Prometheus at {with_password} does not answer: "):
        ask(with_password, secret({"ca.crt": "no certificate"}))


def test_a_token_opens_and_a_rotated_one_is_used_at_the_next_question(with_token, secret):
    with_token.accepted = "first"
    folder = secret({"token": "first\n"}, ca_crt="ca.crt")
    prometheus = ApiPrometheus(f"https://{HOST}:{with_token.server_port}/", timeout_seconds=5, access=Access(folder))
    assert prometheus.query("vector(1)") == ONE
    with_token.accepted = "second"
    with pytest.raises(PrometheusError, match=r"HTTP 401: no token of mine$"):
        prometheus.query("vector(1)")
    secret({"token": "second\n"})
    assert prometheus.query("vector(1)") == ONE


def test_no_log_and_no_error_shows_a_credential(with_token, secret, caplog):
    caplog.set_level(logging.DEBUG)
    with_token.accepted = "another"
    folder = secret({"token": "s3cret-token"}, ca_crt="ca.crt")
    with pytest.raises(PrometheusError) as caught:
        ask(f"https://{HOST}:{with_token.server_port}", folder)
    assert "/api/v1/query" in caplog.text
    told = "".join(traceback.format_exception(caught.value))
    assert "s3cret" not in f"{caplog.text}{told}{Access(folder)!r}"
