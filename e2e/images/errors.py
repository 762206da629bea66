"""The one exception of this package."""


class ImageError(Exception):
    """An image cannot be built, kept or pushed; the message is one sentence with what to do."""
