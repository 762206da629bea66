"""The one exception of this package."""


class StoreServerError(Exception):
    """The S3 server cannot be had, or does not do what a test asks of it; the message is one sentence."""
