"""Settings and hooks that a run hides from the look at its end: behind many files, odd pointers and huge files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from agent import ConfigError
from agent.sandbox import repositories
from agent.sandbox.repositories import Search, git_paths
from agent.workspace import git_settings as module
from agent.workspace.git_command import add_worktree
from agent.workspace.git_settings import disarm_git, git_settings

GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run([*GIT, *arguments], cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


HIDDEN = {
    "config": "[core]\n\tfsmonitor = touch x\n", "config.worktree": "[core]\n\tfsmonitor = touch x\n",
    "commondir": "../c", "hooks/post-checkout": "#!/bin/sh\n", "info/attributes": "* filter=x\n",
}  # fmt: skip


def hide(git_folder: Path, name: str, files: int) -> Path:
    for number in range(files):
        (git_folder / f"a{number}").touch()
    path = git_folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HIDDEN[name])
    return path


@pytest.mark.parametrize("name", list(HIDDEN))
def test_names_that_sort_before_a_setting_do_not_hide_it(name: str, work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_MAX_ENTRIES", 2_000)
    before = git_settings(work)
    (work / ".git").mkdir()
    path = hide(work / ".git", name, 2_001)
    notices = list(disarm_git(work, before))
    assert not path.exists() or "fsmonitor" not in path.read_text()
    assert f"The run left settings or hooks by which git starts programs: .git/{name}. " in notices[1]
    assert notices[2].startswith("Not all git settings and hooks in the workspace were looked at")


@pytest.mark.parametrize("name", ["hooks", "info", "config"])
def test_names_that_sort_before_a_link_do_not_hide_it(name: str, work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_MAX_ENTRIES", 0)
    before = git_settings(work)
    (work / ".git").mkdir()
    (work / ".git" / name).symlink_to("../x")
    list(disarm_git(work, before))
    assert not (work / ".git" / name).is_symlink()


def test_repositories_of_the_run_do_not_hide_what_it_did_to_the_users(work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_MAX_FILES", 2)
    mine = work / "deep" / "mine"
    mine.mkdir(parents=True)
    git(mine, "init", "-q")
    kept = (mine / ".git/config").read_text()
    before = git_settings(work)
    for name in ("a", "b", "c"):
        git(work, "init", "-q", name)
    git(mine, "config", "core.fsmonitor", "touch x")
    notices = list(disarm_git(work, before))
    assert (mine / ".git/config").read_text() == kept
    assert "because there are more than 2 of them" in notices[-1]


def test_a_workspace_within_the_limits_gets_no_notice_of_them(work: Path):
    git(work, "init", "-q")
    assert list(disarm_git(work, git_settings(work))) == []


def test_a_setting_that_cannot_be_taken_away_is_named(work: Path):
    before = git_settings(work)
    git(work, "init", "-q")
    git(work, "config", "core.fsmonitor", "touch x")
    (work / ".agent").mkdir()
    (work / ".agent/git").touch()  # where it would be kept
    notices = list(disarm_git(work, before))
    assert "could not be taken away: .git/config. " in notices[-1]


def test_a_hook_in_a_folder_that_cannot_be_listed_is_taken_away(work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_MAX_ENTRIES", 0)  # as if it could not be listed: root can list each
    before = git_settings(work)
    hooks = work / ".git/hooks"
    hooks.mkdir(parents=True)
    (hooks / "pre-commit").write_text("#!/bin/sh\n")
    hooks.chmod(0o311)
    list(disarm_git(work, before))
    assert not (hooks / "pre-commit").exists()
    hooks.chmod(0o755)


def test_many_large_settings_are_not_all_kept_in_memory(work: Path):
    for number in range(20):
        (work / f"n{number}/.git").mkdir(parents=True)
        (work / f"n{number}/.git/config").write_bytes(b"#" * 1_000_000)
    found = git_settings(work)
    assert sum(map(len, found.files.values())) <= 8 * 1024 * 1024
    assert not found.is_whole
    assert "8 MB" in list(disarm_git(work, found))[-1]


# Found as git finds them.


def test_a_repository_whose_objects_are_in_its_common_folder_is_found(work: Path):
    before = git_settings(work)
    for name in ("objects", "refs/heads"):
        (work / "c" / name).mkdir(parents=True)
    (work / "HEAD").write_text("ref: refs/heads/main\n")
    (work / "commondir").write_text("c\n")
    (work / "c/config").write_text("[core]\n\tbare = true\n\tpager = touch x\n")
    assert git(work, "config", "core.pager") == "touch x\n"
    assert set(git_paths([work])) == {work / "commondir"}
    list(disarm_git(work, before))
    assert git(work, "config", "core.pager") == ""


POINTERS = {
    "blank at the end": (b"gitdir: ../x \n", "x "), "blank at the start": (b"gitdir:  ../x\n", " ../x"),
    "line end inside": (b"gitdir: ../x\ny\r\n\n", "x\ny"), "null": (b"gitdir: ../x\0y\n", "x"),
    "not UTF-8": (b"gitdir: ../\xff\n", "\udcff"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(POINTERS))
def test_a_pointer_is_read_as_git_reads_it(name: str, work: Path):
    text, target = POINTERS[name]
    before = git_settings(work)
    (work / "n").mkdir()
    folder = work / "n" / target if target.startswith(" ") else work / target
    (work / "n" / " ..").mkdir()
    git(work, "init", "-q", "--bare", "o")
    folder = Path(os.path.normpath(folder))
    (work / "o").rename(folder)
    git(folder, "config", "core.bare", "false")
    (folder / "refs").rename(work / "refs")  # not a bare repository for itself
    (folder / "refs").symlink_to(work / "refs")
    git(folder, "config", "core.fsmonitor", "touch x")
    (work / "n/.git").write_bytes(text)
    assert git(work / "n", "config", "core.fsmonitor") == "touch x\n"
    [found] = [one for one in Search(work) if one.kind == "file"]
    assert found.git_folder() == folder
    list(disarm_git(work, before))
    assert git(work / "n", "config", "core.fsmonitor") == ""


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_pointer_to_itself_ends_nothing(kind: str, work: Path):
    (work / "loop").symlink_to("loop")
    if kind == "link":
        (work / ".git").symlink_to(".git")
    else:
        (work / ".git").write_text("gitdir: loop\n")
    assert [one.kind for one in Search(work)] == [kind]
    git_paths([work])
    git_settings(work)


def test_a_folder_of_many_files_hides_no_repository_beside_it(work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(repositories, "MAX_ENTRIES", 5)
    for folder in range(3):
        (work / f"{folder}/.git").mkdir(parents=True)
        for number in range(9):
            (work / f"{folder}/{number}").touch()
    assert {one.path.name for one in Search(work)} == {"0", "1", "2"}


def test_a_workspace_of_too_many_files_to_search_is_said(work: Path, monkeypatch: pytest.MonkeyPatch):
    """What lay far below 60,000 files was neither looked at nor read-only, without a word."""
    monkeypatch.setattr(repositories, "MAX_ENTRIES", 5)
    before = git_settings(work)
    (work / "far/below").mkdir(parents=True)
    assert list(disarm_git(work, before)) == []
    for number in range(9):
        (work / f"{number}").touch()
    (text,) = disarm_git(work, before)
    assert text.startswith("There are more than 400,000 files in ")
    assert text.endswith("or look for them before you use git or an editor there.")


# Our own git.


@pytest.mark.parametrize("condition", ["gitdir:**/worktrees/**", "gitdir/i:**/WORKTREES/**"])
def test_settings_that_hold_only_in_the_worktree_start_nothing_there(condition: str, work: Path, tmp_path: Path):
    mark = tmp_path / "ran"
    git(work, "init", "-q")
    (work / "f").write_text("1\n")
    (work / ".gitattributes").write_text("* filter=x\n")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "1")
    (work / ".git/more").write_text(f'[filter "x"]\n\tsmudge = touch {mark}; cat\n\trequired = true\n')
    git(work, "config", f"includeIf.{condition}.path", "more")
    add_worktree(work, tmp_path / "out", "HEAD")
    assert (tmp_path / "out/f").read_text() == "1\n"
    assert not mark.exists()
    assert git(tmp_path / "out", "status", "--porcelain") == ""


def test_a_checkout_that_fails_leaves_no_worktree(work: Path, tmp_path: Path):
    git(work, "init", "-q")
    (work / "f").write_text("1\n")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "1")
    blob = git(work, "rev-parse", "HEAD:f").strip()
    (work / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(ConfigError, match="git says"):
        add_worktree(work, tmp_path / "out", "HEAD")
    assert not (tmp_path / "out").exists()
    assert len(git(work, "worktree", "list").splitlines()) == 1
