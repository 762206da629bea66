"""Errors of the operator.

ModelOperatorError
├── InvalidModelError   a CompressedModel that cannot be obeyed, and what its author must change
└── GenerationError     a type that a CRD cannot express, or a folder that cannot take the generated files
"""


class ModelOperatorError(Exception):
    """Root of what the operator raises; the message is one sentence."""


class InvalidModelError(ModelOperatorError):
    """The object breaks the API: retrying is useless until its author changes the field that the message names."""


class GenerationError(ModelOperatorError):
    """The CRD or the reference page cannot be generated; the message names the field or the folder."""
