"""Patterns of ECMA-262 mean the same in Rust's engine, take linear time, and say why if they cannot be matched."""

import time

import pytest

from agent.schema.patterns import compiled


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("b", "abc", True),
        ("^b", "abc", False),
        (r"^\d+$", "123", True),
        (r"^\d+$", "١٢٣", False),  # digits are those of ASCII
        (r"^\w+$", "a_9", True),
        (r"^\w+$", "é", False),
        (r"^\s$", "\u00a0", True),
        (r"^\s$", "\ufeff", True),
        (r"^\S$", "\u2028", False),
        ("^.$", "\u2028", False),  # a line separator is no character of a line
        ("^.$", "😀", True),
        ("a$", "a\n", False),  # `$` is the very end
        (r"^\p{L}+$", "Ünï", True),
        (r"^\p{Script=Greek}$", "α", True),
        (r"^\P{Lu}$", "A", False),
        (r"^(?<year>\d{4})-(?<month>\d\d)$", "2026-11", True),
        (r"^(?P<year>\d{4})$", "2026", True),
        (r"^[\w.-]+$", "a.b-c", True),
        (r"^[a-]+$", "a-", True),
        (r"^[[]$", "[", True),
        (r"^[&&~~]+$", "&~", True),
        ("^[^]$", "\n", True),
        ("[]", "anything", False),
        (r"^[\b]$", "\b", True),
        (r"\bcat\b", "a cat!", True),
        (r"\bcat\b", "concat", False),
        (r"^\u0041\x42\u{43}$", "ABC", True),
        (r"^\ud83d\ude00$", "😀", True),
        (r"^\cJ$", "\n", True),
        (r"^a\/b\-c\_d$", "a/b-c_d", True),
        ("^a{,3}$", "a{,3}", True),
        ("^{x}$", "{x}", True),
        ("^a]$", "a]", True),
        ("^(?i)ab$", "AB", True),
        ("^(?i:a)b$", "Ab", True),
        ("^(?s).$", "\n", True),
        (r"\Aab\Z", "ab", True),
    ],
)
def test_a_pattern_means_what_it_means_in_ecma_262(pattern: str, text: str, matches: bool) -> None:
    assert compiled(pattern).match(text) == ("matches" if matches else "differs")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("^(?=a)", "it looks ahead"),
        ("a(?!b)", "it looks ahead"),
        ("(?<=a)b", "it looks behind"),
        ("(?<!a)b", "it looks behind"),
        (r"(a)\1", "it refers back to a group"),
        (r"(?<x>a)\k<x>", "it refers back to a group"),
        ("(?>a)", "it has an atomic group"),
        (r"\p{Nonsense}", "Unicode property not found"),
        (r"\e", r"\e is no escape of ECMA-262"),
        (r"\ud83d", "it contains half of a surrogate pair"),
        ("a{1000000}", "it repeats 1000000 times"),
        ("(a{5000}){5000}", "it is too large"),
        ("(?x) a", "it sets the flags x"),
    ],
)
def test_a_pattern_that_cannot_be_matched_in_linear_time_says_why(pattern: str, reason: str) -> None:
    found = compiled(pattern)
    assert (found.unchecked, found.broken, found.match("a")) == (reason, False, "unknown")


@pytest.mark.parametrize("pattern", ["(", "a)", "[a", "*a", "a\\", "[z-a]", "a{3,1}"])
def test_what_is_no_regular_expression_is_broken(pattern: str) -> None:
    assert compiled(pattern).broken


@pytest.mark.parametrize("pattern", ["^(a+)+$", r"^(\w+\s?)*$", "^(a|a)*$", "(.*)*x$", "(a?){100}a{100}#"])
def test_a_pattern_that_backtracks_elsewhere_takes_linear_time(pattern: str) -> None:
    started = time.process_time()
    assert compiled(pattern).match("a" * 50_000 + "!" * 2 + "-") == "differs"
    assert time.process_time() - started < 1


def test_a_text_that_is_too_long_for_a_heavy_pattern_is_not_matched() -> None:
    heavy = compiled("(x|a){0,1000}c")
    assert heavy.match("a" * heavy.max_chars) == "differs"
    assert heavy.match("a" * (heavy.max_chars + 1)) == "too_long"
    assert compiled("^[a-z]{0,50000}$").match("a" * 50_000) == "matches", "one class that is repeated is light"
