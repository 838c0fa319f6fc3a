"""How many tokens an image is estimated to take, by its pixels."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image as PillowImage

from agent import Image
from agent.messages import AssistantMessage, ToolCall, ToolResult
from agent.model.history import History
from agent.model.image_tokens import image_tokens

MOST = 3_080
"""55 rows of 55 patches, and one token for each row."""


def image_file(width: int, height: int, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    PillowImage.new("RGB", (width, height)).save(file, kind, **options)
    return file.getvalue()


def image(data: bytes) -> Image:
    return Image(data=base64.b64encode(data).decode(), media_type="image/png")


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [(1, 1, 2), (28, 28, 2), (29, 28, 3), (384, 384, 14 * 15), (1_280, 800, 47 * 29), (1_540, 1_540, MOST),
     (4_000, 3_000, 56 * 42), (20_000, 1, 56)],
)  # fmt: skip
def test_an_image_takes_a_token_for_each_patch_and_row(width: int, height: int, tokens: int):
    assert image_tokens(image(image_file(width, height))) == tokens


@pytest.mark.parametrize(
    ("kind", "options"),
    [("GIF", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG", {"icc_profile": bytes(200_000)}),
     ("WEBP", {}), ("WEBP", {"lossless": True}), ("WEBP", {"exif": b"Exif"})],
)  # fmt: skip
def test_the_size_is_read_from_every_format_that_models_take(kind: str, options: dict[str, Any]):
    assert image_tokens(image(image_file(640, 400, kind, **options))) == 24 * 15


@pytest.mark.parametrize("kind", ["PNG", "GIF", "JPEG", "WEBP"])
def test_of_a_file_that_is_cut_off_or_no_image_the_most_is_taken(kind: str):
    whole = image_file(640, 400, kind)
    assert image_tokens(image(whole[:9])) == image_tokens(image(b"no image")) == image_tokens(image(b"")) == MOST
    assert image_tokens(Image(data="no base64!", media_type="image/png")) == MOST


def test_small_images_do_not_count_as_the_largest_in_a_conversation():
    """An image of 384 pixels was counted as 3,100 tokens, so a fold freed far less than it was chosen for."""
    small, history = image(image_file(384, 384)), History(replay_reasoning=False)
    history.add_system("Look.")
    before = history.wire_bytes
    call = ToolCall(id="call00000", name="look", arguments="{}")
    shown = ToolResult(tool_call_id=call.id, name="look", content="(an image)", images=(small,) * 4)
    history.add_turn(AssistantMessage(content="", tool_calls=(call,)), [shown])
    assert 4 * 2 * 210 < history.wire_bytes - before < 4 * 2 * 210 + 800
