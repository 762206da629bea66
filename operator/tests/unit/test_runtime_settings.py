import logging

import pytest

from model_operator.__main__ import run_operator
from model_operator.errors import SettingsError
from model_operator.settings import Settings, load_settings, split_names
from model_operator.telemetry import start_log


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("MODELPRESS_WATCH_NAMESPACES", "a,b")
    monkeypatch.setenv("MODELPRESS_KPI_SECONDS", "30")
    settings = load_settings()
    assert (settings.watch_namespaces, settings.kpi_seconds, settings.workers) == ("a,b", 30, 4)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("WORKERS", "none", "MODELPRESS_WORKERS is 'none': "),
        ("HEALTH_PORT", "70000", "MODELPRESS_HEALTH_PORT is '70000': "),
        ("LOG_LEVEL", "LOUD", "MODELPRESS_LOG_LEVEL is 'LOUD': "),
        ("STORE_URI", "gs://models", "MODELPRESS_STORE_URI is 'gs://models': "),
    ],
)
def test_a_wrong_value_is_told_by_its_variable(monkeypatch, capsys, name, value, words):
    monkeypatch.setenv(f"MODELPRESS_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(words)
    assert run_operator([]) == 2
    assert capsys.readouterr().err == f"modelpress-operator: {caught.value}\n"


PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMFkwEw==\n-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize("text", ["", PUBLIC_KEY, f"\n{PUBLIC_KEY}\n{PUBLIC_KEY}"])
def test_public_keys_come_one_after_the_other(monkeypatch, text):
    monkeypatch.setenv("MODELPRESS_SIGNING_PUBLIC_KEYS", text)
    assert load_settings().signing_public_keys == text


@pytest.mark.parametrize("kind", ["PRIVATE KEY", "EC PRIVATE KEY", "CERTIFICATE"])
def test_what_is_given_for_a_public_key_is_never_shown(monkeypatch, capsys, kind):
    mistake = PUBLIC_KEY + PUBLIC_KEY.replace("PUBLIC KEY", kind).replace("MFkwEw", "c2VjcmV0")
    monkeypatch.setenv("MODELPRESS_SIGNING_PUBLIC_KEYS", mistake)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == "MODELPRESS_SIGNING_PUBLIC_KEYS: holds something else than public keys in PEM"
    assert caught.value.__cause__ is None
    assert run_operator([]) == 2
    told = capsys.readouterr()
    assert "c2VjcmV0" not in told.out + told.err


@pytest.mark.parametrize("url", ["https://reader:s3cret@prometheus", "http://prometheus/?token=s3cret@x", "s3cret"])
def test_credentials_in_the_address_of_prometheus_are_refused_and_never_shown(monkeypatch, capsys, url):
    monkeypatch.setenv("MODELPRESS_PROMETHEUS_URL", url)
    with pytest.raises(SettingsError, match=r"^MODELPRESS_PROMETHEUS_URL: is no http:// or https:// URL, or holds"):
        load_settings()
    assert run_operator([]) == 2
    told = capsys.readouterr()
    assert "s3cret" not in told.out + told.err


@pytest.mark.parametrize("url", ["", "http://prometheus:9090", "https://prometheus.example/a/prefix/"])
def test_an_address_of_prometheus(monkeypatch, url):
    monkeypatch.setenv("MODELPRESS_PROMETHEUS_URL", url)
    assert load_settings().prometheus_url == url


@pytest.mark.parametrize(("text", "found"), [("", ()), ("a", ("a",)), (" a, b,,", ("a", "b"))])
def test_names_are_split(text, found):
    assert split_names(text) == found


def test_without_a_cluster_it_ends_with_its_own_status(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert run_operator([]) == 3
    assert "set KUBECONFIG" in capsys.readouterr().err


def test_help_names_every_variable(capsys):
    with pytest.raises(SystemExit) as ended:
        run_operator(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert all(f"MODELPRESS_{name.upper()}" in told for name in Settings.model_fields)


def test_libraries_are_quiet_unless_everything_is_wanted(monkeypatch):
    loggers = {name: logging.getLogger(name) for name in ("kopf", "urllib3", "")}
    for logger in loggers.values():
        monkeypatch.setattr(logger, "level", logging.NOTSET)
    monkeypatch.setattr(loggers[""], "handlers", [])
    start_log("INFO")
    assert (loggers["kopf"].level, loggers["urllib3"].level) == (logging.WARNING, logging.ERROR)
