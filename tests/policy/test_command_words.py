"""A shell text is split into the commands it runs."""

from __future__ import annotations

import pytest

from agent.policy.command_words import commands_in


@pytest.mark.parametrize(
    "text",
    [
        "git push origin", "cd .; git push", "git -C . push", "git\tpush",
        "GIT_DIR=x env A=b git --no-pager -c a=b push",
        "/usr/bin/git push", "g\\it push", "'git' \"push\"", 'bash -lc "git push"', "(cd x && git push)",
        "echo $(git push)", 'echo "$(git push)"', "`git push`", "eval git push", "timeout -k 5 10 git push",
        "if true; then git push; fi", "true\ngit push", "git push&", "sudo -u me git push", "{ git push; }",
        "git \\\n push", "xargs -n 1 git push < x", "sh -c 'sh -c \"git push\"'", "a || git push", "a | git push",
        "nice -n 5 nohup git push", "git push 'unclosed",
    ],
)  # fmt: skip
def test_a_command_behind_another_spelling_is_found(text: str):
    """`cd .; git push`, `git -C . push` and others passed a rule for `git push*`."""
    assert any(form.startswith("git push") for forms in commands_in(text) for form in forms)


@pytest.mark.parametrize("text", ["echo 'git push'", "git status", "echo git push", "grep push git", "", "x" * 30_000])
def test_the_arguments_of_a_command_are_no_command(text: str):
    assert not any(form.startswith("git push") for forms in commands_in(text) for form in forms)


def test_a_text_that_runs_itself_without_end_is_read_to_a_depth():
    text = "git push"
    for _ in range(20):
        text = f"eval {text}"
    assert commands_in(text)
