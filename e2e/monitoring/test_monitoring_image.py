"""The image of Prometheus: what it holds, and that this is enough."""

import io
import json
import subprocess
import tarfile

import pytest
from images.archive import read_archive

from monitoring.errors import MonitoringError
from monitoring.image import write_image
from monitoring.loopback_exporter import loopback_exporter
from monitoring.programs import parse_version
from monitoring.running import running_prometheus

PAGE = """# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="digits",status="OK"} 12
"""
CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: exporter
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@pytest.fixture
def image_root(prometheus_image, tmp_path):
    """The image's only layer, unpacked."""
    with tarfile.open(prometheus_image.archive) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))
        (name,) = manifest["Layers"]
        layer = archive.extractfile(name).read()
    root = tmp_path / "root"
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert tar.getnames() == ["bin/prometheus"]
        tar.extract("bin/prometheus", root)
    return root


def test_it_runs_without_rights_and_is_named_by_its_version(prometheus_image):
    archive = read_archive(prometheus_image.archive)
    assert archive.config["config"] == {"Entrypoint": ["/bin/prometheus"], "User": "65534:65534"}
    assert archive.names == (prometheus_image.name,)
    assert prometheus_image.name.startswith("localhost/prometheus:3.")


def test_a_second_run_builds_nothing(prometheus_image):
    told = []
    before = prometheus_image.archive.stat()
    assert write_image(told.append) == prometheus_image
    assert told == []
    assert prometheus_image.archive.stat() == before


def test_it_scrapes_and_answers_with_nothing_but_the_one_file(image_root, tmp_path):
    program = image_root / "bin" / "prometheus"
    assert b"ld-linux" not in program.read_bytes()[:4096]  # static: no loader, no libraries
    config = tmp_path / "prometheus.yml"
    with loopback_exporter(PAGE) as exporter:
        config.write_text(CONFIG.format(port=exporter.port))
        with running_prometheus([program], config, tmp_path / "data") as prometheus:
            found = prometheus.wait_for_series('{__name__=":tensorflow:serving:request_count"}', bool)
    ((labels, value),) = found
    assert value == 12
    assert (labels["model_name"], labels["status"]) == ("digits", "OK")


@pytest.mark.parametrize(
    ("discovery", "known"),
    [
        ("kubernetes_sd_configs: [{role: pod}]", True),
        ("file_sd_configs: [{files: [targets.json]}]", True),
        ("http_sd_configs: [{url: 'http://127.0.0.1/'}]", True),
        ("ec2_sd_configs: [{region: eu-west-1}]", False),
    ],
)
def test_it_is_built_with_the_discoveries_that_a_cluster_needs(prometheus_image, tmp_path, discovery, known):
    config = tmp_path / "prometheus.yml"
    config.write_text(f"scrape_configs: [{{job_name: pods, {discovery}}}]")
    command = [prometheus_image.programs / "promtool", "check", "config", "--syntax-only", config]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (checked.returncode == 0) is known, checked.stderr


@pytest.mark.parametrize(("module", "version"), [("v0.305.1", "3.5.1"), ("v0.310.0", "3.10.0"), ("v0.53.2", None)])
def test_the_version_is_that_of_the_module(module, version):
    line = f"\tgithub.com/prometheus/prometheus {module} // indirect\n"
    if version:
        assert parse_version(line) == version
    else:
        with pytest.raises(
            MonitoringError, match=r"e2e/monitoring/go/go\.mod does not name github\.com/prometheus/prometheus"
        ):
            parse_version(line)
