"""A rule about a command holds for other ways to write the same command, as far as a text tells."""

from __future__ import annotations

import pytest

from agent import ConfigError
from agent.policy.permissions import Permission, decide
from agent.policy.targets import Target

DENY_PUSH = [Permission(tool="run_shell", match={"command": "git push*"}, do="deny")]
ALLOW_GIT = [
    Permission(tool="run_shell", match={"command": "git *"}, do="allow"),
    Permission(tool="run_shell", do="deny"),
]


def is_denied(command: str, rules: list[Permission]) -> bool:
    return decide(rules, "run_shell", {"command": command}, workspace="/ws") is not None


@pytest.mark.parametrize(
    "command",
    [
        "env -S'git push'", "env --split-string='git push'", "env -vS 'git push'", "env -C /tmp git push",
        "bash -c $'git push'", "git $'pu\\x73h'", "git $\"push\"", "g\\it push", "git pu''sh",
        "sh <<< 'git push'", "echo git push | sh", "printf 'git push' | bash -s", "sh <<EOF\ngit push\nEOF",
        "git -c alias.p=push p", "git -c alias.x='!git push' x", "git -c a.b=c -c alias.P=push p origin",
        "script -c 'git push' /dev/null", "su -c 'git push' me", "watch 'git push'", "watch -n 5 git push",
        "find . -exec git push \\;", "find . -name x -exec sh -c 'git push' \\; -print", "parallel git push ::: 1",
        "flock /tmp/l git push", "flock /tmp/l -c 'git push'", "unshare git push", "chroot / git push",
        "strace -f -o log git push", "taskset 1 git push", "coproc git push", "trap 'git push' EXIT",
        "function f { git push; }; f", ">out git push", "2>&1 git push", ">out 2>&1 git push", "<in git push",
        "git>out push", "git >out push", "git 2>&1 push", "git &>out push", "git push>out", "tee >(git push)",
    ],
)  # fmt: skip
def test_a_denied_command_is_seen_in_other_spellings(command: str):
    """A redirection between two words, an alias, `env -S'...'`, here-strings and `find -exec` passed."""
    assert is_denied(command, DENY_PUSH)


@pytest.mark.parametrize(
    "command",
    [
        "git pull", "echo git push", "grep 'git push' README.md", "git log 2>&1 >/dev/null", "git status > push",
        "echo 'git push' | cat", "git -c alias.q=push p", "git stash push", "cat <<< 'git push'",
        "sh script.sh <<< 'x'",
        "find . -name 'git push'", "git commit -m 'git push'", "echo $'git push'",
    ],
)  # fmt: skip
def test_other_commands_are_not_taken_for_it(command: str):
    assert not is_denied(command, DENY_PUSH)


@pytest.mark.parametrize(
    "command",
    [
        "git status > /etc/x", "git log >>x", "git diff &> x", "git log 2> x", "git -c alias.x='!rm y' x",
        "git status <(rm x)", "git status & rm x", "git log | sh", "git log $(rm x)",
    ],
)  # fmt: skip
def test_what_allows_a_command_allows_no_file_that_it_is_written_to(command: str):
    """`git *` allowed `git log > ~/.bashrc`, and the program of an alias."""
    assert is_denied(command, ALLOW_GIT)


@pytest.mark.parametrize(
    "command", ["git log", "git log 2>&1", "git log >/dev/null 2>&1", "git log < x", "cd . && git x"]
)
def test_a_redirection_that_writes_no_file_is_allowed(command: str):
    allowed = [*ALLOW_GIT[:1], ALLOW_GIT[1]]
    assert is_denied(command, allowed) == command.startswith("cd")
    both = Permission(tool="run_shell", match={"command": "git log > out.txt"}, do="allow")
    assert not is_denied("git log > out.txt", [both, ALLOW_GIT[1]])


def target(path: str) -> tuple[Target, ...]:
    return (Target(forms=(path,)),)


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("docs/a.md", "docs"), ("docs/a/b.md", "docs"), ("docs/a.md", "/ws/docs"), ("a.md", "**/a.md"),
        ("x/y/a.md", "**/a.md"), ("docs/a.md", "docs/**/a.md"), ("docs/x/a.md", "docs/**/a.md"), (".env", "**/.env"),
        ("x/node_modules/y", "**/node_modules"), ("docs/a.md", "./docs//*"),
    ],
)  # fmt: skip
def test_a_pattern_names_a_folder_with_what_is_in_it_and_two_stars_no_folder_too(path: str, pattern: str):
    """`docs` did not hold for docs/a.md, nor `**/.env` for .env."""
    rule = Permission(tool="*", match={"path": pattern}, do="deny")
    assert rule.fits("write_file", {"path": path}, target(path), workspace="/ws")


@pytest.mark.parametrize(
    ("path", "pattern"), [("docs2/a.md", "docs"), ("xa.md", "**/a.md"), ("docs/xa.md", "docs/**/a.md")]
)
def test_a_longer_name_is_another_one(path: str, pattern: str):
    rule = Permission(tool="*", match={"path": pattern}, do="deny")
    assert not rule.fits("write_file", {"path": path}, target(path), workspace="/ws")


def test_a_home_in_a_pattern_is_the_users(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/me")
    rule = Permission(tool="*", match={"path": "~/.ssh"}, do="deny")
    assert rule.fits("read_file", {"path": "x"}, target("/home/me/.ssh/id"), workspace="/ws")


def test_alternatives_in_a_pattern_are_refused():
    """`{docs,src}/*` matched nothing, and so protected nothing."""
    with pytest.raises(ConfigError) as caught:
        Permission(tool="*", match={"path": "{docs,src}/*"}, do="deny")
    assert str(caught.value) == (
        "`permissions.match.path` is '{docs,src}/*', but a pattern has no {a,b}. Write a rule for each."
    )
