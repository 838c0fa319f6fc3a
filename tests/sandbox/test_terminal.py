"""What a terminal shows of an output in the end."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sandbox.terminal import Displayed, displayed

ROWS = "".join(f"{row}\n" for row in range(30))


@pytest.mark.parametrize(
    "output", ["", "plain\n", "dos\r\nlines\r\n", "tab\tand  spaces  \n\n", "\u00e9\u4e16\U0001f600\n"]
)
def test_an_output_without_control_characters_stays_as_it_is(output: str):
    assert displayed(output) == Displayed(text=output, overwritten=False)


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("\r 10%\r 50%\r100%\nchecksum mismatch\n", "100%\nchecksum mismatch\n"),
        ("downloading\rdone\n", "doneloading\n"),
        ("downloading\r\x1b[Kdone\n", "done\n"),
        ("downloading\x1b[2K\rdone\n", "done\n"),
        ("downloading\r           \rdone\n", "done\n"),
        ("downloading\r           \r", ""),
        ("a: 1\nb: 1\n\x1b[2A\x1b[Ka: 2\n\x1b[Kb: 2\n", "a: 2\nb: 2\n"),
        ("a: 1\nb: 1\n\x1b[2F\x1b[Jend\n", "end\n"),
        ("|\b/\b-\b\\\bok\n", "ok\n"),
        ("top\n\x1b[s1\x1b[u2\x1b7\x1b8\n", "top\n2\n"),
        ("one\ntwo\x1b[H\x1b[2Jlast", "last"),
        ("one\ntwo\x1bclast", "last"),
        ("a\n\x1b[?1049hpager\n~\n\x1b[?1049lb\n", "a\nb\n"),
        ("abcdef\r\x1b[3P\n", "def\n"),
        ("abcdef\x1b[3D\x1b[2X\n", "abc  f\n"),
        ("abcdef\r\x1b[2C\x1b[1K\n", "   def\n"),
        ("two\n\x1b[Aone\x1b[B!\n", "one\n   !\n"),
    ],
)
def test_what_is_overwritten_or_erased_is_not_shown(output: str, text: str):
    assert displayed(output) == Displayed(text=text, overwritten=True)


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("\x1b[1;31mred\x1b[0m and \x1b[38;2;1;2;3mtrue\x1b[m\n", "red and true\n"),
        ("\x1b]0;title\x07text\n", "text\n"),
        ("\x1b]8;;http://host\x1b\\link\x1b]8;;\x1b\\\n", "link\n"),
        ("\x1b]0;never ended\nnext line\n", "\nnext line\n"),
        ("\x1bPq#0;2;0;0;0\x1b\\picture\n", "picture\n"),
        ("\x1b(B\x1b[?25lhidden cursor\x1b[?25h\x0f\x07\n", "hidden cursor\n"),
        ("N\bNA\bAM\bME\bE\n", "NAME\n"),
        ("a\r\r\nb\r\n\x1b[m", "a\nb\n"),
        ("status\x1b[60G[ OK ]\n", f"{'status':<59}[ OK ]\n"),
        ("cut \x1b[3", "cut 3"),
        ("end \x1b", "end "),
    ],
)
def test_what_is_not_text_is_left_out_and_nothing_is_lost(output: str, text: str):
    assert displayed(output) == Displayed(text=text, overwritten=False)


def test_lines_that_have_left_the_screen_stay_when_it_is_cleared():
    """A tool that clears the screen before its last words had else hidden all that was printed before."""
    kept = "".join(f"{row}\n" for row in range(7))
    assert displayed(f"{ROWS}\x1b[H\x1b[2Jdone\n").text == f"{kept}done\n"
    assert displayed(f"{ROWS}\x1b[99Atop\n").text.startswith(f"{kept}top\n8\n")


@pytest.mark.parametrize(
    "output",
    [
        "".join(f"\rDownloading {number}" for number in range(300_000)),
        "\n".join(f"\x1b[32mline {number}\x1b[0m" for number in range(100_000)),
        "\x1b[H\x1b[2Jframe" * 300_000,
        "x" * 900_000 + "\n" + "\x1b[Ay\n" * 100_000,
        "\x1b[9999999999B\x1b[9999999999C.\n" * 20_000,
        "\x1b[" + "1;" * 1_000_000,
        "\x1b]" * 500_000,
        "\x1b[?1049h" * 200_000,
    ],
    ids=lambda output: repr(output[:20]),
)
def test_an_output_made_to_be_slow_is_rendered_in_time(output: str):
    began_s = time.process_time()
    assert len(displayed(output).text) <= len(output) + 10_000_000
    assert time.process_time() - began_s < 10.0


@given(
    st.lists(
        st.sampled_from(
            [
                "ab",
                "\n",
                "\r",
                "\r\n",
                "\b",
                "\t",
                "\x1b[",
                "A",
                "2K",
                "J",
                "H",
                "31m",
                "\x1b]0;",
                "\x07",
                "?1049h",
                "?1049l",
                "\x1b7",
                "\x1b8",
                "\x1bc",
            ]
        )
    ).map("".join)
)
def test_any_output_can_be_rendered_and_what_is_rendered_stays(output: str):
    text = displayed(output).text
    assert "\x1b" not in text
    assert displayed(text).text == text
