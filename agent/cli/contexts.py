"""Read from journals of past runs how long a context they needed; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class SeenContexts:
    """What past runs needed."""

    replies: int
    """How many were counted."""
    median: int
    """Tokens of prompt and answer, of the reply in the middle."""
    longest: int
    """Tokens of the longest prompt with its answer."""

    @property
    def needed(self) -> int:
        """Round the longest up to whole 1024 tokens."""
        return -(-self.longest // 1024) * 1024

    @property
    def sentence(self) -> str:
        """Say it for people."""
        return (
            f"Past runs needed {self.longest:,} tokens at most and {self.median:,} in the middle of {self.replies} "
            f"replies, prompt and answer together: the context is {self.needed:,}."
        )


def seen_contexts(paths: Sequence[str]) -> SeenContexts:
    """Read journals, or the folders of runs.

    Raises:
        ConfigError: a journal cannot be read, or none of them holds a reply with the server's count of its tokens.
    """
    from ..errors import ConfigError
    from ..journal.events import Replied
    from ..journal.journal import JOURNAL_NAME, read_journal

    files = [Path(path) / JOURNAL_NAME if Path(path).is_dir() else Path(path) for path in paths]
    usages = [event.reply.usage for file in files for event in read_journal(file) if isinstance(event, Replied)]
    tokens = sorted(used.prompt_tokens + used.completion_tokens for used in usages if used and used.prompt_tokens)
    if not tokens:
        msg = (
            f"No reply in {', '.join(map(str, files))} says how many tokens it took. Give the journal of a run that "
            "got an answer; `agent runs` lists runs, and each folder holds a journal.jsonl."
        )
        raise ConfigError(msg)
    return SeenContexts(replies=len(tokens), median=tokens[len(tokens) // 2], longest=tokens[-1])
