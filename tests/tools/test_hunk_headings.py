"""The headings of hunks are those of git, and a diff that has them is applied as one without."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent import ToolContext
from agent.workspace.workspace import Snapshot, Workspace
from tools._hunk_headings import with_headings
from tools.changes import apply_diff
from tools.workspace_diff import diff

if TYPE_CHECKING:
    from conftest import Called

CODE = "import os\n\n\nclass Half:\n    def f(self):\n        a = 1\n        b = 2\n        c = 3\n        return a\n"
PYTHON = f"{CODE}\n\nasync def later(one,\n                two):\n    x = 1\n    y = 2\n    z = 3\n    return x\n"
TEXTS = {
    "a.py": PYTHON,
    "a.md": "# One\n\nText\n\n 1. a\n 2. b\n\n## Two\nb\nc\nd\ne\nf\n",
    "a.c": "int half(int number)\n{\n  /* a\n     b\n     c */\n  return number / 2;\n}\n\n\n\n\nx = 1;\n",
    "a.txt": "  1\n  2\n  3\n  4\n  5\n" + "$long " + "x" * 100 + "\n  1\n  2\n  3\n  4\n  5\n  6\n",
}


async def test_a_hunk_names_the_function_around_it_and_the_diff_is_applied(tmp_path: Path, called: Called):
    """Two changes of a long file could not be told apart without reading it again."""
    folder = tmp_path / "ws"
    folder.mkdir()
    (folder / "a.py").write_text(PYTHON)
    snapshot = Workspace(folder).snapshot(tmp_path / "snapshot")
    assert isinstance(snapshot, Snapshot)
    context = ToolContext(workspace=folder, snapshot=snapshot.tree)
    (folder / "a.py").write_text(PYTHON.replace("return a", "return b").replace("return x", "return y"))
    text = await called(diff, context)
    assert [line for line in text.splitlines() if line.startswith("@@")] == [
        "@@ -6,7 +6,7 @@ def f(self):",
        "@@ -14,4 +14,4 @@ async def later(one,",
    ]
    (folder / "a.py").write_text(PYTHON)
    assert await called(apply_diff, replace(context, snapshot=None), diff=text) == "Applied to a.py: lines 9, 17."
    assert await called(diff, context) == text


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("context_lines", [0, 3])
def test_headings_are_those_of_git(tmp_path: Path, name: str, context_lines: int):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitattributes").write_text("*.py diff=python\n*.md diff=markdown\n")
    lines = TEXTS[name].splitlines(keepends=True)
    for number, line in enumerate(lines):
        (tmp_path / name).write_text(TEXTS[name])
        subprocess.run(["git", "-C", tmp_path, "add", name], check=True)
        (tmp_path / name).write_text(
            "".join([*lines[:number], f"{line.rstrip()} changed\nnew\n", *lines[number + 1 :]])
        )
        argv = ["git", "-C", str(tmp_path), "diff", f"-U{context_lines}", name]
        shown = subprocess.run(argv, capture_output=True, check=True).stdout.decode()
        bare = re.sub(r"^(@@ -\S+ \+\S+ @@).*$", r"\1", shown, flags=re.MULTILINE)
        assert with_headings(bare, TEXTS[name], name) == shown


def test_lines_added_after_a_function_line_without_context_are_below_it():
    bare = "--- a/a.py\n+++ b/a.py\n@@ -5,0 +6 @@\n+        new\n"
    assert with_headings(bare, CODE, "a.py") == bare.replace("+6 @@", "+6 @@ def f(self):")
    first = bare.replace("-5,0 +6", "-0,0 +1")
    assert with_headings(first, CODE, "a.py") == first
