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
    ],
)  # fmt: skip
def test_a_rule_that_allows_must_match_everything_that_a_call_reaches(
    forms: tuple[str, ...], below: bool, pattern: str, found: bool
):
    assert covered(Target(forms=forms, below=below), pattern, AT) == found
