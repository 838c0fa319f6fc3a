"""The record of one diagnosis; no logic."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """One problem: where it shows, why it happened, and how to fix it."""

    symptom: str
    """A short, stable name: `kv_too_small`. `unknown` means that no known symptom matches the evidence."""
    title: str
    """One line for people."""
    cause: str
    """Why it happened: one or more sentences with the values of the evidence. Empty for an unknown symptom."""
    evidence: str
    """The line that shows it, without its log prefix."""
    line: int
    """Line number of the evidence in the log, from 1. 0 means the evidence is not a log line."""
    fix: str
    """What to do: the exact flag or command."""
    fatal: bool
    """Whether it happens again with the same configuration, so that a restart does not help."""
    times: int = 1
    """How often it occurs in the log."""
    ranks: int = 0
    """How many ranks of a tensor-parallel engine report it. 0 means the lines name no rank."""
