"""Size replies by the measured speed, so that all checks of the probe fit into the time limit; sends nothing."""

from dataclasses import dataclass, replace

from .chat_reply import SeenReply, read_chat
from .records import Exchange
from .requests import RequestBuilder

FIRST_TOKENS = 64
"""For the first reply, whose speed is not known yet; enough for one word."""


@dataclass(frozen=True, kw_only=True)
class _Share:
    """The part of the time limit that one reply may take, and its bounds in tokens."""

    share: float
    least: int
    most: int

    def tokens(self, available: float) -> int:
        return round(min(self.most, max(self.least, available * self.share)))


# Together about 1,500 tokens at 30 tokens/s and 60 s, which fit even if the server computes one request at a time.
_REASONING = _Share(share=0.085, least=64, most=256)
_CALL = _Share(share=0.05, least=64, most=128)
_BRIEF = _Share(share=0.035, least=48, most=128)


@dataclass(kw_only=True)
class Pace:
    """The fastest reply so far."""

    deadline_s: float
    """For all requests together."""
    tokens_per_s: float = 0.0
    """0 means that no reply has shown it yet."""

    def observe(self, exchange: Exchange) -> None:
        """Take a reply's speed into account; the first one is often slow, because the engine still warms up."""
        found = read_chat(exchange)
        if isinstance(found, SeenReply) and found.completion_tokens and exchange.elapsed_s > 0:
            self.tokens_per_s = max(self.tokens_per_s, found.completion_tokens / exchange.elapsed_s)

    def apply(self, build: RequestBuilder) -> RequestBuilder:
        """Return a builder whose replies fit into the time limit at this speed."""
        available = self.tokens_per_s * self.deadline_s if self.tokens_per_s else float("inf")
        return replace(
            build,
            reasoning_tokens=_REASONING.tokens(available),
            call_tokens=_CALL.tokens(available),
            brief_tokens=_BRIEF.tokens(available),
        )
