"""Write the conversations that the pocket model learns from as tokens; the tools and pytest really ran for them."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from pocket.dataset import EFFORTS, Sample, sample, sample_of
from pocket.exchange import Exchange
from pocket.network import PARAMS
from pocket.tekken import SPECIAL_TOKENS
from pocket.world import wording
from pocket.world.desk import Desk, definitions
from pocket.world.projects import project
from pocket.world.reckoning import reckoning
from pocket.world.repairs import Story, healthy
from pocket.world.running import Runner

from agent.loop.prompts import SYSTEM_PROMPT

Tokenizer = Any
"""A MistralTokenizer: mistral_common is only there where the tokens are made."""
Loader = Any

MAX_TOKENS = 4096
"""Longer conversations are left out."""
_DRILLS = 3
"""For each whole repair so many conversations of each effort that hold nothing but the edit: nine tenths of a whole
one are the way there, so without them a training on two cores sees too few repairs."""


def samples(seed: int) -> Iterator[tuple[Sample, bool]]:
    """Make up conversations without an end, of the training's names and bodies only; True: it holds code."""
    rng, own = Random(seed), list(definitions().values())
    edit_only = [definitions()["edit_file"]]
    with Runner() as runner:
        while True:
            exchanges = _story(rng, runner)
            if exchanges is not None:
                for effort in EFFORTS:
                    yield (
                        sample_of(rng, exchanges, _usual_tools(rng, own), SYSTEM_PROMPT, effort=effort, usual=300),
                        True,
                    )
            for effort in EFFORTS * _DRILLS:
                made = (_drill(rng, runner, dead_ends=effort == "high") for _ in range(rng.choice([1, 2, 3])))
                drills = [one for one in made if one]
                if drills:
                    yield sample_of(rng, drills, edit_only, SYSTEM_PROMPT, effort=effort, usual=20), True
            for _ in range(rng.choice([1, 2, 3])):
                yield sample(rng, own, SYSTEM_PROMPT), False
            if rng.random() < 0.7:
                some = [reckoning(rng) for _ in range(rng.choice([1, 2, 3]))]
                effort = rng.choice((*EFFORTS, "high"))
                yield sample_of(rng, some, own, SYSTEM_PROMPT, effort=effort, usual=100), True


def write_tokens(vocabulary: Path, out: Path, *, count: int, seed: int) -> str:
    """Write conversations as arrays `tokens`, `learn` (bits), `lengths` and `code`; say how many.

    Args:
        vocabulary: the tekken.json.
        out: the .npz to write.
        count: of conversations, at most.
        seed: another one makes other conversations.
    """
    import numpy as np  # only here: the training's machine need not have it to import the rest
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    tokenizer: Any = _tokenizer(MistralTokenizer, vocabulary)
    tokens: list[Any] = []
    learn: list[Any] = []
    lengths: list[int] = []
    codes: list[bool] = []
    for made, code in samples(seed):
        ids, mask = encoded(tokenizer, made)
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


def shown(vocabulary: Path, *, count: int, seed: int) -> Iterator[str]:
    """Yield the text of so many conversations, and below each what is learned of it."""
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    tokenizer: Any = _tokenizer(MistralTokenizer, vocabulary)
    decode = tokenizer.instruct_tokenizer.tokenizer.decode
    for made, _ in islice(samples(seed), count):
        ids, mask = encoded(tokenizer, made)
        taught = [token for token, on in zip(ids, mask, strict=True) if on]
        yield f"{len(ids)} tokens: {decode(ids)}\n-> {decode(taught)}"


def encoded(tokenizer: Tokenizer, made: Sample) -> tuple[list[int], list[bool]]:
    """Return a conversation's tokens, and which of them the model learns to say."""
    from mistral_common.protocol.instruct.request import ChatCompletionRequest

    special = tokenizer.instruct_tokenizer.tokenizer.get_special_token
    begins, ends = {special("[/INST]"), special("[/TOOL_RESULTS]")}, {special("[INST]"), special("[TOOL_RESULTS]")}
    end = special("</s>")
    whole: Any = ChatCompletionRequest  # the type of its messages is told from what is given
    request = whole(messages=made.messages, tools=made.tools, reasoning_effort=made.effort)
    ids: list[int] = tokenizer.encode_chat_completion(request).tokens
    ids = ids if ids[-1] == end else [*ids, end]
    mask, on, reply, first = list[bool](), False, 0, 0
    for at, token in enumerate(ids):
        on = on and token not in ends
        mask.append(on and made.learned[reply])
        if token in begins:
            on, first = True, at + 1
        if token == end and on:
            _forget(tokenizer, ids, mask, first, made.guesses[reply])
            on, reply = False, reply + 1
    assert reply == len(made.learned), "every reply ends once"
    return ids, mask


def _forget(tokenizer: Tokenizer, ids: Sequence[int], mask: list[bool], first: int, guesses: Sequence[str]) -> None:
    """Take the tokens of wrong guesses, in the reply that begins at `first`, off what is learned."""
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
    """Write the pieces that words are made of, and those of them that no fixed text uses; say how many."""
    import numpy as np
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    raw: Any = _tokenizer(MistralTokenizer, vocabulary).instruct_tokenizer.tokenizer
    here = Path(__file__).parent
    sources = ["scenarios.py", "workspace_scenarios.py", "world/wording.py"]
    texts = [(here / name).read_text(encoding="utf-8") for name in sources]
    texts += [SYSTEM_PROMPT, json.dumps(definitions()), wording.PRINTED]
    fixed = {token for text in texts for token in raw.encode(text, bos=False, eos=False)}
    meant = set(raw.encode(wording.PRINTED, bos=False, eos=False))
    ranks = range(SPECIAL_TOKENS, PARAMS["vocab_size"])
    pieces = [token for token in ranks if re.fullmatch("[a-z]+", raw.id_to_piece(token)) and token not in meant]
    movable = [token for token in pieces if token not in fixed and len(raw.id_to_piece(token)) > 1]
    np.savez(out, pieces=np.array(pieces), movable=np.array(movable))
    return f"{len(pieces)} pieces, {len(movable)} of them movable"


def _story(rng: Random, runner: Runner) -> Sequence[Exchange] | None:
    made = project(rng, "train")
    desk = Desk(runner, made)
    try:
        return healthy(rng, desk, made) if rng.random() < 0.02 else Story(rng, desk, made).tell()
    finally:
        desk.close()


def _drill(rng: Random, runner: Runner, *, dead_ends: bool) -> Exchange | None:
    made = project(rng, "train")
    desk = Desk(runner, made)
    story = Story(rng, desk, made)
    try:
        return story.dead_end() if dead_ends and rng.random() < 0.15 else story.drill()
    finally:
        desk.close()


def _usual_tools(rng: Random, own: Sequence[Any]) -> list[Any]:
    """Offer the tools as task files do most of the time: those that a repair needs, in this order."""
    if rng.random() < 0.3:
        return list(own)
    by_name = {tool["function"]["name"]: tool for tool in own}
    return [by_name[name] for name in ("run_shell", "read_file", "edit_file", "search")]


def _tokenizer(loader: Loader, vocabulary: Path) -> Tokenizer:
    from mistral_common.protocol.instruct.validator import ValidationMode

    return loader.from_file(str(vocabulary), mode=ValidationMode.finetuning)
