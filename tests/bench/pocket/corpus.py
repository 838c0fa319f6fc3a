"""Write the pocket model's training conversations as tokens; their tool results and pytest output are real."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from pocket.dataset import EFFORTS, Sample, build_sample, generate_sample
from pocket.exchange import Exchange
from pocket.network import PARAMS
from pocket.tekken import SPECIAL_TOKENS
from pocket.world import wording
from pocket.world.evaluation_questions import evaluation_question
from pocket.world.live_project import LiveProject, definitions
from pocket.world.projects import generate_project
from pocket.world.pytest_runner import PytestRunner
from pocket.world.repairs import RepairSession, no_bug

from agent.loop.prompts import SYSTEM_PROMPT

Tokenizer = Any
"""A MistralTokenizer; `Any` because mistral_common is installed only where the tokens are made."""
Loader = Any

MAX_TOKENS = 4096
"""Longer conversations are skipped."""
_DRILLS = 3
"""Conversations per whole repair and effort that hold only the edit. Nine tenths of a whole repair lead up to the edit,
so without drills a training on two cores sees too few repairs."""


def generate_samples(seed: int) -> Iterator[tuple[Sample, bool]]:
    """Generate conversations endlessly from the training split; the bool is True if the conversation holds code."""
    rng, own = Random(seed), list(definitions().values())
    edit_only = [definitions()["edit_file"]]
    with PytestRunner() as runner:
        while True:
            exchanges = _repair_conversation(rng, runner)
            if exchanges is not None:
                for effort in EFFORTS:
                    tools = _choose_tools(rng, own)
                    yield build_sample(rng, exchanges, tools, SYSTEM_PROMPT, effort=effort, default_weight=300), True
            for effort in EFFORTS * _DRILLS:
                tries = (_drill(rng, runner, dead_ends=effort == "high") for _ in range(rng.choice([1, 2, 3])))
                drills = [drill for drill in tries if drill]
                if drills:
                    yield build_sample(rng, drills, edit_only, SYSTEM_PROMPT, effort=effort, default_weight=20), True
            for _ in range(rng.choice([1, 2, 3])):
                yield generate_sample(rng, own, SYSTEM_PROMPT), False
            if rng.random() < 0.7:
                questions = [evaluation_question(rng) for _ in range(rng.choice([1, 2, 3]))]
                effort = rng.choice((*EFFORTS, "high"))
                yield build_sample(rng, questions, own, SYSTEM_PROMPT, effort=effort, default_weight=100), True


def write_tokens(vocabulary: Path, out: Path, *, count: int, seed: int) -> str:
    """Write conversations as arrays `tokens`, `learn` (bits), `lengths` and `code`; return a summary.

    Args:
        vocabulary: the tekken.json.
        out: the .npz to write.
        count: maximum number of conversations.
        seed: each seed generates other conversations.
    """
    import numpy as np  # imported here, so that the rest of the module works without numpy
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    tokenizer: Any = _tokenizer(MistralTokenizer, vocabulary)
    tokens: list[Any] = []
    learn: list[Any] = []
    lengths: list[int] = []
    codes: list[bool] = []
    for sample, code in generate_samples(seed):
        ids, mask = encode(tokenizer, sample)
        if len(ids) > MAX_TOKENS:
            continue
        tokens.append(np.array(ids, dtype=np.uint16))
        learn.append(np.packbits(np.array(mask, dtype=bool)))
        lengths.append(len(ids))
        codes.append(code)
        if len(lengths) >= count:
            break
    np.savez_compressed(
        out,
        tokens=np.concatenate(tokens),
        learn=np.concatenate(learn),
        lengths=np.array(lengths, dtype=np.int32),
        code=np.array(codes, dtype=bool),
    )
    size = out.stat().st_size / 1e6
    return f"{len(lengths)} conversations, {sum(lengths)} tokens, longest {max(lengths)}, {size:.1f} MB"


def render_samples(vocabulary: Path, *, count: int, seed: int) -> Iterator[str]:
    """Yield the text of `count` conversations, each followed by the part that the model is trained on."""
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    tokenizer: Any = _tokenizer(MistralTokenizer, vocabulary)
    decode = tokenizer.instruct_tokenizer.tokenizer.decode
    for sample, _ in islice(generate_samples(seed), count):
        ids, mask = encode(tokenizer, sample)
        learned = [token for token, on in zip(ids, mask, strict=True) if on]
        yield f"{len(ids)} tokens: {decode(ids)}\n-> {decode(learned)}"


def encode(tokenizer: Tokenizer, sample: Sample) -> tuple[list[int], list[bool]]:
    """Return a conversation's tokens and a mask of those that the model is trained on."""
    from mistral_common.protocol.instruct.request import ChatCompletionRequest

    special = tokenizer.instruct_tokenizer.tokenizer.get_special_token
    begins, ends = {special("[/INST]"), special("[/TOOL_RESULTS]")}, {special("[INST]"), special("[TOOL_RESULTS]")}
    end = special("</s>")
    untyped: Any = ChatCompletionRequest  # its message types are inferred from the arguments, which are dicts here
    request = untyped(messages=sample.messages, tools=sample.tools, reasoning_effort=sample.effort)
    ids: list[int] = tokenizer.encode_chat_completion(request).tokens
    ids = ids if ids[-1] == end else [*ids, end]
    mask, on, reply, first = list[bool](), False, 0, 0
    for at, token in enumerate(ids):
        on = on and token not in ends
        mask.append(on and sample.learned[reply])
        if token in begins:
            on, first = True, at + 1
        if token == end and on:
            _mask_guesses(tokenizer, ids, mask, first, sample.guesses[reply])
            on, reply = False, reply + 1
    assert reply == len(sample.learned), "every reply has exactly one end token"
    return ids, mask


def _mask_guesses(
    tokenizer: Tokenizer, ids: Sequence[int], mask: list[bool], first: int, guesses: Sequence[str]
) -> None:  # fmt: skip
    """Exclude the tokens of wrong guesses from training, in the reply that begins at `first`."""
    piece = tokenizer.instruct_tokenizer.tokenizer.id_to_piece
    starts, text = list[int](), ""
    for token in ids[first : len(mask)]:
        starts.append(len(text))
        text += piece(token)
    place = 0
    for guess in guesses:
        place = text.index(guess, place)
        for at, start in enumerate(starts):
            if place <= start < place + len(guess):
                mask[first + at] = False
        place += len(guess)


def write_pieces(vocabulary: Path, out: Path) -> str:
    """Write the lower-case word pieces and those of them that no fixed text uses; return a summary."""
    import numpy as np
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    raw: Any = _tokenizer(MistralTokenizer, vocabulary).instruct_tokenizer.tokenizer
    here = Path(__file__).parent
    sources = ["scenarios.py", "workspace_scenarios.py", "world/wording.py"]
    texts = [(here / name).read_text(encoding="utf-8") for name in sources]
    texts += [SYSTEM_PROMPT, json.dumps(definitions()), wording.PRINTED]
    fixed = {token for text in texts for token in raw.encode(text, bos=False, eos=False)}
    reserved = set(raw.encode(wording.PRINTED, bos=False, eos=False))
    ranks = range(SPECIAL_TOKENS, PARAMS["vocab_size"])
    pieces = [token for token in ranks if re.fullmatch("[a-z]+", raw.id_to_piece(token)) and token not in reserved]
    movable = [token for token in pieces if token not in fixed and len(raw.id_to_piece(token)) > 1]
    np.savez(out, pieces=np.array(pieces), movable=np.array(movable))
    return f"{len(pieces)} pieces, {len(movable)} of them movable"


def _repair_conversation(rng: Random, runner: PytestRunner) -> Sequence[Exchange] | None:
    made = generate_project(rng, "train")
    live = LiveProject(runner, made)
    try:
        return no_bug(rng, live, made) if rng.random() < 0.02 else RepairSession(rng, live, made).play()
    finally:
        live.close()


def _drill(rng: Random, runner: PytestRunner, *, dead_ends: bool) -> Exchange | None:
    made = generate_project(rng, "train")
    live = LiveProject(runner, made)
    session = RepairSession(rng, live, made)
    try:
        return session.dead_end() if dead_ends and rng.random() < 0.15 else session.drill()
    finally:
        live.close()


def _choose_tools(rng: Random, own: Sequence[Any]) -> list[Any]:
    """Return mostly the tools that task files name for a repair, in the same order; sometimes all tools."""
    if rng.random() < 0.3:
        return list(own)
    by_name = {tool["function"]["name"]: tool for tool in own}
    return [by_name[name] for name in ("run_shell", "read_file", "edit_file", "search")]


def _tokenizer(loader: Loader, vocabulary: Path) -> Tokenizer:
    from mistral_common.protocol.instruct.validator import ValidationMode

    return loader.from_file(str(vocabulary), mode=ValidationMode.finetuning)
