"""Trains a network with prune-then-quantise in every step, exports it and packs it as an artifact."""

from model_builder.backend import choose_backend

choose_backend()
