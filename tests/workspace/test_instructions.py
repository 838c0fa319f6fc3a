"""A project's instructions are found nearest to the workspace, bounded, and never outside its repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.workspace.instructions import MAX_CHARS, Instructions, read_instructions, shorten_instructions


def test_agents_md_comes_before_claude_md(tmp_path: Path):
    (tmp_path / "CLAUDE.md").write_text("Old.")
    assert read_instructions(tmp_path) == Instructions(path="CLAUDE.md", text="Old.")
    (tmp_path / "AGENTS.md").write_text("New.\n")
    assert read_instructions(tmp_path) == Instructions(path="AGENTS.md", text="New.")


def test_the_nearest_file_of_the_repository_counts(tmp_path: Path):
    (tmp_path / "AGENTS.md").write_text("Outside of the repository.")
    top, inner = tmp_path / "repository", tmp_path / "repository" / "a" / "b"
    inner.mkdir(parents=True)
    (top / ".git").mkdir()
    assert read_instructions(inner) is None
    (top / "AGENTS.md").write_text("Top.")
    assert read_instructions(inner) == Instructions(path=str(top / "AGENTS.md"), text="Top.")
    (inner / "AGENTS.md").write_text("Near.")
    assert read_instructions(inner) == Instructions(path="AGENTS.md", text="Near.")


def test_a_symlink_is_followed_inside_the_repository_only(tmp_path: Path):
    (tmp_path / "secret").write_text("A secret.")
    project = tmp_path / "project"
    project.mkdir()
    (project / "AGENTS.md").symlink_to(tmp_path / "secret")
    assert read_instructions(project) is None
    (project / "docs.md").write_text("Docs.")
    (project / "AGENTS.md").unlink()
    (project / "AGENTS.md").symlink_to("docs.md")
    assert read_instructions(project) == Instructions(path="AGENTS.md", text="Docs.")


@pytest.mark.parametrize("name", ["AGENTS.md", "docs.md"])
def test_a_symlink_that_a_run_made_does_not_bring_in_a_file_of_the_repository_outside_the_workspace(
    tmp_path: Path, name: str
):
    """A run in a part of a repository left `AGENTS.md -> ../.git/config`; the next prompt held the token in its URL."""
    workspace = tmp_path / "part"
    workspace.mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("url = https://token@host/x")
    (workspace / name).symlink_to("../.git/config")
    if name == "docs.md":  # the repository's own file leads into the workspace
        (tmp_path / "AGENTS.md").symlink_to("part/docs.md")
    assert read_instructions(workspace) is None


def test_a_symlink_of_a_part_to_the_file_of_its_repository_changes_nothing(tmp_path: Path):
    (tmp_path / "part").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "AGENTS.md").write_text("Top.")
    (tmp_path / "part" / "AGENTS.md").symlink_to("../AGENTS.md")
    assert read_instructions(tmp_path / "part") == Instructions(path=str(tmp_path / "AGENTS.md"), text="Top.")


def test_a_pipe_in_place_of_the_file_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "AGENTS.md")
    (tmp_path / "CLAUDE.md").symlink_to("/dev/zero")
    assert read_instructions(tmp_path) is None


def test_a_long_file_is_cut_and_says_so(tmp_path: Path):
    (tmp_path / "AGENTS.md").write_text("x" * (MAX_CHARS + 1))
    found = read_instructions(tmp_path)
    assert found == Instructions(path="AGENTS.md", text="x" * MAX_CHARS, is_cut=True)


def test_what_is_no_text_is_ignored(tmp_path: Path):
    for content in (b"", b"  \n", b"\xff\xfe\x00", b"a\0b"):
        (tmp_path / "AGENTS.md").write_bytes(content)
        assert read_instructions(tmp_path) is None
    (tmp_path / "AGENTS.md").unlink()
    (tmp_path / "AGENTS.md").symlink_to("AGENTS.md")
    assert read_instructions(tmp_path) is None


def test_shortened_instructions_end_between_lines_and_list_what_is_cut_off():
    tests = "## Tests\n\n```bash\n# Run all\nmake test\n```\n\n### Style of tests"
    text = f"# Guide\n\nUse tabs.\n\n{tests}\n\n## Commits\n\nShort."
    found = Instructions(path="AGENTS.md", text=text)
    assert shorten_instructions(found, 1_000) is found
    assert shorten_instructions(found, 40) == Instructions(
        path="AGENTS.md", text="# Guide\n\nUse tabs.\n\n## Tests", is_cut=True, headings=("Commits",)
    )
    assert shorten_instructions(Instructions(path="AGENTS.md", text="x" * 50), 40).text == "x" * 40
