"""Runs versitygw as a process on 127.0.0.1, with a folder behind it in which each folder is a bucket."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from loopback import HOST, free_ports

from store.errors import StoreServerError

READY_SECONDS = 30
_STOP_SECONDS = 10
ACCESS_KEY = "modelpress"
SECRET_KEY = "not-a-secret-of-anyone"  # noqa: S105  of a server that lives as long as a test
REGION = "us-east-1"


class StoreServer:
    """One S3 server, which may be ended and started again over the same data.

    Attributes:
        port: on 127.0.0.1; the same after a new start.
        data: folder with a folder for each bucket.
    """

    def __init__(self, program: Path, folder: Path) -> None:
        self._program, self._folder = program, folder
        self.port = free_ports(1)[0]
        self.data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Run it until it answers.

        Raises:
            StoreServerError: when it does not, with its last words.
        """
        places = {name: self._folder / name for name in ("data", "users", "metadata")}
        for place in places.values():
            place.mkdir(parents=True, exist_ok=True)
        log = self._folder / "server.log"
        command = [self._program, "--port", f"{HOST}:{self.port}", "--region", REGION, "--health", "/health"]
        command += ["--iam-dir", places["users"], "posix", "--sidecar", places["metadata"], places["data"]]
        keys = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
        with log.open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **keys})
        deadline = time.monotonic() + READY_SECONDS
        while problem := self._find_problem():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = log.read_text(errors="replace")[-1000:]
                raise StoreServerError(f"versitygw is not ready ({problem}): {words}")
            time.sleep(0.05)

    def _find_problem(self) -> str:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2):  # noqa: S310 - loopback
                return ""
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            return str(error)

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it in an orderly way."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def make_bucket(self, name: str) -> Path:
        """A new bucket, which the first user owns; its folder."""
        folder = self.data / name
        folder.mkdir()
        return folder

    def add_user(self, access_key: str, secret_key: str) -> None:
        """A user who may do nothing in the buckets of others.

        Raises:
            StoreServerError: when the server refuses.
        """
        command = [self._program, "admin", "--access", ACCESS_KEY, "--secret", SECRET_KEY, "--region", REGION]
        command += ["--endpoint-url", self.url, "create-user", "--role", "user"]
        command += ["--access", access_key, "--secret", secret_key]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise StoreServerError(f"versitygw makes no user: {done.stdout}{done.stderr}")


def render_environment(port: int, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> dict[str, str]:
    """The variables by which programs reach the server, or whatever stands before it."""
    return {
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_REGION": REGION,
    }
