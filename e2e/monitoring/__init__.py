"""Prometheus as an image for a node that cannot pull one, built from Go modules."""
