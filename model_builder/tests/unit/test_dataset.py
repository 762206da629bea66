import hashlib
import io
import re
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from model_builder.dataset import FOLDER, TEST_FILE, TRAINING_FILES, download_cifar10, load_dataset, read_cifar10
from model_builder.errors import BuildInterruptedError, DataError, DownloadError
from model_builder.interruption import Interruption


@pytest.fixture(scope="module")
def binary_folder(tmp_path_factory):
    """Six files in the published layout with random records."""
    folder = tmp_path_factory.mktemp("data") / FOLDER
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in (*TRAINING_FILES, TEST_FILE):
        records = rng.integers(0, 256, (10_000, 3073), np.uint8)
        records[:, 0] %= 10
        records.tofile(folder / name)
    return folder


@pytest.fixture
def archive_server():
    """Serves one body on loopback, cut off after as many bytes as asked; yields a function that gives its URL."""
    servers = []

    def serve(body, send):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body[:send])

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/archive.tar.gz"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def small_archive():
    """A .tar.gz with the published folder and its six files, each holding its name; (bytes, sha256)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name in (*TRAINING_FILES, TEST_FILE):
            info = tarfile.TarInfo(f"{FOLDER}/{name}")
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    return out.getvalue(), hashlib.sha256(out.getvalue()).hexdigest()


def test_cifar10_is_read_in_its_published_layout(binary_folder):
    data = read_cifar10(binary_folder)
    first = np.fromfile(binary_folder / TRAINING_FILES[0], np.uint8, 3073)
    assert data.training_images.shape == (50_000, 32, 32, 3)
    assert data.test_images.shape == (10_000, 32, 32, 3)
    assert data.training_labels[0] == first[0]
    assert data.training_images[0, 0, 1].tolist() == [first[1 + 1], first[1 + 1024 + 1], first[1 + 2048 + 1]]
    assert data.training_images[0, 1, 0, 0] == first[1 + 32]


def test_data_that_is_neither_published_nor_a_copy_says_so(binary_folder):
    assert read_cifar10(binary_folder).facts.name == (
        "images in the layout of CIFAR-10 (neither its labels nor its pixels)"
    )


@pytest.mark.parametrize("below", [False, True])
def test_the_variable_names_the_folder_or_its_parent(below, binary_folder):
    given = binary_folder if below else binary_folder.parent
    data = load_dataset("CIFAR10", {"MODELPRESS_DATA": str(given)}, print)
    assert data.facts.training_images == 50_000


def test_a_folder_without_the_files_is_named(tmp_path):
    with pytest.raises(DataError, match=r"MODELPRESS_DATA=.*: no data_batch_1\.bin there nor in cifar-10-batches-bin/"):
        load_dataset("CIFAR10", {"MODELPRESS_DATA": str(tmp_path)}, print)


def test_a_file_that_is_cut_off_is_named(binary_folder, tmp_path):
    for name in (*TRAINING_FILES, TEST_FILE):
        (tmp_path / name).symlink_to(binary_folder / name)
    (tmp_path / TEST_FILE).unlink()
    (tmp_path / TEST_FILE).write_bytes(bytes(1000))
    with pytest.raises(DataError, match=r"test_batch\.bin: 1,000 bytes where 30,730,000 are expected"):
        read_cifar10(tmp_path)
    (tmp_path / TEST_FILE).unlink()
    with pytest.raises(DataError, match=r"test_batch\.bin: missing"):
        read_cifar10(tmp_path)


def test_a_whole_download_is_unpacked(archive_server, small_archive, tmp_path):
    body, sha256 = small_archive
    download_cifar10(tmp_path, print, url=archive_server(body, len(body)), size=len(body), sha256=sha256)
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]
    found = {path.name: path.read_text() for path in (tmp_path / FOLDER).iterdir()}
    assert found == {name: name for name in (*TRAINING_FILES, TEST_FILE)}


def test_a_truncated_download_leaves_nothing(archive_server, small_archive, tmp_path):
    body, sha256 = small_archive
    url = archive_server(body, len(body) - 10)
    with pytest.raises(DownloadError, match=f"ended after {len(body) - 10} of {len(body)} bytes"):
        download_cifar10(tmp_path, print, url=url, size=len(body), sha256=sha256)
    assert list(tmp_path.iterdir()) == []


def test_a_download_tells_percent_size_and_rate(archive_server, small_archive, tmp_path, monkeypatch):
    body, sha256 = small_archive
    told = []
    monkeypatch.setattr("model_builder.download.SECONDS_BETWEEN_REPORTS", 0.0)
    monkeypatch.setattr("model_builder.dataset._CHUNK_BYTES", 100)
    size, url = len(body), archive_server(body, len(body))
    download_cifar10(tmp_path, lambda progress: told.append(progress.message), url=url, size=size, sha256=sha256)
    pattern = re.compile(r"downloading CIFAR-10: (\d+) %, 0 of 0 MB, \d+\.\d MB/s")
    percents = [int(pattern.fullmatch(message)[1]) for message in told]
    assert percents == sorted(percents)
    assert len(percents) >= size // 100
    assert percents[-1] == 100


def test_a_download_ends_when_the_process_is_asked_to(archive_server, small_archive, tmp_path):
    body, sha256 = small_archive
    interruption = Interruption()
    interruption.ask()
    with pytest.raises(BuildInterruptedError, match="while CIFAR-10 was downloaded; nothing of the download is kept"):
        download_cifar10(
            tmp_path,
            print,
            interruption,
            url=archive_server(body, len(body)),
            size=len(body),
            sha256=sha256,
        )
    assert list(tmp_path.iterdir()) == []


def test_another_checksum_is_refused(archive_server, small_archive, tmp_path):
    body, _ = small_archive
    with pytest.raises(DownloadError, match="not the published 0000"):
        download_cifar10(tmp_path, print, url=archive_server(body, len(body)), size=len(body), sha256="0000")
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_address_names_the_remedy(tmp_path):
    with pytest.raises(DownloadError, match=r"cannot be downloaded .*; set MODELPRESS_DATA"):
        download_cifar10(tmp_path, print, url="http://127.0.0.1:9/archive.tar.gz", size=1, sha256="0")


def test_digits_need_no_download():
    data = load_dataset("Digits", {}, print)
    assert data.facts.name == "scikit-learn digits"
    assert data.training_images.shape == (1437, 8, 8, 1)
    assert data.test_images.max() == 255
    assert sorted(set(data.test_labels.tolist())) == list(range(10))
