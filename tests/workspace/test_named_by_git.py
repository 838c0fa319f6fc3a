"""Files in the workspace that the user's own settings of git name: a run that changes one says so."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent.workspace.named_by_git import changed_since, named_by_git


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository, whose user has no settings of their own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "work"
    folder.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def configure(folder: Path, *settings: tuple[str, str]) -> None:
    for key, value in settings:
        subprocess.run(["git", "config", key, value], cwd=folder, check=True)


def put(folder: Path, name: str, text: str = "") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


CHANGES = {
    "a hook": (("core.hooksPath", ".githooks"), ".githooks/pre-commit"),
    "a script of a hook": (("core.hooksPath", ".githooks"), ".githooks/lib/common.sh"),
    "a hook that husky starts": (("core.hooksPath", ".husky/_"), ".husky/pre-commit"),
    "included settings": (("include.path", "../.gitconfig"), ".gitconfig"),
    "settings that another branch includes": (("includeIf.onbranch:x.path", "../git/x.cfg"), "git/x.cfg"),
    "a filter": (("filter.x.clean", "python3 tools/clean.py %f"), "tools/clean.py"),
    "an alias": (("alias.up", "!./up.sh --all"), "up.sh"),
    "a monitor": (("core.fsmonitor", "./watch"), "watch"),
}


@pytest.mark.parametrize(("setting", "path"), CHANGES.values(), ids=CHANGES)
def test_a_changed_file_that_settings_name_is_named(setting: tuple[str, str], path: str, work: Path):
    configure(work, setting)
    put(work, path)
    before = named_by_git(work)
    put(work, path, "x")
    assert list(changed_since(before, work)) == [
        f"The run changed files that your settings of git name: {path}. git starts them, or reads settings from them: "
        "look at them before you use git or an editor there."
    ]


@pytest.mark.parametrize("name", ["a hook", "a hook that husky starts", "included settings"])
def test_a_new_file_where_settings_have_git_look_is_named(name: str, work: Path):
    setting, path = CHANGES[name]
    configure(work, setting)
    before = named_by_git(work)
    put(work, path, "x")
    assert f"settings of git name: {path}. " in next(changed_since(before, work))


def test_other_files_and_harmless_settings_give_no_notice(work: Path):
    configure(work, ("core.hooksPath", ".githooks"), ("init.defaultBranch", "main"), ("user.name", "main"))
    put(work, ".githooks/pre-commit")
    put(work, "main")
    before = named_by_git(work)
    put(work, "main", "x")
    put(work, "pre-commit", "x")
    assert list(changed_since(before, work)) == []


def test_the_settings_of_the_user_and_of_a_repository_above_the_workspace_count(work: Path, tmp_path: Path):
    put(tmp_path, "home/.gitconfig", "[core]\n\thooksPath = sub/hooks\n")
    put(work, "sub/hooks/pre-push")
    before = named_by_git(work / "sub")
    put(work, "sub/hooks/pre-push", "x")
    assert "settings of git name: hooks/pre-push. " in next(changed_since(before, work / "sub"))


def test_what_lies_elsewhere_is_not_looked_at(work: Path, tmp_path: Path):
    configure(work, ("core.hooksPath", str(tmp_path / "hooks")), ("include.path", "~/more"))
    assert named_by_git(work) == {}
