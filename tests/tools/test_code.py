"""Outlines, definitions and references of Python code, formatted for a model."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent import ToolContext
from tools.code import find_definition, find_references, outline

if TYPE_CHECKING:
    from conftest import Called

SHOP = '''\
"""A small shop."""
from functools import cache

from stock import Shelf


class Order(Shelf):
    """A customer's order."""

    @property
    def total(self) -> int:
        return count(self.lines)


@cache
def count(lines, /, *, least: int = 0) -> int:
    return len(lines) + least


if True:
    async def later(): ...
'''
STOCK = """\
from os import path


class Shelf:
    def __init__(self):
        self.lines = []


def refill(shelf: Shelf) -> str:
    return path.join("a", str(shelf.lines))
"""


@pytest.fixture
def shop(tmp_path: Path) -> ToolContext[Any]:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "stock.py").write_text(STOCK)
    return ToolContext(workspace=tmp_path)


async def test_an_outline_has_lines_signatures_and_first_docstring_lines(shop: ToolContext[Any], called: Called):
    assert await called(outline, shop, path="shop.py") == (
        "shop.py, 21 lines: A small shop.\n"
        "7-12: class Order(Shelf)  # A customer's order.\n"
        "  10-12: @property def total(self) -> int\n"
        "15-17: @cache def count(lines, /, *, least: int=0) -> int\n"
        "21-21: async def later()"
    )
    (shop.workspace / "shop.py").write_text("x = 1\n")
    assert await called(outline, shop, path="shop.py") == "shop.py, 1 line\n(no classes or functions)"


async def test_a_syntax_error_is_reported_with_its_line(shop: ToolContext[Any], called: Called):
    (shop.workspace / "shop.py").write_text("def f(:\n")
    assert await called(outline, shop, path="shop.py") == (
        '!"shop.py" is not valid Python at line 1: invalid syntax. Read that part with read_file.'
    )


async def test_a_definition_is_found_by_name_or_by_position(shop: ToolContext[Any], called: Called):
    assert await called(find_definition, shop, name="refill") == "stock.py:9: def refill(shelf: Shelf) -> str:"
    assert await called(find_definition, shop, name="Shelf", path="shop.py", line=7) == "stock.py:4: class Shelf:"
    assert await called(find_definition, shop, name="count", path="shop.py") == (
        "shop.py:16: def count(lines, /, *, least: int = 0) -> int:"
    )
    assert await called(find_definition, shop, name="path.join", path="stock.py", line=10) == (
        "outside the workspace: os.path.join"
    )


async def test_references_are_those_of_the_name_at_the_line(shop: ToolContext[Any], called: Called):
    assert await called(find_references, shop, name="lines", path="stock.py", line=6) == (
        "shop.py:12: return count(self.lines)\n"
        "stock.py:6: self.lines = []\n"
        'stock.py:10: return path.join("a", str(shelf.lines))'
    )


async def test_a_definition_alone_is_not_passed_off_as_all_uses(shop: ToolContext[Any], called: Called):
    """A method called on an object of unknown type was answered as if it were never used."""
    (shop.workspace / "shop.py").write_text(
        "class Shop:\n    def close(self): ...\n\ndef end(shop):\n    shop.close()\n"
    )
    assert await called(find_references, shop, name="close", path="shop.py", line=2) == (
        "shop.py:2: def close(self): ...\n"
        "[Only the definition was found; uses on objects of unknown type are not seen: try search for \\bclose\\b]"
    )
    (shop.workspace / "shop.py").write_text("a = 1\na = 2\n")
    assert (await called(find_references, shop, name="a", path="shop.py", line=1)).endswith(
        "\nshop.py:2: a = 2\n"
        "[Only definitions were found; uses on objects of unknown type are not seen: try search for \\ba\\b]"
    )


async def test_a_name_that_is_not_found_is_answered_with_what_to_do(shop: ToolContext[Any], called: Called):
    assert await called(find_references, shop, name="count", path="shop.py", line=1) == (
        '!"count" is not in line 1 of "shop.py". Set line to one of: 12, 16.'
    )
    assert await called(find_definition, shop, name="cou", path="shop.py") == (
        '!"cou" is not in "shop.py". Copy the name from the file.'
    )
    assert await called(find_definition, shop, name="nowhere") == (
        '!No definition of "nowhere" was found. Use search to find it as text.'
    )
    assert await called(find_definition, shop, name="a b") == (
        "!'a b' is not a Python name. Set name to one such as total or Order.total; use search for other text."
    )
    assert (await called(find_definition, shop, name="x", path="../x.py")).startswith('!"../x.py" is outside')


@pytest.mark.parametrize("target", ["itself", "missing", "."])
@pytest.mark.parametrize("name", ["new.py", "deep/new.pyi", ".gitignore", "deep/.gitignore", "new", "setup.cfg"])
async def test_a_link_that_cannot_be_opened_is_refused_with_words(
    shop: ToolContext[Any], called: Called, name: str, target: str
):
    """Another part of the code opened a symlink to itself, and the model read a raw OSError with the machine's path."""
    link = shop.workspace / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(link.name if target == "itself" else target)
    texts = [
        await called(find_definition, shop, name="count"),
        await called(find_definition, shop, name="count", path="shop.py"),
        await called(find_references, shop, name="count", path="shop.py", line=1),
    ]
    assert not [text for text in texts if "Errno" in text or str(shop.workspace) in text]
    reasons = {"itself": "cannot be read (Too many levels of symbolic links)", "missing": "is a link to a missing file"}
    told = f'!"{name}" {reasons.get(target)}, and this tool would read it. Remove the file, or use search instead.'
    assert (texts[0] == told) is (target == "itself" or (target == "missing" and name.endswith(".gitignore")))


async def test_a_file_that_may_not_be_read_is_refused_with_words(
    shop: ToolContext[Any], called: Called, monkeypatch: pytest.MonkeyPatch
):
    """The system lets root read every file, so it refuses here at the call that jedi makes."""
    secret = shop.workspace / ".gitignore"
    secret.touch(mode=0)
    system_open = open

    def refusing_open(file: Any, *args: Any, **settings: Any) -> Any:
        if str(file) == str(secret):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(secret))
        return system_open(file, *args, **settings)

    monkeypatch.setattr("builtins.open", refusing_open)
    assert await called(find_definition, shop, name="count") == (
        '!".gitignore" cannot be read (Permission denied), and this tool would read it. Remove the file, or use search '
        "instead."
    )


@pytest.mark.parametrize("name", ["pipe.py", "deep/pipe.pyi", "deep/.gitignore"])
async def test_a_pipe_among_the_python_files_is_not_waited_for(shop: ToolContext[Any], called: Called, name: str):
    """Another part of the code opened every Python file of the workspace, and waited for ever for the pipe."""
    (shop.workspace / "deep").mkdir()
    os.mkfifo(shop.workspace / name)
    answer = (
        f'!"{name}" is or links to a pipe, a socket or a device, and this tool would read it. Remove the file, or use '
        "search instead."
    )
    assert await called(find_definition, shop, name="count") == answer
    assert await called(find_references, shop, name="count", path="shop.py", line=12) == answer


async def test_endless_and_huge_python_files_are_not_read(shop: ToolContext[Any], called: Called):
    (shop.workspace / "zero.py").symlink_to("/dev/zero")
    assert (await called(find_definition, shop, name="count")).startswith('!"zero.py" is or links to a pipe')
    (shop.workspace / "zero.py").unlink()
    with (shop.workspace / "huge.py").open("wb") as file:
        file.truncate(1_000_000_000_000)
    assert (await called(find_definition, shop, name="count")).startswith('!"huge.py" is larger than 20,000,000 bytes')


async def test_a_line_of_a_file_outside_is_not_shown_through_a_symlink(
    shop: ToolContext[Any], called: Called, tmp_path_factory: pytest.TempPathFactory
):
    """Any Python file of the machine could be read so, line by line, by names in it."""
    outside = tmp_path_factory.mktemp("outside") / "keys.py"
    outside.write_text("secret_key = 'canary'\n")
    (shop.workspace / "link.py").symlink_to(outside)
    (shop.workspace / "use.py").write_text("from link import secret_key\n")
    for answer in (
        await called(find_definition, shop, name="secret_key"),
        await called(find_references, shop, name="secret_key", path="use.py", line=1),
    ):
        assert "outside the workspace: link.secret_key" in answer
        assert "canary" not in answer


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
async def test_the_python_of_the_workspace_is_not_started_to_find_a_name(
    shop: ToolContext[Any], called: Called, monkeypatch: pytest.MonkeyPatch, variable: str
):
    """An active environment's Python was started outside the sandbox: with a venv in the project, the model's file."""
    environment, ran = shop.workspace / ".venv", shop.workspace / "ran"
    (environment / "bin").mkdir(parents=True)
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (environment / "bin" / "python").write_text(f"#!/bin/sh\ntouch {ran}\n")
    (environment / "bin" / "python").chmod(0o755)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setenv(variable, str(environment))
    (shop.workspace / "gi.py").write_text(f"open({str(ran)!r}, 'w')\n")
    (shop.workspace / "uses.py").write_text("import gi\ngi.x\n")

    found = await called(find_definition, shop, name="refill")
    await called(find_references, shop, name="gi", path="uses.py", line=1)

    assert "stock.py:9" in found
    assert not ran.exists()
