"""What a run leaves for git to start is taken away at its end, and named; our own git starts nothing there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from agent import Agent, ConfigError, Rules, Sandbox, find_sandbox
from agent.journal.events import Event, Noticed
from agent.sandbox.repositories import Search, git_paths, real_paths
from agent.testing import ScriptedModel, calls, says
from agent.workspace.git_command import run_git
from agent.workspace.git_settings import KEPT, disarm_git, git_settings
from tools.files import write_file
from tools.shell import run_shell

ENV = {"PATH": os.defpath, "HOME": "/nonexistent"}
GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run([*GIT, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout


def repository(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q")
    (folder / "f").write_text("1\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "1")
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def run(folder: Path, command: str, *, kind: str = "bubblewrap") -> tuple[str, ...]:
    sandbox = find_sandbox(kind, Rules())
    model = ScriptedModel([calls(("run_shell", {"command": command})), says("Done.")])
    return (
        Agent(model, tools=[run_shell, write_file], workspace=folder, env=ENV, sandbox=sandbox).run_sync("Go.").notices
    )


ARMED = {
    "fsmonitor": "git config core.fsmonitor 'touch {mark}; false'",
    "alias of a section": "printf '[core]\\n\\tFSMonitor = touch {mark}; false\\n' >> .git/config",
    "filter": "git config filter.x.clean 'touch {mark}; cat'; echo '* filter=x' > .gitattributes; echo 2 > f",
    "include": "git config include.path ../evil; printf '[core]\\nfsmonitor = touch {mark}; false\\n' > evil",
    "link": (
        "cp .git/config c; git config -f c core.fsmonitor 'touch {mark}; false'; rm .git/config; "
        "ln -s ../c .git/config"
    ),
    "worktree settings": (
        "git config extensions.worktreeConfig true; git config --worktree core.fsmonitor 'touch {mark}; false'"
    ),
    "common folder": (
        "cp -r .git o; git config -f o/config core.fsmonitor 'touch {mark}; false'; echo ../o > .git/commondir"
    ),
    "hook": (
        "mkdir -p .git/hooks; printf '#!/bin/sh\\ntouch {mark}\\n' > .git/hooks/post-index-change; "
        "chmod +x .git/hooks/*; touch f"
    ),
    "pointer": "mv .git g; echo 'gitdir: g' > .git; git config core.fsmonitor 'touch {mark}; false'",
    "link to it": "mv .git g; ln -s g .git; git config core.fsmonitor 'touch {mark}; false'",
}  # fmt: skip


@pytest.mark.parametrize("name", list(ARMED))
def test_a_repository_that_the_run_made_starts_nothing_afterwards(name: str, work: Path, tmp_path: Path):
    mark = tmp_path / "ran"
    made = "git init -q; git config user.email a@b; git config user.name a; echo 1 > f; git add f; git commit -qm 1; "
    notices = run(work, made + ARMED[name].format(mark=mark))
    git(work, "status")
    git(work, "diff")
    assert not mark.exists()
    assert "The run made git repositories: ." in "\n".join(notices)
    assert f"They were taken away and are kept in {KEPT}" in "\n".join(notices)


def test_a_harmless_repository_of_the_run_is_kept_as_it_is_and_named(work: Path):
    setup = "git init -q -b main; git config user.email a@b; git config user.name a; "
    notices = run(work, setup + "echo 1 > f; git add f; git commit -qm one")
    assert notices[0].startswith(f"The run has made a git repository: {work}.")  # at once, after the call that made it
    assert notices[1:] == ("The run made git repositories: ..",)
    assert git(work, "log", "--format=%s") == "one\n"
    assert "email = a@b" in (work / ".git/config").read_text()


def test_what_is_harmless_in_a_taken_file_stays(work: Path):
    before = git_settings(work)
    repository(work)
    git(work, "config", "user.name", 'A "b" \\ c')
    git(work, "config", "remote.origin.url", "https://example.org/x.git")
    git(work, "config", "remote.bad.url", "ext::sh -c touch% x")
    git(work, "config", "core.sshCommand", "touch x")
    list(disarm_git(work, before))
    assert git(work, "config", "--file", ".git/config", "user.name") == 'A "b" \\ c\n'
    assert git(work, "config", "remote.origin.url") == "https://example.org/x.git\n"
    assert git(work, "config", "--get-regexp", "ssh|bad") == ""
    assert "core" in (work / KEPT / "git/config").read_text()


@pytest.mark.parametrize("make", ["folder", "bare"])
def test_a_repository_below_the_top_or_without_dot_git_is_found(make: str, work: Path):
    before = git_settings(work)
    place = work / "a/b"
    place.mkdir(parents=True)
    git(place, "init", "-q", *(["--bare"] if make == "bare" else []))
    git(place, "config", "core.fsmonitor", "touch x")
    assert [text.partition(":")[0] for text in disarm_git(work, before)] == [
        "The run made git repositories", "The run left settings or hooks by which git starts programs",
    ]  # fmt: skip
    assert git(place, "config", "core.fsmonitor") == ""


def test_under_landlock_the_users_settings_are_put_back(work: Path, tmp_path: Path):
    """There, commands can write to .git."""
    repository(work)
    git(work, "config", "alias.st", "status")
    (work / ".git/hooks").mkdir(exist_ok=True)
    hook = work / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\ntrue\n")
    hook.chmod(0o755)
    kept = {name: (work / ".git" / name).read_text() for name in ("config", "hooks/pre-commit")}
    notices = run(
        work, f"git config filter.x.smudge 'touch {tmp_path}/x'; echo evil >> .git/hooks/pre-commit", kind="landlock"
    )
    assert {name: (work / ".git" / name).read_text() for name in kept} == kept
    assert os.access(hook, os.X_OK)
    assert ".git/config, .git/hooks/pre-commit. They were taken away" in notices[0]


def test_the_users_own_changes_before_the_run_are_no_finding(work: Path):
    repository(work)
    git(work, "config", "core.fsmonitor", "true")
    assert run(work, "true") == ()


# Read-only for commands.


@pytest.mark.parametrize("place", [".", "vendor/x", "node_modules/p", ".venv/src/q"])
def test_commands_cannot_change_a_repository_below_the_workspace(place: str, work: Path):
    repository(work / place)
    sandbox = find_sandbox("bubblewrap", Rules())
    before = (work / place / ".git/config").read_bytes()
    run(work, f"cd {place}; git config core.fsmonitor x; rm -rf .git; mv .git g; rm -f .git/HEAD")
    assert (work / place / ".git/config").read_bytes() == before
    assert (work / place / ".git/HEAD").exists()
    assert sandbox.isolation == "bubblewrap"


def test_a_submodules_pointer_cannot_be_replaced(work: Path, tmp_path: Path):
    repository(tmp_path / "sub")
    repository(work)
    git(work, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "sub"), "lib")
    assert (work / "lib/.git").is_file()
    run(work, "cd lib; rm -f .git; mv .git g; git init -q; git config core.fsmonitor x")
    assert (work / "lib/.git").read_text() == "gitdir: ../.git/modules/lib\n"


@pytest.mark.parametrize(
    ("command", "made"),
    [
        ("git init -q", ""),
        ("mkdir -p a/b; cd a/b; git init -q", "a/b"),
        ("mkdir bare; cd bare; touch HEAD; mkdir objects refs", "bare"),
        ("mkdir lib; echo 'gitdir: ../elsewhere' > lib/.git", "lib"),
    ],
)
def test_a_repository_that_a_command_made_is_named_at_once_and_only_once(work: Path, command: str, made: str):
    model = ScriptedModel([
        calls(("run_shell", {"command": command})), calls(("run_shell", {"command": "true"})), says("Done."),
    ])  # fmt: skip
    seen: list[Event] = []
    sandbox = find_sandbox("bubblewrap", Rules())
    Agent(model, tools=[run_shell], workspace=work, env=ENV, sandbox=sandbox).run_sync("Go.", observe=seen.append)
    place = work / made if made else work
    notice = f"The run has made a git repository: {place}."
    kinds = [event.text[: len(notice)] if isinstance(event, Noticed) else event.kind for event in seen]
    first_call = kinds.index("call_ended")
    assert kinds[first_call + 1] == notice
    assert kinds.count(notice) == 1


def test_a_hidden_path_beside_a_nested_repository_does_not_make_the_repository_writable(work: Path):
    """The folder above a hidden path is mounted once more, and that mount once covered the read-only `.git` in it."""
    repository(work / "lib")
    (work / "lib/secret").write_text("x")
    settings = (work / "lib/.git/config").read_text()
    sandbox = find_sandbox("bubblewrap", Rules(hidden=(work / "lib/secret",)))
    command = ["sh", "-c", "cat lib/secret; mv lib lob; cd lib && git config core.fsmonitor x; echo tried"]
    with sandbox.launch(command, workspace=work, env=ENV) as launch:
        done = subprocess.run(
            launch.argv, env=launch.env, pass_fds=launch.pass_fds, cwd=work, capture_output=True, text=True, check=True
        )
    assert done.stdout == "tried\n"
    assert (work / "lib/.git/config").read_text() == settings


def test_a_folder_that_commands_may_write_keeps_its_repository(work: Path, tmp_path: Path):
    other = repository(tmp_path / "other")
    assert set(git_paths([work, other])) == {other / ".git"}


def test_a_pipe_in_the_place_of_dot_git_blocks_nothing(work: Path):
    os.mkfifo(work / ".git")
    assert [one.kind for one in Search(work)] == ["file"]
    assert git_settings(work).files == {}


def test_a_link_put_in_the_place_of_a_folder_is_not_mounted(work: Path, tmp_path: Path):
    outside = repository(tmp_path / "outside")
    repository(work / "vendor/x")
    found = git_paths([work])
    (work / "vendor/x").rename(work / "y")
    (work / "vendor/x").symlink_to(outside)
    assert list(real_paths(found, [work])) == []


# Our own git.


OWN = {
    "filter.x.clean": "touch {mark}; cat", "filter.x.smudge": "touch {mark}; cat", "filter.x.process": "touch {mark}",
    "core.fsmonitor": "touch {mark}; false", "core.pager": "touch {mark}", "core.sshCommand": "touch {mark}",
    "diff.external": "touch {mark}", "core.hooksPath": "{hooks}", "filter.a=b.smudge": "touch {mark}; cat",
}  # fmt: skip


@pytest.mark.parametrize("key", list(OWN))
def test_our_git_starts_no_program_of_the_repository(key: str, work: Path, tmp_path: Path):
    mark, hooks = tmp_path / "ran", tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {mark}\n")
    (hooks / "post-checkout").chmod(0o755)
    repository(work)
    name = key.split(".")[1]
    (work / ".gitattributes").write_text(f"* filter={name}\n")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "2")
    git(work, "config", key, OWN[key].format(mark=mark, hooks=hooks))
    if key.startswith("filter"):
        git(work, "config", f"filter.{name}.required", "true")
    (work / "f").write_text("1\n")
    mark.unlink(missing_ok=True)
    run_git(work, "status", "--porcelain")
    run_git(work, "worktree", "add", "--detach", "--quiet", str(tmp_path / "out"), "HEAD")
    assert (tmp_path / "out/f").read_text() == "1\n"
    assert not mark.exists()


def worktree(folder: Path, runs: Path) -> None:
    model = ScriptedModel([says("Done.")])
    Agent(
        model, tools=[write_file], workspace=folder, workspace_mode="worktree", runs=runs, env=ENV, sandbox=Sandbox()
    ).run_sync("Go.")


def test_a_dot_git_that_leads_to_another_repository_is_not_checked_out(work: Path, tmp_path: Path):
    secret = repository(tmp_path / "secret")
    (work / ".git").write_text(f"gitdir: {secret}/.git\n")
    with pytest.raises(ConfigError, match="which does not lead back to it"):
        worktree(work, tmp_path / "runs")


def test_a_folder_that_looks_like_a_bare_repository_is_refused(work: Path, tmp_path: Path):
    for name in ("objects", "refs"):
        (work / name).mkdir()
    (work / "HEAD").write_text("ref: refs/heads/main\n")
    (work / "config").write_text(f"[core]\n\tbare = false\n\tworktree = .\n\tfsmonitor = touch {tmp_path}/x; false\n")
    with pytest.raises(ConfigError, match="bare repository"):
        worktree(work, tmp_path / "runs")
    assert not (tmp_path / "x").exists()


def test_settings_that_name_another_checkout_are_refused(work: Path, tmp_path: Path):
    repository(tmp_path / "secret")
    repository(work)
    git(work, "config", "core.worktree", str(tmp_path / "secret"))
    with pytest.raises(ConfigError, match="its settings say that it is a checkout in"):
        worktree(work, tmp_path / "runs")


def test_a_worktree_of_a_worktree_and_of_a_submodule_still_works(work: Path, tmp_path: Path):
    repository(tmp_path / "sub")
    repository(work)
    git(work, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "sub"), "lib")
    git(work, "commit", "-qm", "2")
    git(work, "worktree", "add", "-q", "--detach", str(tmp_path / "other"))
    for folder in (tmp_path / "other", work / "lib"):
        worktree(folder, tmp_path / "runs")


def test_a_pointer_back_of_huge_size_does_not_fill_the_memory(work: Path, tmp_path: Path):
    repository(work)
    git(work, "worktree", "add", "-q", "--detach", str(tmp_path / "other"))
    with (work / ".git/worktrees/other/gitdir").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(ConfigError, match="which does not lead back to it"):
        worktree(tmp_path / "other", tmp_path / "runs")
