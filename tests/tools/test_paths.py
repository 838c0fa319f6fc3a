"""Paths of the file tools: nothing outside the workspace is read or written, and every refusal says why."""

from __future__ import annotations

import ctypes
import json
import os
import posixpath
import socket
import stat
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import Tool, ToolContext, ToolError
from tools import files
from tools.changes import apply_diff
from tools.files import edit_file, list_files, write_file
from tools.search import search

read_file = files.read_file.for_family("pocket")
"""Returns a whole file as it is, without line numbers."""


async def call(tool: Tool, workspace: Path, **arguments: object) -> object:
    """Return what the tool returns, or the text of its ToolError after `!`."""
    value = tool.arguments.check(json.dumps(arguments))
    try:
        return await tool.body(value, ToolContext(workspace=workspace))
    except ToolError as error:
        return f"!{error}"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "ws"
    folder.mkdir()
    (tmp_path / "ws2").mkdir()
    (tmp_path / "ws2" / "secret.txt").write_text("CANARY")
    return folder


async def test_paths_that_lead_out_are_refused(workspace: Path) -> None:
    for path in ("../ws2/secret.txt", "..", "a/../../ws2/secret.txt", str(workspace) + "2/secret.txt", "/etc/passwd"):
        expected = (
            f'!"{path}" is outside the workspace {workspace}. Only files inside it can be reached: '
            "give a path relative to it."
        )
        assert await call(read_file, workspace, path=path) == expected
        assert await call(write_file, workspace, path=path, content="x") == expected
        assert await call(edit_file, workspace, path=path, old="C", new="x") == expected
        assert await call(list_files, workspace, path=path) == expected
        assert await call(search, workspace, pattern=".", path=path) == expected
    assert (workspace.parent / "ws2" / "secret.txt").read_text() == "CANARY"


async def test_an_absolute_path_inside_the_workspace_is_accepted(workspace: Path) -> None:
    (workspace / "a.txt").write_text("here")
    assert await call(read_file, workspace, path=f"{workspace}/a.txt") == "here"
    assert await call(read_file, workspace, path=f"{workspace}/b/../a.txt") == "here"
    assert await call(list_files, workspace, path=str(workspace)) == "a.txt (4 bytes)"


async def test_an_absolute_path_is_accepted_if_the_workspace_is_reached_by_a_symlink(workspace: Path) -> None:
    (workspace / "a.txt").write_text("here")
    alias = workspace.parent / "alias"
    alias.symlink_to(workspace)
    assert await call(read_file, alias, path=f"{workspace}/a.txt") == "here"
    assert await call(read_file, alias, path=f"{alias}/a.txt") == "here"


async def test_symlinks_that_stay_inside_are_followed(workspace: Path) -> None:
    (workspace / "src").mkdir()
    (workspace / "src" / "a.txt").write_text("one")
    (workspace / "near").symlink_to("src/a.txt")
    (workspace / "far").symlink_to(workspace / "src" / "a.txt")
    (workspace / "dir").symlink_to("src")
    (workspace / "src" / "up").symlink_to("../near")
    for path in ("near", "far", "dir/a.txt", "src/up", "dir/up"):
        assert await call(read_file, workspace, path=path) == "one"
    for number, path in enumerate(("near", "far", "dir/a.txt", "src/up")):
        assert await call(write_file, workspace, path=path, content=str(number)) == f"Wrote 1 byte to {path}."
        assert (workspace / "src" / "a.txt").read_text() == str(number)
    assert (workspace / "near").is_symlink()
    assert (workspace / "far").is_symlink()


async def test_symlinks_that_lead_out_are_refused_and_named(workspace: Path) -> None:
    (workspace / "file").symlink_to("../ws2/secret.txt")
    (workspace / "dir").symlink_to(workspace.parent / "ws2")
    (workspace / "chain").symlink_to("dir")
    (workspace / "sub").mkdir()
    (workspace / "sub" / "up").symlink_to("../..")
    links = {"file": "file", "dir/secret.txt": "dir", "chain/secret.txt": "dir", "sub/up/ws2/secret.txt": "sub/up"}
    for path, link in links.items():
        expected = (
            f'!"{path}" cannot be reached: its link "{link}" leads out of the workspace. Work with files inside it.'
        )
        assert await call(read_file, workspace, path=path) == expected
        assert await call(write_file, workspace, path=path, content="x") == expected
        assert await call(edit_file, workspace, path=path, old="C", new="x") == expected
        assert await call(search, workspace, pattern=".", path=path) == expected
    assert await call(write_file, workspace, path="dir/new/deep.txt", content="x") == (
        '!"dir/new/deep.txt" cannot be reached: its link "dir" leads out of the workspace. Work with files inside it.'
    )
    assert names_in(workspace.parent / "ws2") == ["secret.txt"]
    assert await call(search, workspace, pattern="CANARY") == 'No match for "CANARY" in 0 files.'
    assert await call(list_files, workspace) == ("chain (a link)\ndir (a link)\nfile (a link)\nsub/\nsub/up (a link)")


async def test_magic_links_in_proc_are_refused(workspace: Path) -> None:
    (workspace / "root").symlink_to("/proc/self/root")
    (workspace / "fd").symlink_to("/proc/self/fd/0")
    assert await call(read_file, workspace, path="root/etc/passwd") == (
        '!"root/etc/passwd" cannot be reached: its link "root" leads out of the workspace. Work with files inside it.'
    )
    assert await call(read_file, workspace, path="fd") == (
        '!"fd" cannot be reached: its link "fd" leads out of the workspace. Work with files inside it.'
    )


async def test_a_symlink_cycle_is_refused(workspace: Path) -> None:
    (workspace / "a").symlink_to("b")
    (workspace / "b").symlink_to("a")
    expected = '!"a" cannot be used: its links go round in a circle. Use the path of the file itself.'
    assert await call(read_file, workspace, path="a") == expected
    assert await call(write_file, workspace, path="a", content="") == expected


async def test_illegal_paths_are_refused(workspace: Path) -> None:
    assert await call(read_file, workspace, path="") == (
        '!The path is empty. Give the path of a file, or "." for the workspace.'
    )
    assert await call(read_file, workspace, path="a\0b") == (
        r"!The path 'a\x00b' holds a control character. Give a plain file name."
    )
    assert await call(write_file, workspace, path="a\nb", content="") == (
        r"!The path 'a\nb' holds a control character. Give a plain file name."
    )
    assert await call(write_file, workspace, path="é" * 128, content="") == (
        f'!The name "{"é" * 40}..." is longer than 255 bytes. Give a shorter one.'
    )
    assert await call(write_file, workspace, path="a/" * 2_001, content="") == (
        "!The path is 4002 bytes long, more than 4000. Give a shorter one."
    )
    with pytest.raises(ToolError) as caught:
        await read_file.body(
            read_file.arguments.check('{"path":"x"}').model_copy(update={"path": "\ud800"}),  # type: ignore[attr-defined]
            ToolContext(workspace=workspace),
        )
    assert str(caught.value) == r"The path '\ud800' is not valid Unicode. Send the name as list_files shows it."


async def test_a_missing_file_is_answered_with_the_nearest_name(workspace: Path) -> None:
    (workspace / "src").mkdir()
    (workspace / "src" / "main.py").write_text("")
    assert await call(read_file, workspace, path="src/Main.py") == (
        '!There is no "src/Main.py" in the workspace. Did you mean "src/main.py"?'
    )
    assert await call(read_file, workspace, path="~/.ssh/id") == (
        '!There is no "~/.ssh/id" in the workspace. Call list_files to see what there is.'
    )
    deep = "/".join("a" * 1_900)
    assert await call(read_file, workspace, path=deep) == (
        f'!There is no "{deep}" in the workspace. Call list_files to see what there is.'
    )


async def test_anything_but_a_regular_file_is_refused_without_blocking(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(workspace / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(workspace)  # a socket's path must be short
        server.bind("sock")
    (workspace / "dir").mkdir()
    (workspace / "zero").symlink_to("/dev/zero")
    no_file = "is not a regular file (a pipe, a socket or a device). Work with other files."
    assert await call(read_file, workspace, path="fifo") == f'!"fifo" {no_file}'
    assert await call(write_file, workspace, path="fifo", content="x") == f'!"fifo" {no_file}'
    assert await call(read_file, workspace, path="sock") == (
        '!"sock" cannot be used: it is a socket or a device, not a file. Work with other files.'
    )
    assert await call(write_file, workspace, path="sock", content="x") == f'!"sock" {no_file}'
    for tool, more in ((read_file, {}), (write_file, {"content": "x"})):
        assert await call(tool, workspace, path="dir", **more) == (
            '!"dir" is a folder. Call list_files to see its files.'
        )
    assert await call(write_file, workspace, path=".", content="x") == (
        '!"." is a folder. Call list_files to see its files.'
    )
    assert await call(list_files, workspace) == (
        "dir/\nfifo (not a regular file)\nsock (not a regular file)\nzero (a link)"
    )


async def test_a_file_used_as_a_folder_is_refused(workspace: Path) -> None:
    (workspace / "a").write_text("")
    text = "cannot be used: a part of it is not a folder. Call list_files to see what there is."
    assert await call(list_files, workspace, path="a") == f'!"a" {text}'
    assert await call(read_file, workspace, path="a/b") == f'!"a/b" {text}'
    assert await call(write_file, workspace, path="a/b", content="") == f'!"a/b" {text}'


async def test_the_git_folder_can_be_read_but_not_written(workspace: Path) -> None:
    (workspace / ".git" / "hooks").mkdir(parents=True)
    (workspace / ".git" / "config").write_text("[core]")
    (workspace / "hooks").symlink_to(".git/hooks")
    (workspace / "settings").symlink_to(".git/config")
    assert await call(read_file, workspace, path=".git/config") == "[core]"
    for path in (".git/config", ".git/hooks/pre-commit", ".GIT/x", "hooks/pre-commit", "settings", "sub/.git", ".git"):
        expected = f'!"{path}" is in .git, which may not be written. Use git commands for what git keeps there.'
        assert await call(write_file, workspace, path=path, content="x") == expected
    assert await call(edit_file, workspace, path="settings", old="core", new="x") == (
        '!"settings" is in .git, which may not be written. Use git commands for what git keeps there.'
    )
    assert (workspace / ".git" / "config").read_text() == "[core]"
    assert names_in(workspace / ".git" / "hooks") == []
    assert await call(write_file, workspace, path=".gitignore", content="x\n") == "Wrote 2 bytes to .gitignore."


async def test_a_replaced_file_keeps_its_permission_bits_except_setuid(workspace: Path) -> None:
    script = workspace / "run.sh"
    script.write_text("a")
    script.chmod(0o4751)
    await call(edit_file, workspace, path="run.sh", old="a", new="b")
    assert (script.read_text(), stat.S_IMODE(script.stat().st_mode)) == ("b", 0o751)
    assert names_in(workspace) == ["run.sh"]


async def test_a_write_protected_file_is_not_written_through(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replacing a file needs no permission on the file itself, so edits passed over its protection."""
    frozen = workspace / "frozen.py"
    frozen.write_text("KEEP = 1\n")
    frozen.chmod(0o444)

    def refused(*_: object, **__: object) -> bool:
        return False

    monkeypatch.setattr(os, "access", refused)  # root may write to it
    expected = (
        '!"frozen.py" is write-protected (mode 444). If it may be changed, make it writable first: run_shell with '
        "chmod u+w."
    )
    assert await call(write_file, workspace, path="frozen.py", content="x") == expected
    assert await call(edit_file, workspace, path="frozen.py", old="1", new="2") == expected
    diff = "--- a/frozen.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-KEEP = 1\n"
    assert await call(apply_diff, workspace, diff=diff) == expected
    assert frozen.read_text() == "KEEP = 1\n"
    assert names_in(workspace) == ["frozen.py"]


async def test_writing_to_a_hard_link_leaves_the_other_name_alone(workspace: Path) -> None:
    outside = workspace.parent / "ws2" / "secret.txt"
    os.link(outside, workspace / "hard")
    await call(write_file, workspace, path="hard", content="x")
    assert outside.read_text() == "CANARY"


async def test_names_in_a_listing_cannot_forge_lines(workspace: Path) -> None:
    (workspace / "a\nb.txt (9 bytes)").write_text("")
    (workspace / "-rf").write_text("")
    Path(os.fsdecode(os.fsencode(workspace) + b"/\xff")).write_text("x")
    assert await call(list_files, workspace) == ("-rf (0 bytes)\na\\nb.txt (9 bytes) (0 bytes)\n\\udcff (1 byte)")
    assert await call(search, workspace, pattern="x") == "\\udcff:1: x"


# Paths are resolved by the kernel (openat2) where available, else by our own walk; both must be safe.
both_resolvers = pytest.mark.parametrize("platform", ["linux", "darwin"])
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="uses renameat2 and /proc")


@needs_linux
@both_resolvers
async def test_a_folder_swapped_for_a_symlink_during_a_call_does_not_lead_out(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    """A thread swaps a folder with a symlink to the outside, back and forth, while the tools run."""
    monkeypatch.setattr(sys, "platform", platform)
    outside = workspace.parent / "ws2"
    (workspace / "d").mkdir()
    (workspace / "d" / "secret.txt").write_text("inside")
    (workspace / "link").symlink_to(outside)
    stop = threading.Event()
    one, other = os.fsencode(workspace / "d"), os.fsencode(workspace / "link")

    def swap() -> None:
        libc = ctypes.CDLL(None)
        while not stop.is_set():
            libc.renameat2(-100, one, -100, other, 2)  # AT_FDCWD, RENAME_EXCHANGE: swaps both names atomically

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen: set[str] = set()
    try:
        for _ in range(60):
            seen.add(str(await call(read_file, workspace, path="d/secret.txt"))[:25])
            seen.add(str(await call(write_file, workspace, path="d/new.txt", content="x"))[:25])
            seen.add(str(await call(list_files, workspace, path="d"))[:25])
    finally:
        stop.set()
        swapper.join()
    assert names_in(outside) == ["secret.txt"]
    assert (outside / "secret.txt").read_text() == "CANARY"
    assert not [text for text in seen if "CANARY" in text or text == "secret.txt (6 bytes)"]
    assert "inside" in seen
    assert any(text.startswith('!"d') for text in seen)


NAMES = ("a", "b", "c")
part = st.sampled_from((*NAMES, *NAMES, "..", ".", ""))
made_path = st.lists(part, min_size=1, max_size=5).map("/".join)


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[str, str, str]]:
    """Entries to create, in order: (kind, path, symlink target, in which WS and OUT stand for the two folders)."""
    start = st.sampled_from(("", "", "../", "../../", "WS/", "OUT/", "/", "WS/../"))
    target = st.tuples(start, made_path).map("".join)
    kind = st.sampled_from(("folder", "file", "link", "link"))
    place = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
    return draw(st.lists(st.tuples(kind, place, target), min_size=1, max_size=10))


def build(workspace: Path, outside: Path, tree: list[tuple[str, str, str]]) -> None:
    workspace.mkdir(parents=True)
    outside.mkdir()
    for name in NAMES:
        (outside / name).write_text("CANARY")
    for kind, place, target in tree:
        path = workspace / place
        parent = Path(os.path.realpath(path.parent))
        if not path.parent.is_dir() or not parent.is_relative_to(workspace) or os.path.lexists(path):
            continue
        if kind == "folder":
            path.mkdir()
        elif kind == "file":
            path.write_text("inside")
        else:
            path.symlink_to(target.replace("WS", str(workspace)).replace("OUT", str(outside)) or ".")


def kernel_path(path: Path) -> Path | None:
    """Return the path as the kernel resolves it. None means that it cannot be opened."""
    try:
        descriptor = os.open(path, os.O_PATH)
    except OSError:
        return None
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    finally:
        os.close(descriptor)


async def test_a_symlink_to_a_missing_folder_is_not_written_as_a_file(workspace: Path) -> None:
    for name, target in {"a": "b/.", "c": f"{workspace}/d/"}.items():
        os.symlink(target, workspace / name)  # noqa: PTH211 - pathlib would normalize the target
        assert await call(write_file, workspace, path=name, content="x") == (
            f'!"{name}" is a folder. Call list_files to see its files.'
        )


@needs_linux
@both_resolvers
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees(), paths=st.lists(made_path, min_size=1, max_size=4))
async def test_no_path_through_any_tree_of_symlinks_leads_out(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    tree: list[tuple[str, str, str]],
    paths: list[str],
) -> None:
    """Paths that the kernel resolves to the inside are readable; nothing outside is read, listed or written."""
    top = Path(os.path.realpath(tmp_path_factory.mktemp("tree")))
    workspace, outside = top / "ws", top / "out"
    build(workspace, outside, tree)
    monkeypatch.setattr(sys, "platform", platform)
    for path in paths:
        normalized = posixpath.normpath(path) if path else ""
        real = kernel_path(workspace / normalized)
        is_inside = (
            bool(path)
            and not normalized.startswith(("..", "/"))
            and real is not None
            and real.is_relative_to(workspace)
        )
        answer = await call(read_file, workspace, path=path)
        listed = await call(list_files, workspace, path=path)
        if is_inside and real and real.is_file():
            assert answer == real.read_text()
        else:
            assert str(answer).startswith("!")
        assert str(listed).startswith("!") != bool(is_inside and real and real.is_dir())
        wrote = await call(write_file, workspace, path=path, content="new")
        if str(wrote).startswith("Wrote"):
            now = kernel_path(workspace / normalized)
            assert now is not None
            assert now.is_relative_to(workspace)
            assert now.read_text() == "new"
    assert names_in(outside) == list(NAMES)
    assert {(outside / name).read_text() for name in NAMES} == {"CANARY"}
    assert names_in(top) == ["out", "ws"]
