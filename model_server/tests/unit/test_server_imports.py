"""What a server that serves a folder carries: each library is memory in every pod, and time in every start."""

import subprocess
import sys

LISTED = "import sys, model_server.__main__, model_server.server; print(*{name.split('.')[0] for name in sys.modules})"


def test_a_server_imports_no_library_that_only_others_need():
    listed = subprocess.run([sys.executable, "-c", LISTED], check=True, capture_output=True, text=True).stdout.split()
    assert {"numpy", "grpc", "model_server"} <= set(listed)
    assert not {"pydantic", "yaml", "tflite", "tensorflow", "obstore", "cryptography", "openvino"} & set(listed)
