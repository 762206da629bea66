"""Load on served models."""
