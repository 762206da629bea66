"""Configuration files in protocol buffers' text format."""

from pathlib import Path
from typing import Any, TypeVar

from google.protobuf import text_format

from model_server.errors import StartupError

Config = TypeVar("Config", bound=Any)


def load_text_config(file: Path, message: Config, flag: str) -> Config:
    """The message, filled from the file that the flag names.

    Raises:
        StartupError: The file cannot be read, or is no such message; the text says where.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"--{flag}={file} cannot be read: {error}.") from error
    try:
        text_format.Parse(text, message, descriptor_pool=message.DESCRIPTOR.file.pool)
    except text_format.ParseError as error:
        name = message.DESCRIPTOR.full_name
        raise StartupError(f"Error parsing text-format {name}: {error}; correct --{flag}={file}.") from error
    return message
