"""Start a tiny model with vision on the CPU: random weights, the family's architecture, the pocket model's tokens."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # conftest.py imports this before any test has chosen how to import agent
    from agent import Image
    from serving import Engine

IMG, IMG_BREAK, IMG_END = 10, 12, 13
"""Tokens of an image in the pocket model's vocabulary."""
_PIXELS = 784
PICTURE_TOKENS = 28 * (28 + 1)
"""Of an image of that size: a token for each patch of 28 pixels, and one at the end of each row."""
_ENCODER = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1, "num_channels": 3,
    "rope_theta": 10_000.0, "adapter_bias": False, "image_size": _PIXELS, "patch_size": 14, "image_token_id": IMG,
    "spatial_merge_size": 2, "mm_projector_id": "patch_merge", "add_pre_mm_projector_layer_norm": True,
}  # fmt: skip
"""Pixtral's, with the parts that Mistral Small 3.1 and Medium 3.5 have: a norm and a merger of patches."""


def vision_engine(folder: Path, *, environ: Mapping[str, str]) -> Engine:
    """Write the model's files to a folder and prepare its engine, which vLLM fills with random weights."""
    from serving import Engine
    from serving.capacity.planner import plan
    from serving.capacity.sizing import PlanOptions
    from serving.engines import engine_command
    from serving.engines.command import Flag, ServeOptions
    from serving.pocket import MAX_MODEL_LEN, model_dir
    from serving.readiness.interpreter import cpu_python
    from serving.running.process_group import free_port

    params = json.loads((model_dir() / "params.json").read_text())
    (folder / "params.json").write_text(json.dumps({**params, "n_layers": 1, "vision_encoder": _ENCODER}))
    tokenizer = json.loads((model_dir() / "tekken.json").read_text())
    image = {"image_patch_size": 14, "max_image_size": _PIXELS, "spatial_merge_size": 2}
    (folder / "tekken.json").write_text(json.dumps({**tokenizer, "image": image}))
    options = PlanOptions(
        model=str(folder), gpus="cpu", max_num_seqs=2, enforce_eager=True, max_model_len=MAX_MODEL_LEN
    )
    command = engine_command(plan(options), ServeOptions(port=free_port(), served_model_name="vision"))
    dummy = Flag(words=("--load-format", "dummy"), reason="random weights, of which there is no file")
    flags = tuple(dummy if "--load-format" in flag.words else flag for flag in command.flags)
    return Engine(replace(command, flags=flags), python=lambda report: cpu_python(environ, report), environ=environ)


def picture(number: int) -> Image:
    """Return a PNG of one colour, another one for each number up to 255."""
    from agent import Image

    line = b"\0" + bytes((number, 255 - number, number // 2)) * _PIXELS
    header = struct.pack(">II5B", _PIXELS, _PIXELS, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(line * _PIXELS)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return Image(data=base64.b64encode(png).decode(), media_type="image/png")
