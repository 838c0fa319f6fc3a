"""What the doctor answers with; decides nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """One thing that is wrong, where it shows, why, and what mends it."""

    symptom: str
    """Its short name, stable: `kv_too_small`. `unknown`: no symptom is known for the evidence."""
    title: str
    """What a person sees, one line."""
    cause: str
    """Why, one or more sentences, with the values of the evidence. Empty for an unknown symptom: nothing is guessed."""
    evidence: str
    """The line that shows it, without its log prefix."""
    line: int
    """The evidence's line in the log, counted from 1; 0: it is no line of a log."""
    fix: str
    """What to do: the exact flag or command."""
    fatal: bool
    """True: with the same configuration it happens again; a restart is of no use."""
    times: int = 1
    """How often it shows in the log."""
    ranks: int = 0
    """How many ranks of a tensor-parallel engine say it; 0: the lines name no rank."""
