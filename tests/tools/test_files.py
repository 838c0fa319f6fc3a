"""The file tools: what they return, and their error messages for the model."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import Image, Tool, ToolContext, ToolError
from tools._encodings import decode, encode
from tools._paging import MAX_SHOWN_CHARS
from tools.files import edit_file, list_files, read_file, write_file
from tools.search import search
from tools.shell import run_shell

if TYPE_CHECKING:
    from conftest import Called

trained_read_file = read_file.for_family("pocket")
"""As the pocket model was trained on it: whole files without line numbers."""


async def call(tool: Tool, workspace: Path, family: str = "generic", **arguments: object) -> object:
    """Return what the tool returns, or the text of its ToolError after `!`; `family` is the model's."""
    value = tool.arguments.check(json.dumps(arguments))
    try:
        return await tool.body(value, ToolContext(workspace=workspace, model_family=family))
    except ToolError as error:
        return f"!{error}"


def test_the_six_tools_of_the_pocket_model_have_small_definitions() -> None:
    """Keep them small, because a tiny model is trained on them."""
    tools = (edit_file, list_files, trained_read_file, run_shell, search, write_file)
    assert max(len(json.dumps(tool.definition())) for tool in tools) < 450
    assert {tool.name for tool in tools if tool.read_only} == {"list_files", "read_file", "search"}
    assert {tool.name for tool in tools if tool.exclusive} == {"edit_file", "run_shell", "write_file"}


async def test_a_folder_is_listed_with_sizes_and_without_git(tmp_path: Path) -> None:
    for name, text in {"b/z.py": "12", "b/a/deep.txt": "1", "b.txt": "x" * 1_234, ".git/config": "", "c d": ""}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert await call(list_files, tmp_path) == (
        "b/\nb/a/\nb/a/deep.txt (1 byte)\nb/z.py (2 bytes)\nb.txt (1,234 bytes)\nc d (0 bytes)"
    )
    assert await call(list_files, tmp_path, path="b/") == "b/a/\nb/a/deep.txt (1 byte)\nb/z.py (2 bytes)"


async def test_an_empty_folder_is_reported_as_empty(tmp_path: Path) -> None:
    assert await call(list_files, tmp_path) == "(an empty folder)"


async def test_deep_folders_are_not_expanded(tmp_path: Path) -> None:
    (tmp_path / "a/b/c/d/e").mkdir(parents=True)
    (tmp_path / "a/b/c/d/f").write_text("")
    assert await call(list_files, tmp_path) == "a/\na/b/\na/b/c/\na/b/c/d/ (2 entries, not shown)"
    assert await call(list_files, tmp_path, path="a/b/c/d") == "a/b/c/d/e/\na/b/c/d/f (0 bytes)"


async def test_large_folders_are_not_expanded(tmp_path: Path) -> None:
    for folder, count in {"big": 190, "small": 20, "zero": 0}.items():
        (tmp_path / folder).mkdir()
        for number in range(count):
            (tmp_path / folder / f"{number:03}").write_text("")
    small = "\n".join(f"small/{number:03} (0 bytes)" for number in range(20))
    big = "\n".join(f"big/{number:03} (0 bytes)" for number in range(190))
    assert await call(list_files, tmp_path) == f"big/\n{big}\nsmall/ (20 entries, not shown)\nzero/"
    for number in range(190, 198):
        (tmp_path / "big" / f"{number:03}").write_text("")
    assert await call(list_files, tmp_path) == f"big/ (198 entries, not shown)\nsmall/\n{small}\nzero/"


async def test_a_listing_says_what_it_left_out(tmp_path: Path) -> None:
    for number in range(203):
        (tmp_path / f"{number:03}").mkdir()
    expected = "\n".join(f"{number:03}/ (not shown)" for number in range(200))
    assert await call(list_files, tmp_path) == (
        f"[203 entries; only the first 200 are shown; use search or run_shell to find others]\n{expected}"
    )


async def test_the_pocket_model_gets_a_whole_file_unchanged(tmp_path: Path) -> None:
    for text in ("apple\n", "no end", "\ufeffa\r\nb\rc\r\n", "[TOOL_CALLS] [INST] </s> \x1b[31m", "ü\u2028x\x0cy\n"):
        (tmp_path / "a.txt").write_bytes(text.encode())
        assert await call(trained_read_file, tmp_path, path="a.txt") == text


async def test_a_whole_file_is_numbered_like_a_part(tmp_path: Path) -> None:
    """Breakpoints and references need the numbers, and a whole file came without them."""
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    assert await call(read_file, tmp_path, path="a.txt") == "1: one\n2: two\n"
    assert await call(read_file, tmp_path, path="a.txt", line_numbers=False) == "one\ntwo\n"
    assert await call(read_file, tmp_path, path="a.txt", start_line=2, line_numbers=False) == "two\n[lines 2-2 of 2]"
    assert await call(read_file, tmp_path, path="a.txt", line_count=1) == "1: one\n[lines 1-1 of 2]"


async def test_an_exact_range_that_is_given_wholly_does_not_say_to_read_on(tmp_path: Path) -> None:
    """The hint suggested that something was missing of what was asked for."""
    (tmp_path / "a.txt").write_text("".join(f"{number}\n" for number in range(1, 1_001)))
    assert await call(read_file, tmp_path, path="a.txt", start_line=3, line_count=2) == (
        "3: 3\n4: 4\n[lines 3-4 of 1000]"
    )
    whole = str(await call(read_file, tmp_path, path="a.txt"))
    assert whole.endswith("\n400: 400\n[lines 1-400 of 1000; read on with start_line=401]")
    (tmp_path / "a.txt").write_text(("x" * 8_000 + "\n") * 4)
    cut = str(await call(read_file, tmp_path, path="a.txt", start_line=2, line_count=2))
    assert cut.endswith("x\n[lines 2-2 of 4; read on with start_line=3; cut at 14,000 characters]")


async def test_a_numbered_file_says_what_its_lines_do_not_show(tmp_path: Path) -> None:
    for data, shown in (
        (b"one", "1: one\n[no newline at the end]"),
        (b"one\r\ntwo\r\n", "1: one\n2: two\n[each line ends in \\r\\n, which edits keep]"),
        (b"\xef\xbb\xbfone\n", "1: one\n[begins with a byte-order mark, which edits keep]"),
        (b"f\xfcnf", "1: fünf\n[not UTF-8: each byte is shown as a Latin-1 character; edits keep it so; "
         "no newline at the end]"),
        (b"one\r\ntwo\n", "1: one\r\n2: two\n"),
    ):  # fmt: skip
        (tmp_path / "a.txt").write_bytes(data)
        assert await call(read_file, tmp_path, path="a.txt") == shown
        raw = await call(read_file, tmp_path, path="a.txt", line_numbers=False)
        assert str(raw).startswith(decode(data, "a.txt").text)


async def test_the_limit_of_characters_is_in_the_description_and_in_the_note(tmp_path: Path) -> None:
    """700 lines were asked for and 321 given, without a word on why."""
    (tmp_path / "a.txt").write_text(("x" * 99 + "\n") * 700)
    assert f"up to {MAX_SHOWN_CHARS:,} characters" in read_file.description
    assert str(await call(read_file, tmp_path, path="a.txt", line_count=700)).endswith(
        "x\n[lines 1-134 of 700; read on with start_line=135; cut at 14,000 characters]"
    )


async def test_a_cut_result_in_a_small_window_says_how_to_read_the_file_on(tmp_path: Path, called: Called) -> None:
    """Its middle was left out, and the note pointed to a copy of the result in .agent/outputs."""
    lines = [f"{'x' * 40} {number}\n" for number in range(1, 161)]
    (tmp_path / "a.txt").write_text("".join(lines))
    context = ToolContext(workspace=tmp_path, output_limit_chars=4_915)
    shown = await called(read_file, context, path="a.txt")
    assert shown.splitlines()[-2:] == [
        f"90: {'x' * 40} 90",
        "[lines 1-90 of 160; read on with start_line=91; cut at 4,315 characters]",
    ]
    rest = await called(read_file, context, path="a.txt", start_line=91)
    assert rest.splitlines()[0] == f"91: {'x' * 40} 91"
    assert rest.endswith("\n[lines 91-160 of 160]")


def test_the_pocket_model_is_told_its_tools_as_it_was_trained() -> None:
    """Its weights know these texts; they change only with a new training."""
    tools = [tool.for_family("pocket") for tool in (edit_file, list_files, read_file, run_shell, search, write_file)]
    trained = json.loads((Path(__file__).parent.parent / "data" / "pocket_tools.json").read_text())
    assert [tool.definition() for tool in tools] == trained


async def test_an_empty_file_is_reported_as_empty(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    assert await call(read_file, tmp_path, path="a.txt") == "(an empty file)"


async def test_an_excerpt_names_its_lines_and_how_to_read_on(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{number}\n" for number in range(1, 1_001)))
    first = "".join(f"{number}: {number}\n" for number in range(1, 401))
    assert (
        await call(trained_read_file, tmp_path, path="a.txt")
        == f"{first}[lines 1-400 of 1000; read on with start_line=401]"
    )
    assert await call(trained_read_file, tmp_path, path="a.txt", start_line=3, line_count=2) == (
        "3: 3\n4: 4\n[lines 3-4 of 1000; read on with start_line=5]"
    )
    assert (
        await call(trained_read_file, tmp_path, path="a.txt", start_line=1_000, line_count=2)
        == "1000: 1000\n[lines 1000-1000 of 1000]"
    )
    assert await call(trained_read_file, tmp_path, path="a.txt", start_line=1_001) == (
        '!"a.txt" has 1,000 lines; start_line 1001 is past the end. Give a smaller start_line.'
    )


async def test_long_lines_shorten_the_excerpt(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 9_000 + "\n" + "y" * 9_000 + "\n" + "z" * 20_000)
    assert await call(trained_read_file, tmp_path, path="a.txt") == (
        "1: " + "x" * 9_000 + "\n[lines 1-1 of 3; read on with start_line=2]"
    )
    assert await call(trained_read_file, tmp_path, path="a.txt", start_line=3) == (
        "3: "
        + "z" * 14_000
        + "\n[line 3 of 3 is cut: 14,000 of 20,000 characters; use run_shell with cut -c to see more]"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"M\0\1", "is a binary file, not text. Look at it with a command such as `xxd | head`."),
        (b"\x7fELF\2\0", "is a binary file, an ELF program or library, not text. Look at it with"),
        (b"%PDF-1.7\n", "is a binary file, a PDF document, not text. Look at it with a command such as `pdftotext`."),
        ("wide".encode("utf-32"), "is a binary file, not text."),
    ],
)
async def test_a_binary_file_is_refused_by_every_tool_that_needs_text(
    tmp_path: Path, data: bytes, message: str
) -> None:
    (tmp_path / "a.bin").write_bytes(data)
    for answer in (
        await call(read_file, tmp_path, path="a.bin"),
        await call(edit_file, tmp_path, path="a.bin", old="M", new="N"),
    ):
        assert str(answer).startswith(f'!"a.bin" {message}')


@pytest.mark.parametrize(
    ("encoding", "note", "wide"),
    [
        ("latin-1", "not UTF-8: each byte is shown as a Latin-1 character", "\u2192"),
        ("utf-16-le", "utf-16-le", ""),
        ("utf-16-be", "utf-16-be", ""),
        ("cp1251", "cp1251", "ü"),
    ],
)
async def test_other_encodings_are_read_and_an_edit_keeps_every_other_byte(
    tmp_path: Path, encoding: str, note: str, wide: str
) -> None:
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    text = f"{mark}# -*- coding: {encoding} -*-\r\n" if encoding == "cp1251" else f"{mark}first\r\n"
    text += "\u043f\u044f\u0442\u044c\n" if encoding == "cp1251" else "fünf\n"
    (tmp_path / "a.txt").write_bytes((text + "last\n").encode(encoding))
    assert await call(trained_read_file, tmp_path, path="a.txt") == f"{text}last\n\n[{note}; edits keep it so]"
    assert await call(edit_file, tmp_path, path="a.txt", old="last", new="new") == "Edited a.txt: line 3."
    assert (tmp_path / "a.txt").read_bytes() == (text + "new\n").encode(encoding)
    assert await call(search, tmp_path, pattern="n.w$") == "a.txt:3: new"
    if wide:
        refused = str(await call(edit_file, tmp_path, path="a.txt", old="new", new=wide))
        assert refused.startswith(
            f'!new holds "{wide}", which the encoding of the file, {encoding}, does not have. Write'
        )
        assert (tmp_path / "a.txt").read_bytes() == (text + "new\n").encode(encoding)


async def test_new_characters_in_an_ascii_file_use_its_declared_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"# coding: latin-1\nname = 'x'\n")
    assert await call(edit_file, tmp_path, path="a.py", old="'x'", new="'ü'") == "Edited a.py: line 2."
    assert (tmp_path / "a.py").read_bytes() == "# coding: latin-1\nname = 'ü'\n".encode("latin-1")
    for declared in ("utf-8", "hex", "punycode", "unicode_escape", "no-such"):
        plain = f"# coding: {declared}\n"
        (tmp_path / "a.py").write_text(plain)
        assert await call(trained_read_file, tmp_path, path="a.py") == plain, "read unchanged, whatever is declared"


@given(data=st.binary(max_size=60))
def test_decoding_loses_no_byte(data: bytes) -> None:
    try:
        text = decode(data, "a")
    except ToolError:
        return
    assert encode(text.text, text.encoding, "it") == data


async def test_line_numbers_copied_into_an_edit_are_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n  two\nthree\n")
    assert await call(edit_file, tmp_path, path="a.txt", old="2:   two\n3: three", new="x") == (
        '!old does not occur in "a.txt", but would without the line numbers in it. Leave them out.'
    )


async def test_a_huge_file_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(10_000_000_000)
    expected = (
        '!"huge" is larger than 20,000,000 bytes. Use run_shell with grep, head, tail or sed -n, to see parts of it.'
    )
    assert await call(read_file, tmp_path, path="huge") == expected
    assert await call(edit_file, tmp_path, path="huge", old="a", new="b") == expected


async def test_an_image_is_returned_whatever_its_name(tmp_path: Path) -> None:
    images = {
        "image/png": b"\x89PNG\r\n\x1a\n...",
        "image/jpeg": b"\xff\xd8\xff...",
        "image/gif": b"GIF89a...",
        "image/webp": b"RIFF\x10\0\0\0WEBP...",
    }
    for media_type, data in images.items():
        (tmp_path / "shot").write_bytes(data)
        assert await call(read_file, tmp_path, path="shot") == Image(
            data=base64.b64encode(data).decode(), media_type=media_type
        )
    (tmp_path / "shot").write_bytes(b"GIF89a" + bytes(5_000_000))
    assert await call(read_file, tmp_path, path="shot") == (
        '!The picture "shot" is larger than 5,000,000 bytes. Make a smaller copy of it first.'
    )


async def test_writing_creates_folders_and_reports_the_size(tmp_path: Path) -> None:
    assert await call(write_file, tmp_path, path="out/word.txt", content="apple\n") == "Wrote 6 bytes to out/word.txt."
    assert await call(write_file, tmp_path, path="./out//word.txt", content="ü\r\n") == "Wrote 4 bytes to out/word.txt."
    assert (tmp_path / "out" / "word.txt").read_bytes() == "ü\r\n".encode()
    assert await call(write_file, tmp_path, path="empty", content="") == "Wrote 0 bytes to empty."
    assert sorted(os.listdir(tmp_path)) == ["empty", "out"]  # noqa: PTH208 - names, not paths


@pytest.mark.parametrize(
    ("before", "content", "after", "told"),
    [
        (b"echo 1\r\necho 2\r\n", "echo 1\necho 3\n", b"echo 1\r\necho 3\r\n",
         "Wrote 16 bytes to a, with its former line ends (\\r\\n)."),
        (b"\xef\xbb\xbfid\r\n1\r\n", "id\n2\n", b"\xef\xbb\xbfid\r\n2\r\n",
         "Wrote 10 bytes to a, with its former byte-order mark and line ends (\\r\\n)."),
        ("ä\n".encode("utf-16"), "ö\n", "ö\n".encode("utf-16"),
         "Wrote 6 bytes to a, with its former byte-order mark and encoding (utf-16-le)."),
        (b"\xe4\n", "ö\n", b"\xf6\n", "Wrote 2 bytes to a, with its former encoding (latin-1)."),
        (b"\xe4\n", "→\n", "→\n".encode(), "Wrote 4 bytes to a, as UTF-8; it was not before."),
        (b"one\r\ntwo\n", "a\nb\n", b"a\nb\n", "Wrote 4 bytes to a, with line ends \\n; they were mixed before."),
        (b"one\rtwo\r", "a\nb\n", b"a\nb\n", "Wrote 4 bytes to a, with line ends \\n; they were \\r before."),
        (b"one\r\ntwo\n", "a\r\nb\n", b"a\r\nb\n", "Wrote 5 bytes to a."),
        (b"one\rtwo\r", "a", b"a", "Wrote 1 byte to a."),
        (b"# coding: latin-1\n", "# coding: latin-1\nö\n", b"# coding: latin-1\n\xf6\n",
         "Wrote 20 bytes to a, with its former encoding (iso8859-1)."),
        (b"# coding: latin-1\n", "ö\n", "ö\n".encode(), "Wrote 3 bytes to a."),
        (b"a\r\nb\r\n", "a\r\nb\n", b"a\r\nb\n", "Wrote 5 bytes to a."),
        (b"\0\1", "c\n", b"c\n", "Wrote 2 bytes to a."),
    ],
)  # fmt: skip
async def test_a_written_file_keeps_the_line_ends_and_the_encoding_of_the_old_one(
    tmp_path: Path, before: bytes, content: str, after: bytes, told: str
) -> None:
    """They were replaced without a word."""
    (tmp_path / "a").write_bytes(before)
    assert await call(write_file, tmp_path, path="a", content=content) == told
    assert (tmp_path / "a").read_bytes() == after


async def test_a_lone_surrogate_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    context = ToolContext(workspace=tmp_path)
    whole = write_file.arguments.check('{"path":"a","content":""}')
    with pytest.raises(ToolError) as caught:
        await write_file.body(whole.model_copy(update={"content": "ab\ud83d"}), context)  # type: ignore[attr-defined]
    assert str(caught.value) == "content holds half a character (a lone surrogate) at position 3. Send it whole."
    assert (tmp_path / "a").read_text() == "a"


async def test_an_edit_names_the_lines_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    for old, new, result, after in (
        ("two", "2", "line 2", "one\n2\nthree\n"),
        ("2\n", "b\nc\n", "lines 2-3", "one\nb\nc\nthree\n"),
        ("b\nc\n", "", "line 2", "one\nthree\n"),
        ("one\nthree\n", "x\ny\nz", "lines 1-3", "x\ny\nz"),
    ):
        if result == "line 2" and old == "two":
            file.write_text("one\ntwo\nthree\n")
        assert await call(edit_file, tmp_path, path="a.py", old=old, new=new) == f"Edited a.py: {result}."
        assert file.read_text() == after


async def test_an_edit_keeps_the_byte_order_mark_and_the_line_endings(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\nthree\r\n")
    assert await call(edit_file, tmp_path, path="a.txt", old="one\ntwo", new="1\n2\n2b") == "Edited a.txt: lines 1-3."
    assert file.read_bytes() == b"\xef\xbb\xbf1\r\n2\r\n2b\r\nthree\r\n"
    assert (
        await call(edit_file, tmp_path, path="a.txt", old="\ufeff1\r\n2", new="\ufeffa\r\nb")
        == "Edited a.txt: lines 1-2."
    )
    assert file.read_bytes() == b"\xef\xbb\xbfa\r\nb\r\n2b\r\nthree\r\n"


async def test_an_edit_that_would_change_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    assert await call(edit_file, tmp_path, path="a", old="", new="b") == (
        "!old is empty. Give the exact text to replace, or use write_file to write a whole file."
    )
    assert await call(edit_file, tmp_path, path="a", old="a", new="a") == (
        "!old and new are the same, so nothing would change. Give the text that should stand there instead as new."
    )


async def test_an_edit_that_matches_several_places_names_their_lines(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x = 1\ny = 1\n\nx = 1\n")
    assert await call(edit_file, tmp_path, path="a", old="x = 1", new="x = 2") == (
        '!old occurs 2 times in "a", at lines 1, 4. Add surrounding lines to make it unique.'
    )
    (tmp_path / "a").write_text("aaa" + "\na" * 30)
    assert await call(edit_file, tmp_path, path="a", old="aa", new="b") == (
        '!old occurs 2 times in "a", at lines 1, 1. Add surrounding lines to make it unique.'
    )
    assert await call(edit_file, tmp_path, path="a", old="a", new="b") == (
        '!old occurs 33 times in "a", at lines 1, 1, 1, '
        + ", ".join(str(line) for line in range(2, 19))
        + ", .... Add surrounding lines to make it unique."
    )
    assert (tmp_path / "a").read_text() == "aaa" + "\na" * 30


@pytest.mark.parametrize(
    ("text", "old", "only", "shown"),
    [
        ("a\n    if x:\n        y\n", "if x:\n    y", "indentation", "2:     if x:\n3:         y"),
        ("a\r\nb\nc\n", "a\nb\n", "line endings", "1: a\\r\n2: b"),
        ("one  \ntwo\n", "one\ntwo\n", "white space at line ends", "1: one  \n2: two"),
        ("f( x,y )\n", "f(x, y)", "white space", "1: f( x,y )"),
        ("Hello\n", "hello\n", "upper and lower case", "1: Hello"),
        # All that differs, where one kind was named of several, or none.
        ("    if x:\n        y\n    z\n", "if x:\n    y \nz", "indentation and in white space at line ends",
         "1:     if x:\n2:         y\n3:     z"),
        ("    return cost\n", " return cost ", "white space at line ends", "1:     return cost"),
        ("  One\n  Two\n", "one\ntwo\n", "indentation and in upper and lower case", "1:   One\n2:   Two"),
        ("one  \r\ntwo\n", "one\ntwo\n", "line endings and in white space at line ends", "1: one  \\r\n2: two"),
        ("a\n\tb\n", "a\n    b", "indentation (the file has tabs)", "1: a\n2: \tb"),
        ("a\n    b\n", "a\n\tb", "indentation (the file has spaces)", "1: a\n2:     b"),
        ("say \u201chi\u201d\n", 'say "hi"', "straight and typographic quotes", "1: say \u201chi\u201d"),
        ("it\u2019s  Fine\n", "it's fine", "white space and in straight and typographic quotes and in upper and lower "
         "case", "1: it\u2019s  Fine"),
        ("a \u2013 b\u2026\n", "a - b...", "hyphens and typographic signs", "1: a \u2013 b\u2026"),
        ("a\u00a0b\n", "a b", "white space", "1: a\u00a0b"),
    ],
)  # fmt: skip
async def test_a_miss_names_the_only_difference_to_the_most_similar_lines(
    tmp_path: Path, text: str, old: str, only: str, shown: str
) -> None:
    (tmp_path / "a").write_bytes(text.encode())
    assert await call(edit_file, tmp_path, "pocket", path="a", old=old, new="new") == (
        f'!old does not occur in "a". It differs only in {only}. Copy the text exactly. '
        f"The most similar lines there:\n{shown}"
    )


@pytest.mark.parametrize(
    ("text", "old", "only", "shown"),
    [
        ("cafe\u0301 menu\n", "caf\u00e9 menu", "Unicode form", "1: cafe\\u0301 menu"),
        ("caf\u00e9 menu\n", "cafe\u0301 menu", "Unicode form", "1: caf\\u00e9 menu"),
        ("a\u200bb\n", "ab", "invisible characters", "1: a\\u200bb"),
    ],
)
async def test_texts_that_look_the_same_are_shown_with_escapes(
    tmp_path: Path, text: str, old: str, only: str, shown: str
) -> None:
    """The message showed the same characters twice."""
    (tmp_path / "a").write_text(text)
    assert await call(edit_file, tmp_path, "pocket", path="a", old=old, new="new") == (
        f'!old does not occur in "a". It differs only in {only}. Copy the text with the escapes shown. '
        f"The most similar lines there:\n{shown}"
    )
    assert await call(edit_file, tmp_path, path="a", old=text.strip(), new="new") == "Edited a: line 1."


async def test_a_miss_shows_the_most_similar_lines(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("def area(r):\n    return 3.14 * r\n\ndef total(items):\n    return sum(items)\n")
    assert await call(
        edit_file, tmp_path, "pocket", path="a", old="def total(values):\n    return sum(values)", new="x"
    ) == (
        '!old does not occur in "a". Copy the text exactly. The most similar lines there:\n'
        "4: def total(items):\n5:     return sum(items)"
    )
    assert await call(edit_file, tmp_path, "pocket", path="a", old="@@@@", new="x") == (
        '!old does not occur in "a", and nothing there resembles it. Read the file and copy the text exactly.'
    )


@pytest.mark.parametrize(
    ("text", "old", "only", "shown"),
    [
        ("a\n    if x:\n        y\n\n    z\n", "    if x:\n      y\n\n    z\n",
         "It differs only in indentation, in line 3. ", "2:     if x:\n3:         y\n4: \n5:     z"),
        ("  a\n  b\n", "a\n   b\n", "It differs only in indentation, in line 2. ", "1:   a\n2:   b"),
        ("  a\n  b\n", " a\n b\n", "It differs only in indentation, in line 2. ", "1:   a\n2:   b"),
        ("a\n  b\n  c\nd\n  e\n", "a\nb\nc\nd\ne\n", "It differs only in indentation, in lines 2-3, 5. ",
         "1: a\n2:   b\n3:   c\n4: d\n5:   e"),
        ("  a\n  b\n", "   a\n   b\n", "It differs only in indentation, in every line. ", "1:   a\n2:   b"),
        ("Hello\n", "hello\n", "It differs only in upper and lower case. ", "1: Hello"),
        ("def area(r):\n    return 3.14 * r\n", "def area(r):\n    return 3.1 * r\n", "Line 2 differs. ",
         "1: def area(r):\n2:     return 3.14 * r"),
        ("def area(r):\n    return 3.14 * r\n", "def area(x):\n    return 3.14 * x\n", "",
         "1: def area(r):\n2:     return 3.14 * r"),
        ("def area(r):\n    return 3.14 * r\n", "def area(r):\n\n    return 3.14 * r\n", "",
         "1: def area(r):\n2:     return 3.14 * r"),
    ],
)  # fmt: skip
async def test_a_miss_of_many_lines_names_those_that_differ(
    tmp_path: Path, text: str, old: str, only: str, shown: str
) -> None:
    """Of eleven lines, which "differ only in indentation", one did; "copy exactly" invited to copy their numbers."""
    (tmp_path / "a").write_text(text)
    assert await call(edit_file, tmp_path, path="a", old=old, new="new") == (
        f'!old does not occur in "a". {only}Copy the text exactly, without the line numbers. '
        f"The most similar lines there:\n{shown}"
    )


async def test_a_miss_of_very_many_lines_shows_the_one_that_differs(tmp_path: Path) -> None:
    """Only the first 20 lines were shown, and the others were the same."""
    lines = [f"    value_{number} = {number}\n" for number in range(1, 61)]
    (tmp_path / "a").write_text("".join(lines))
    old = "".join([*lines[:39], f" {lines[39]}", *lines[40:]])
    answer = str(await call(edit_file, tmp_path, path="a", old=old, new="x")).splitlines()
    assert "differs only in indentation, in line 40. " in answer[0]
    assert answer[1:] == [f"{number}:     value_{number} = {number}" for number in range(38, 58)]


async def test_a_miss_in_a_large_file_is_answered_quickly(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("".join(f"value_{number} = {number}\n" for number in range(100_000)))
    answer = await call(edit_file, tmp_path, "pocket", path="a", old="value_12 = 13\nvalue_13 = 14\n", new="x")
    assert answer == (
        '!old does not occur in "a". Copy the text exactly. The most similar lines there:\n'
        "13: value_12 = 12\n14: value_13 = 13"
    )


PIECES = st.lists(st.sampled_from(["a", "b", "\n", "\r\n", " ", "\ufeff", "é"]), max_size=12).map("".join)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=PIECES, new=PIECES, after=PIECES)
async def test_an_edit_changes_no_byte_elsewhere(tmp_path: Path, before: str, new: str, after: str) -> None:
    file = tmp_path / "a"
    file.write_bytes(f"{before}<old>{after}".encode())
    await call(edit_file, tmp_path, path="a", old="<old>", new=new)
    data = file.read_bytes()
    assert data.startswith(before.encode())
    assert data.endswith(after.encode())
    middle = data[len(before.encode()) : len(data) - len(after.encode())].decode()
    assert middle.replace("\r\n", "\n") == new.replace("\r\n", "\n").removeprefix(
        "\ufeff" if before[:1] == "\ufeff" else ""
    )


async def test_kept_outputs_are_left_out_unless_they_are_asked_for(tmp_path: Path, called: Called):
    """Search answers were half kept outputs."""
    (tmp_path / ".agent" / "outputs").mkdir(parents=True)
    (tmp_path / ".agent" / ".gitignore").write_text("*\n")
    (tmp_path / ".agent" / "outputs" / "call.txt").write_text("needle\n")
    (tmp_path / "a.py").write_text("needle\n")
    context = ToolContext(workspace=tmp_path)
    assert await called(list_files, context) == "a.py (7 bytes)"
    assert await called(search, context, pattern="needle") == "a.py:1: needle"
    for path in (".agent", ".agent/outputs", f"{tmp_path}/.agent"):
        assert await called(search, context, pattern="needle", path=path) == ".agent/outputs/call.txt:1: needle"
        assert ".agent/outputs/call.txt (7 bytes)" in await called(list_files, context, path=path)


async def test_ignored_files_are_left_out_and_counted(tmp_path: Path, called: Called):
    for name in ("a.py", "b.log", "build/out.txt", "src/c.py", "src/keep.log", "src/gen/d.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("needle\n")
    (tmp_path / ".gitignore").write_text("*.log\nbuild/\n")
    (tmp_path / "src/.gitignore").write_text("!keep.log\n/gen\n")
    context = ToolContext(workspace=tmp_path)
    listed = await called(list_files, context)
    assert listed.startswith("[3 entries that .gitignore names left out]\n")
    assert "keep.log" in listed
    assert not any(name in listed for name in ("b.log", "build", "gen/"))
    found = await called(search, context, pattern="needle")
    assert sorted(line.partition(":")[0] for line in found.splitlines()) == ["a.py", "src/c.py", "src/keep.log"]
    assert "out.txt" in await called(list_files, context, path="build"), (
        "an ignored folder is listed if it is the given path"
    )
    assert "build/out.txt" in await called(search, context, pattern="needle", path="build")


NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize("new", [f"{NFC}.txt", f"{NFC}/new.txt"])
async def test_a_file_that_would_look_the_same_as_another_is_not_created(tmp_path: Path, new: str) -> None:
    """It was written beside the one that was meant, with the same name for every reader."""
    (tmp_path / f"{NFD}.txt").write_text("one\n")
    (tmp_path / NFD).mkdir()
    before = sorted(tmp_path.iterdir())
    other = new.partition("/")[0].replace("\u00e9", "e\\u0301")
    assert await call(write_file, tmp_path, path=new, content="two\n") == (
        f'!"{new}" would be a second one beside "{other}", which looks the same and is in another Unicode form; '
        "nothing was changed. Send the path with these escapes, or take another name."
    )
    assert sorted(tmp_path.iterdir()) == before
    assert await call(write_file, tmp_path, path=new.replace(NFC, NFD), content="two\n")
    assert await call(write_file, tmp_path, path="th\u00e9.txt", content="two\n") == "Wrote 4 bytes to th\u00e9.txt."


@pytest.mark.parametrize(("there", "sought", "shown"), [(NFD, NFC, "cafe\\u0301"), (NFC, NFD, "caf\\u00e9")])
async def test_a_part_of_a_line_in_another_unicode_form_is_named_with_its_escapes(
    tmp_path: Path, there: str, sought: str, shown: str
) -> None:
    """The answer was that nothing there resembles it."""
    (tmp_path / "menu.txt").write_text(f"the menu of the {there} at the corner, and of no other\n")
    assert await call(edit_file, tmp_path, path="menu.txt", old=sought, new="bar") == (
        f'!old does not occur in "menu.txt", but does in another Unicode form. Send it with these escapes: "{shown}"'
    )
    escaped = json.loads(f'"{shown}"')
    assert await call(edit_file, tmp_path, path="menu.txt", old=escaped, new="bar") == "Edited menu.txt: line 1."


@pytest.mark.parametrize(("there", "sought", "shown"), [(NFD, NFC, "cafe\\u0301 m"), (NFC, NFD, "caf\\u00e9 m")])
async def test_text_in_another_unicode_form_is_found_and_the_form_named(
    tmp_path: Path, there: str, sought: str, shown: str
) -> None:
    (tmp_path / "menu.txt").write_text(f"{there} menu\n")
    assert await call(search, tmp_path, pattern=f"{sought} m") == (
        f'No match for "{sought} m", but for "{shown}", the same text in another Unicode form:\n'
        f"menu.txt:1: {there} menu"
    )
    assert await call(search, tmp_path, pattern=f"{sought} x") == f'No match for "{sought} x" in 1 file.'
