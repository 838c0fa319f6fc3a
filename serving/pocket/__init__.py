"""The pocket model that ships with Tramontane: a checkpoint of a few MB that calls tools; no world knowledge."""

from pathlib import Path

MODEL_NAME = "pocket"
"""What requests call it."""

MAX_MODEL_LEN = 8192
"""Tokens of prompt and answer together."""


def model_dir() -> Path:
    """Name the folder with params.json, consolidated.safetensors and tekken.json."""
    return Path(__file__).parent / "model"


def draft_dir() -> Path:
    """Name the folder with params.json and consolidated.safetensors of its draft, for speculative decoding."""
    return Path(__file__).parent / "draft"
