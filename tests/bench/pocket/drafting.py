"""Train the draft on the pocket model's states and estimate how much of it vLLM accepts; torch is a parameter."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pocket.draft_network import STEPS, at_columns, draft_forward, initial_draft
from pocket.network import Module, Tensor, Weights, forward

Batch = tuple[Tensor, Tensor]
"""Tokens, int64, (rows, columns), padded at the end; and a mask of those that the model writes, bool, same shape."""

_PEAK_RATE = 2e-3
_STATE_WEIGHT = 1.0
"""Weight of the distance to the target's state, relative to the cross entropy."""
_WARM_UP_STEPS = 50
_REPORT_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """vLLM's counters at temperature 0: `vllm:spec_decode_num_drafts` and `..._num_accepted_tokens_per_pos`."""

    drafts: int
    accepted: tuple[int, ...]
    """Per step: how often this drafted token, and so all before it, equalled the target's."""

    @property
    def length(self) -> float:
        """Return the tokens per pass of the target, its own included; 1 means the draft never helps."""
        return 1 + sum(self.accepted) / max(1, self.drafts)

    @property
    def rates(self) -> tuple[float, ...]:
        """Return the share of drafts whose token was accepted, per step."""
        return tuple(count / max(1, self.drafts) for count in self.accepted)


def fit_draft(
    torch: Module,
    target: Weights,
    batches: Iterable[Batch],
    *,
    seconds: float,
    held: Sequence[Batch] = (),
    report: Callable[[str], None],
) -> Weights:
    """Train a draft on the states of the target, which is not changed.

    The loss of each step is the cross entropy with the target's distribution of the next token plus the smooth L1
    distance to its state, as in EAGLE-1 (https://arxiv.org/abs/2401.15077), over the tokens that can be drafted. All
    steps have equal weight.

    Args:
        torch: the module.
        target: the pocket model's weights, on the device to train on.
        batches: training batches; the training ends early if they run out.
        seconds: duration of the training.
        held: held-out batches for estimating the acceptance.
        report: receives progress lines.
    """
    device = target["norm.weight"].device.type
    draft = initial_draft(torch, target)
    optimiser = torch.optim.AdamW(
        [
            {"params": [w for w in draft.values() if w.ndim > 1], "weight_decay": 0.01},
            {"params": [w for w in draft.values() if w.ndim == 1], "weight_decay": 0.0},
        ],
        lr=1.0,
        betas=(0.9, 0.98),
        fused=device == "cuda",
    )
    started, reported, seen_tokens = time.monotonic(), 0.0, 0
    for step, (tokens, learned) in enumerate(batches):
        elapsed = time.monotonic() - started
        if elapsed >= seconds:
            break
        for group in optimiser.param_groups:
            group["lr"] = _rate(step, elapsed / seconds)
        loss, right = _loss(torch, _draft(torch, target, draft, tokens, learned)[1])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(draft.values(), 1.0)
        optimiser.step()
        seen_tokens += tokens.numel()
        if not step or elapsed - reported > _REPORT_S:
            reported = elapsed
            speed, now = seen_tokens / max(elapsed, 0.01), " ".join(f"{share:.3f}" for share in right.tolist())
            report(f"{elapsed:.0f} s step {step} {speed:.0f} tok/s loss {loss.item():.4f} right {now}")
    if held:
        found = acceptance(torch, target, draft, held)
        rates = " ".join(f"{rate:.3f}" for rate in found.rates)
        report(f"held out: {found.length:.3f} tokens per pass, accepted {rates}")
    return draft


def acceptance(torch: Module, target: Weights, draft: Weights, batches: Iterable[Batch]) -> Acceptance:
    """Estimate what vLLM accepts at temperature 0, if the target writes exactly the replies in the conversations.

    Each reply is processed as in vLLM: the target's first token, then repeatedly `STEPS` drafted tokens, of which those
    before the first wrong one are accepted, and one more token of the target's.
    """
    drafts, accepted = 0, [0] * STEPS
    for tokens, learned in batches:
        with torch.no_grad():
            anchors, steps = _draft(torch, target, draft, tokens, learned)
        so_far = torch.ones_like(anchors, dtype=torch.bool)
        matches = torch.zeros_like(tokens)
        for step in steps:
            so_far = so_far & (step.guessed.argmax(-1) == step.wanted.argmax(-1))
            # A row with fewer anchors is padded with column 0, after which no reply begins.
            matches = matches.scatter_add(1, anchors, so_far.long())
        for row, writes in zip(matches.tolist(), learned.tolist(), strict=True):
            found = count_accepted(row, writes)
            drafts += found.drafts
            accepted = [a + b for a, b in zip(accepted, found.accepted, strict=True)]
    return Acceptance(drafts=drafts, accepted=tuple(accepted))


def count_accepted(matches: Sequence[int], learned: Sequence[bool]) -> Acceptance:
    """Count drafts and accepted tokens in one conversation.

    Args:
        matches: for each column, how many tokens drafted with it as the anchor are right.
        learned: which tokens the model writes; consecutive ones form a reply.
    """
    drafts, accepted, at = 0, [0] * STEPS, 1
    while at < len(learned):
        # The token at `at` is the target's; the draft comes after it.
        if not learned[at] or at + 1 == len(learned) or not learned[at + 1]:
            at += 1
            continue
        drafts += 1
        left = next((n for n in range(1, STEPS + 1) if at + n == len(learned) or not learned[at + n]), STEPS + 1) - 1
        kept = min(matches[at - 1], left)
        for position in range(kept):
            accepted[position] += 1
        at += kept + 1
    return Acceptance(drafts=drafts, accepted=tuple(accepted))


def _rate(step: int, part: float) -> float:
    falling = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))
    return _PEAK_RATE * min(1.0, (step + 1) / _WARM_UP_STEPS) * falling


@dataclass(frozen=True, kw_only=True)
class _Step:
    """Results of one step; the leading dimensions of each tensor are (rows, anchors)."""

    counts: Tensor
    """Bool: whether the token exists and belongs to the same reply."""
    guess: Tensor
    """The draft's prediction of the target's state."""
    state: Tensor
    """The target's actual state."""
    guessed: Tensor
    """The draft's logits over the vocabulary."""
    wanted: Tensor
    """The target's logits over the vocabulary."""


def _draft(
    torch: Module, target: Weights, draft: Weights, tokens: Tensor, learned: Tensor
) -> tuple[Tensor, list[_Step]]:
    """Draft after every token that is followed by two tokens of one reply; return the anchors and the steps."""
    functional = torch.nn.functional
    begins = functional.pad(learned[:, 1:-1] & learned[:, 2:], (0, 2))
    order = begins.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    anchors = order[:, : int(begins.sum(1).max())]
    counts = begins.gather(1, anchors)
    anchors = anchors.masked_fill(~counts, 0)
    last, steps = tokens.shape[1] - 1, list[_Step]()
    with torch.autocast(tokens.device.type, torch.bfloat16):
        with torch.no_grad():
            states = forward(torch, functional, target, tokens)
        guesses = draft_forward(torch, functional, draft, target["tok_embeddings.weight"], tokens, states, anchors)
        for step, guess in enumerate(guesses, 1):
            counts = counts & learned.gather(1, (anchors + step + 1).clamp(max=last)) & (anchors + step < last)
            state = at_columns(torch, states, (anchors + step).clamp(max=last))
            guessed, wanted = (functional.linear(each, target["output.weight"]).float() for each in (guess, state))
            steps.append(_Step(counts=counts, guess=guess.float(), state=state.float(), guessed=guessed, wanted=wanted))
    return anchors, steps


def _loss(torch: Module, steps: Sequence[_Step]) -> tuple[Tensor, Tensor]:
    """Return the loss and, per step, the share of drafted tokens that are the target's most likely ones."""
    functional, losses, rights = torch.nn.functional, list[Tensor](), list[Tensor]()
    for step in steps:
        guessed, wanted = step.guessed[step.counts], step.wanted[step.counts]
        count = max(1, len(guessed))  # a batch of very short replies may have none
        surprise = functional.cross_entropy(guessed, wanted.softmax(-1), reduction="sum") / count
        distance = functional.smooth_l1_loss(step.guess[step.counts], step.state[step.counts], reduction="sum")
        losses.append(surprise + _STATE_WEIGHT * distance / (count * step.guess.shape[-1]))
        rights.append((guessed.argmax(-1) == wanted.argmax(-1)).float().sum() / count)
    return torch.stack(losses).mean(), torch.stack(rights)
