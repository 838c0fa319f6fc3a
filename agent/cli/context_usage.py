"""Read from the journals of past runs how much context they needed; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ContextUsage:
    """The context that past runs used."""

    replies: int
    """Number of replies counted."""
    median: int
    """Tokens of prompt and answer, of the median reply."""
    longest: int
    """Tokens of prompt and answer, of the largest reply."""

    @property
    def needed(self) -> int:
        """The longest, rounded up to a multiple of 1024 tokens."""
        return -(-self.longest // 1024) * 1024

    @property
    def note(self) -> str:
        """One sentence for people."""
        return (
            f"Past runs needed at most {self.longest:,} tokens (median {self.median:,}, {self.replies} replies, prompt "
            f"and answer together), so the context is {self.needed:,}."
        )


def read_context_usage(paths: Sequence[str]) -> ContextUsage:
    """Read journals, or the folders of runs.

    Raises:
        ConfigError: a journal cannot be read, or none has a reply with the server's token counts.
    """
    from ..errors import ConfigError
    from ..journal.events import Replied
    from ..journal.journal import JOURNAL_NAME, read_journal

    files = [Path(path) / JOURNAL_NAME if Path(path).is_dir() else Path(path) for path in paths]
    usages = [event.reply.usage for file in files for event in read_journal(file) if isinstance(event, Replied)]
    tokens = sorted(used.prompt_tokens + used.completion_tokens for used in usages if used and used.prompt_tokens)
    if not tokens:
        msg = (
            f"No reply in {', '.join(map(str, files))} has token counts. Give the journal of a run that got an answer: "
            "`agent runs` lists the runs, and each run's folder contains a journal.jsonl."
        )
        raise ConfigError(msg)
    return ContextUsage(replies=len(tokens), median=tokens[len(tokens) // 2], longest=tokens[-1])
