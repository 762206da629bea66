"""Everything that clients and files can do to a running server, all at once."""
