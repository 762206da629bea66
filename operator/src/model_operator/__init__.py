"""The operator of compressed models: it builds, stores, serves and measures what a CompressedModel asks for."""

from importlib.metadata import version

__version__ = version("modelpress-operator")
