"""The check of .github/workflows: actionlint, built from its Go module."""
