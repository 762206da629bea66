"""`kubectl cmod`: what a CompressedModel does and why, for people at a terminal.

It asks kubectl for everything, so that contexts, credentials and namespaces are exactly kubectl's, and imports the
standard library alone, so that it starts at once.
"""
