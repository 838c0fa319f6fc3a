"""Texts of models and tools cannot control a terminal, nor look like another text."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.view.text import on_one_line, printable, visible, visible_json

SHOWN = "\ufffd"


@pytest.mark.parametrize(
    "character",
    [
        "\x00", "\x07", "\x08", "\r", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u200e", "\u200f", "\u061c",
        "\u2028", "\u2029", "\u200b", "\u200c", "\u200d", "\u2060", "\xad", "\ufeff", "\U000e0041", "\U000e0100",
        "\u3164", "\u115f", "\ufe00", "\u180e", "\U0001d173",
    ],
)  # fmt: skip
def test_what_is_not_seen_or_moves_text_is_replaced(character: str):
    """Zero-width and tag characters passed."""
    assert visible(f"a{character}b") == f"a{SHOWN}b"
    assert character not in printable(f"a{character}b")
    assert character not in on_one_line(f"a{character}b")


@pytest.mark.parametrize(
    "text", ["a\tb\nc", "äöü", "日本語", "שלום", "👍🏽", "❤\ufe0f", "a\xa0b", "\u202f1", "e\u0301"]
)
def test_ordinary_text_is_shown_as_it_is(text: str):
    assert visible(text) == text


@given(st.text())
def test_json_on_a_terminal_means_the_same_and_holds_no_control(text: str):
    shown = visible_json(json.dumps({"a": text}, ensure_ascii=False))
    assert json.loads(shown) == {"a": text}
    assert not [one for one in shown if unicodedata.category(one) == "Cc" or one in "\u202e\u200b\U000e0041"]
