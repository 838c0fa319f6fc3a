"""Train the draft on what the pocket model thinks, and estimate how much of it vLLM accepts; torch is handed in."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pocket.draft_network import STEPS, at_columns, draft_forward, initial_draft
from pocket.network import Module, Tensor, Weights, forward

Batch = tuple[Tensor, Tensor]
"""Tokens, int64, (rows, columns), rows filled up at their end; and which of them the model writes, bool, the same."""

_PEAK_RATE = 2e-3
_STATE_WEIGHT = 1.0
"""Of the distance to the target's state, beside the cross entropy."""
_WARM_UP_STEPS = 50
_REPORT_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """What vLLM counts at temperature 0: `vllm:spec_decode_num_drafts` and `..._num_accepted_tokens_per_pos`."""

    drafts: int
    accepted: tuple[int, ...]
    """One for each of the `STEPS`: how often this token, and so all before it, was the target's."""

    @property
    def length(self) -> float:
        """Tokens per pass of the target, its own included; 1: no draft helps."""
        return 1 + sum(self.accepted) / max(1, self.drafts)

    @property
    def rates(self) -> tuple[float, ...]:
        """Share of the drafts of which a token was accepted, for each of the `STEPS`."""
        return tuple(count / max(1, self.drafts) for count in self.accepted)


def fit_draft(
    torch: Module,
    target: Weights,
    batches: Iterable[Batch],
    *,
    seconds: float,
    held: Sequence[Batch] = (),
    say: Callable[[str], None],
) -> Weights:
    """Train a draft on the states of the target, which stays as it is.

    The loss of each step is the cross entropy with the target's own distribution of the next token, and the smooth L1
    distance to its state, as EAGLE-1 has it (https://arxiv.org/abs/2401.15077), of the tokens that can be drafted. All
    steps count alike.

    Args:
        torch: the module.
        target: the pocket model's weights, on the device to train on.
        batches: endless, or ends the training.
        seconds: how long.
        held: batches that the training does not see, by which the acceptance is estimated.
        say: receives the progress.
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
    started, said, seen_tokens = time.monotonic(), 0.0, 0
    for step, (tokens, learned) in enumerate(batches):
        gone = time.monotonic() - started
        if gone >= seconds:
            break
        for group in optimiser.param_groups:
            group["lr"] = _rate(step, gone / seconds)
        loss, right = _loss(torch, _drafted(torch, target, draft, tokens, learned)[1])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(draft.values(), 1.0)
        optimiser.step()
        seen_tokens += tokens.numel()
        if not step or gone - said > _REPORT_S:
            said = gone
            speed, now = seen_tokens / max(gone, 0.01), " ".join(f"{share:.3f}" for share in right.tolist())
            say(f"{gone:.0f} s step {step} {speed:.0f} tok/s loss {loss.item():.4f} right {now}")
    if held:
        found = acceptance(torch, target, draft, held)
        say(f"held out: {found.length:.3f} tokens a pass, accepted {' '.join(f'{rate:.3f}' for rate in found.rates)}")
    return draft


def acceptance(torch: Module, target: Weights, draft: Weights, batches: Iterable[Batch]) -> Acceptance:
    """Estimate what vLLM accepts at temperature 0, when the target writes the replies as the conversations have them.

    Every reply is walked through as vLLM does it: the target's first token, then `STEPS` drafted ones at a time, of
    which those up to the first wrong one are kept, and one more of the target's.
    """
    drafts, accepted = 0, [0] * STEPS
    for tokens, learned in batches:
        with torch.no_grad():
            anchors, steps = _drafted(torch, target, draft, tokens, learned)
        so_far = torch.ones_like(anchors, dtype=torch.bool)
        matches = torch.zeros_like(tokens)
        for step in steps:
            so_far = so_far & (step.guessed.argmax(-1) == step.wanted.argmax(-1))
            # A row with fewer anchors has column 0 again and again, behind which no reply begins.
            matches = matches.scatter_add(1, anchors, so_far.long())
        for row, writes in zip(matches.tolist(), learned.tolist(), strict=True):
            found = walk(row, writes)
            drafts += found.drafts
            accepted = [a + b for a, b in zip(accepted, found.accepted, strict=True)]
    return Acceptance(drafts=drafts, accepted=tuple(accepted))


def walk(matches: Sequence[int], learned: Sequence[bool]) -> Acceptance:
    """Count drafts and accepted tokens in one conversation.

    Args:
        matches: for each column how many of the tokens drafted behind it as an anchor are right.
        learned: which tokens the model writes; a run of them is a reply.
    """
    drafts, accepted, at = 0, [0] * STEPS, 1
    while at < len(learned):
        # `at` has a token of the target's, drafted is behind it.
        if not learned[at] or at + 1 == len(learned) or not learned[at + 1]:
            at += 1
            continue
        drafts += 1
        left = next((n for n in range(1, STEPS + 1) if at + n == len(learned) or not learned[at + n]), STEPS + 1) - 1
        kept = min(matches[at - 1], left)
        for place in range(kept):
            accepted[place] += 1
        at += kept + 1
    return Acceptance(drafts=drafts, accepted=tuple(accepted))


def _rate(step: int, part: float) -> float:
    falling = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))
    return _PEAK_RATE * min(1.0, (step + 1) / _WARM_UP_STEPS) * falling


@dataclass(frozen=True, kw_only=True)
class _Step:
    """What one step came to: each tensor begins with (rows, anchors)."""

    counts: Tensor
    """Bool: there is such a token, of the same reply."""
    guess: Tensor
    state: Tensor
    """What the guess should have been."""
    guessed: Tensor
    """Logits of the draft, for each token of the vocabulary."""
    wanted: Tensor
    """Logits of the target."""


def _drafted(
    torch: Module, target: Weights, draft: Weights, tokens: Tensor, learned: Tensor
) -> tuple[Tensor, list[_Step]]:
    """Draft behind every token before which the model wrote one; return the anchors and the steps."""
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
    """Compute the loss, and for each step the share of drafted tokens that are the target's favourites."""
    functional, losses, rights = torch.nn.functional, list[Tensor](), list[Tensor]()
    for step in steps:
        guessed, wanted = step.guessed[step.counts], step.wanted[step.counts]
        count = max(1, len(guessed))  # of a batch of the shortest replies there may be none
        surprise = functional.cross_entropy(guessed, wanted.softmax(-1), reduction="sum") / count
        distance = functional.smooth_l1_loss(step.guess[step.counts], step.state[step.counts], reduction="sum")
        losses.append(surprise + _STATE_WEIGHT * distance / (count * step.guess.shape[-1]))
        rights.append((guessed.argmax(-1) == wanted.argmax(-1)).float().sum() / count)
    return torch.stack(losses).mean(), torch.stack(rights)
