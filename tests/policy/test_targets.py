"""Patterns of permission rules match the paths that a call reaches."""

from __future__ import annotations

import pytest

from agent.policy.targets import Target, covered, overlaps

AT = "/w"


@pytest.mark.parametrize(
    ("path", "below", "pattern", "found"),
    [
        ("docs/a.md", False, "docs/*", True), ("docs/a.md", False, "./docs/*", True),
        ("docs/a.md", False, "docs/", True), ("docs/a.md", False, "/w/docs/*", True),
        ("docs/a/b.md", False, "docs/**", True), ("docs", False, "docs/*", True),
        ("docsx/a.md", False, "docs/*", False), ("src/docs/a.md", False, "docs/*", False), ("a.md", False, "*", True),
        ("/etc/passwd", False, "/etc/*", True), ("/w2/docs/a", False, "/w/docs/*", False),
        (".", True, "docs/*", True), (".", True, "*.env", True), ("docs", True, "docs/*", True),
        ("docs/in", True, "docs/*", True), ("src", True, "docs/*", False), ("src", True, "*.env", True),
        ("doc", True, "docs/*", False), ("docs", True, "docs/a/b.md", True), ("docs/x", True, "docs/a/b.md", False),
        ("src", True, "s?c/[ab].py", True), ("sxx", True, "s?c/[ab].py", False), ("src", True, "src", True),
        ("src/a", True, "src", True), ("a", True, "[!b]/c*", True), ("b", True, "[!b]/c*", False),
        (".", False, "docs/*", False),
        ("app/[id]/a", False, "app/[id]/*", True), ("app/i/a", False, "app/[id]/*", True),
        ("app/x/a", False, "app/[id]/*", False), ("app", True, "app/[id]/*", True),
        ("app/[id]", True, "app/[id]/a", True), ("app/[x]", True, "app/[id]/a", False),
        ("u\u0308/a", False, "\u00fc/*", True), ("\u00fc/a", False, "u\u0308/*", True),
        ("u\u0308", True, "\u00fc/a/*", True), ("u/a", False, "\u00fc/*", False),
        ("docs/a.md", False, "/w/../w/docs/*", True), ("docs/a.md", False, "/w", True),
        ("docs/a.md", False, "/w/", True),
    ],
)  # fmt: skip
def test_a_rule_that_restricts_matches_what_a_call_reaches(path: str, below: bool, pattern: str, found: bool):
    assert overlaps(Target(forms=(path,), below=below), pattern, AT) == found


@pytest.mark.parametrize(
    ("forms", "below", "pattern", "found"),
    [
        (("src/a",), False, "src/*", True), (("src/l", "docs/a"), False, "src/*", False),
        (("src",), True, "src/*", True),
        ((".",), True, "src/*", False), ((".",), True, "*", True), (("src",), True, "src/a", False),
        (("src/in",), True, "src/*", True), (("src",), True, "*.py", False),
        (("app/[id]/a",), False, "app/[id]/*", True), (("app/x/a",), False, "app/[id]/*", False),
    ],
)  # fmt: skip
def test_a_rule_that_allows_must_match_everything_that_a_call_reaches(
    forms: tuple[str, ...], below: bool, pattern: str, found: bool
):
    assert covered(Target(forms=forms, below=below), pattern, AT) == found


def test_a_path_below_a_target_is_named_by_each_form_of_it():
    target = Target(forms=("lnk", "docs"))
    assert target.spelled("docs", below=False) == ("lnk", "docs")
    assert target.spelled("docs/a", below=True) == ["lnk/a", "docs/a"]
    assert not target.spelled("docs/a", below=False)
    assert not target.spelled("docsx", below=True)
    assert Target(forms=(".",)).spelled("a/b", below=True) == ["a/b"]
    assert Target(forms=("/",)).spelled("/etc", below=True) == ["/etc"]
