"""Locate the shipped pocket model: a checkpoint of a few MB that calls tools and has no world knowledge."""

from pathlib import Path

MODEL_NAME = "pocket"
"""The model's name in requests."""

MAX_MODEL_LEN = 8192
"""Tokens of prompt and answer together."""


def model_dir() -> Path:
    """Return the folder with params.json, consolidated.safetensors and tekken.json."""
    return Path(__file__).parent / "model"


def draft_dir() -> Path:
    """Return the folder with params.json and consolidated.safetensors of its draft model for speculative decoding."""
    return Path(__file__).parent / "draft"
