"""prometheus-adapter, built from Go modules into a cache that is keyed by what it is built from."""

from pathlib import Path

from images.go_module import GoModule

# Its program's name is that of its module's folder.
MODULE = GoModule("prometheus-adapter", Path(__file__).resolve().parent / "go", ("adapter",), "some minutes on 2 cores")
