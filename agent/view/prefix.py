"""Format what changed the beginning of a prompt, and what it cost, as one line; pure."""

from ..journal.events import Folded, PrefixChanged


def folded(event: Folded) -> str:
    """Return what a fold left out, and its estimated price."""
    count = len(event.lines)
    results = "the oldest result" if count == 1 else f"the {count} oldest results" if count else ""
    reasoning = "the oldest reasoning" if event.reasoning_before else ""
    what = " and ".join(part for part in (results, reasoning) if part)
    return f"{what}, to make room: about {event.freed_tokens:,} tokens freed, {event.prefilled_tokens:,} read again"


def prefix_changed(event: PrefixChanged) -> str:
    """Return why a prefix changed, and what the engine read."""
    note = "" if event.source == "engine" else " (estimated: the server does not report its cache)"
    price = f"prefilled {event.prefilled_tokens:,} of {event.prompt_tokens:,} prompt tokens{note}"
    if not is_fault(event):
        return f"{', '.join(event.because)}: {price}"
    why = f"the prompt changed from message {event.first_message} on, for no reason that is known"
    return f"{why}: please report this with the journal of the run; {price}"


def is_fault(event: PrefixChanged) -> bool:
    """Return whether nothing that this library does on purpose explains the change."""
    return "unknown" in event.because
