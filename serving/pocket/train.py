"""Train the pocket model: three commands, run on the machines that have what each needs; ships nothing by itself.

    python -m serving.pocket.train vocabulary OUT/tekken.json     needs mistral_common
    python -m serving.pocket.train tokens OUT/tekken.json OUT/data.npz     needs mistral_common, numpy, agent, tools
    python serving/pocket/train.py fit OUT/model OUT/*.npz --seconds 420   needs torch, numpy, safetensors; a GPU

Copy the two files of OUT/model and OUT/tekken.json to `model/`, then measure with `serving.pocket.measure`.
"""

import argparse
import base64
import json
import math
import random
import sys
import time
from pathlib import Path

OWN_TOKENS = 1984
SPECIAL_TOKENS = 64
# Words never carry the blank or the quote before them, so a word has the same tokens wherever it stands: in a sentence,
# in JSON, in a tool's result. Copying is then the same thing everywhere, which a model of this size can learn.
PATTERN = r"\p{L}+|\p{N}|[./]|[^\s\p{L}\p{N}./]+| +|\s"
SHAPE = {"dim": 192, "n_layers": 5, "head_dim": 32, "hidden_dim": 512, "n_heads": 6, "n_kv_heads": 6}
PARAMS = {
    **SHAPE, "rope_theta": 1e6, "norm_eps": 1e-5, "vocab_size": OWN_TOKENS + SPECIAL_TOKENS, "tied_embeddings": False,
    "max_position_embeddings": 262144, "dtype": "bfloat16",
}  # fmt: skip
OWN_TOOLS = ("list_files", "read_file", "write_file", "edit_file", "search", "run_shell")
MAX_TOKENS = 3000
NAMED = (
    "<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CALLS] "
    "[IMG] <pad> [IMG_BREAK] [IMG_END] [PREFIX] [MIDDLE] [SUFFIX] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CONTENT]"
)


def make_vocabulary(out):
    import mistral_common
    import regex

    source = json.loads(
        (Path(mistral_common.__file__).parent / "data" / "tekken_240911.json").read_text(encoding="utf-8")
    )

    def keep(entry):
        raw = base64.b64decode(entry["token_bytes"])
        if len(raw) == 1:
            return True
        return raw.isascii() and len(raw) <= 16 and regex.fullmatch(PATTERN, raw.decode()) is not None

    kept = [entry for entry in source["vocab"] if keep(entry)][:OWN_TOKENS]
    names = NAMED.split()
    names += [f"<SPECIAL_{rank}>" for rank in range(20, 32)]
    names += ["[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]", "[MODEL_SETTINGS]", "[/MODEL_SETTINGS]"]
    settings = {
        "reasoning_effort": {"type": "enum", "accepts_none": True, "default": "none", "values": ["none", "high"]}
    }
    whole = {
        "config": {
            "pattern": PATTERN, "num_vocab_tokens": OWN_TOKENS, "default_vocab_size": OWN_TOKENS + SPECIAL_TOKENS,
            "default_num_special_tokens": SPECIAL_TOKENS, "version": "v15",
        },
        "vocab": [{**entry, "rank": rank} for rank, entry in enumerate(kept)],
        "special_tokens": [{"rank": rank, "token_str": name, "is_control": True} for rank, name in enumerate(names)],
        "model_settings_builder": settings,
    }  # fmt: skip
    out.write_text(json.dumps(whole), encoding="utf-8")


def own_definitions():
    from tools import files, search, shell

    found = {
        t.name: t
        for t in (files.list_files, files.read_file, files.write_file, files.edit_file, search.search, shell.run_shell)
    }
    return [found[name].definition() for name in OWN_TOOLS]


def make_tokens(vocabulary, out, count, seed, shown):
    import numpy as np
    from mistral_common.protocol.instruct.request import ChatCompletionRequest
    from mistral_common.protocol.instruct.validator import ValidationMode
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    from agent.prompts import SYSTEM_PROMPT
    from serving.pocket.dataset import sample

    tokenizer = MistralTokenizer.from_file(str(vocabulary), mode=ValidationMode.finetuning)
    special = tokenizer.instruct_tokenizer.tokenizer.get_special_token
    begins, ends, end = (
        {special("[/INST]"), special("[/TOOL_RESULTS]")},
        {special("[INST]"), special("[TOOL_RESULTS]")},
        special("</s>"),
    )
    rng, own = random.Random(seed), own_definitions()
    tokens, learn, lengths = [], [], []
    while len(lengths) < count:
        made = sample(rng, own, SYSTEM_PROMPT)
        learned = made.learned
        request = ChatCompletionRequest(messages=made.messages, tools=made.tools, reasoning_effort=made.effort)
        encoded = tokenizer.encode_chat_completion(request)
        ids = encoded.tokens if encoded.tokens[-1] == end else [*encoded.tokens, end]
        if len(ids) > MAX_TOKENS:
            continue
        mask, on, reply = [], False, 0
        for token in ids:
            on = on and token not in ends
            mask.append(on and learned[reply])
            on = on or token in begins
            if token == end and on:
                on, reply = False, reply + 1
        assert reply == len(learned), (reply, learned, encoded.text)
        if len(lengths) < shown:
            print(
                encoded.text,
                "\n->",
                tokenizer.instruct_tokenizer.tokenizer.decode([t for t, m in zip(ids, mask, strict=True) if m]),
                "\n",
                file=sys.stderr,
            )
        tokens.append(np.array(ids, dtype=np.uint16))
        learn.append(np.packbits(np.array(mask, dtype=bool)))
        lengths.append(len(ids))
    np.savez_compressed(
        out, tokens=np.concatenate(tokens), learn=np.concatenate(learn), lengths=np.array(lengths, dtype=np.int32)
    )
    print(f"{count} conversations, {sum(lengths)} tokens, longest {max(lengths)}, {out.stat().st_size / 1e6:.1f} MB")


def fit(data, out, seconds, seed, batch_tokens):
    import numpy as np
    import torch
    import torch.nn.functional as functional
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("high")
    parts = [np.load(file) for file in data]
    loaded = {key: np.concatenate([part[key] for part in parts]) for key in ("tokens", "learn", "lengths")}
    lengths = loaded["lengths"].astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    bits = np.concatenate([[0], np.cumsum((lengths + 7) // 8)])
    tokens = torch.from_numpy(loaded["tokens"].astype(np.int16)).to(device)  # 2048 ranks: below the sign bit
    packed = loaded["learn"]
    unpacked = [np.unpackbits(packed[bits[i] : bits[i + 1]])[: lengths[i]] for i in range(len(lengths))]
    learn = torch.from_numpy(np.concatenate(unpacked).astype(bool)).to(device)
    weights = initial_weights(torch, device)
    print("parameters", sum(w.numel() for w in weights.values()), "tokens", int(lengths.sum()), flush=True)
    held_out = min(500, len(lengths) // 10)
    order, held = np.arange(len(lengths) - held_out), np.arange(len(lengths) - held_out, len(lengths))

    def batches(chosen, rng):
        """Put conversations of like length together, as many as fit into batch_tokens with the longest's padding."""
        found, batch = [], []
        for index in chosen[np.argsort(lengths[chosen] + rng.integers(0, 64, len(chosen)))]:
            longest = max(lengths[index], lengths[batch[-1]] + 64 if batch else 0)
            if batch and longest * (len(batch) + 1) > batch_tokens:
                found.append(np.array(batch))
                batch = []
            batch.append(index)
        found.append(np.array(batch))
        rng.shuffle(found)
        return found

    def fetch(batch):
        longest = int(-(-lengths[batch].max() // 64) * 64)
        first = torch.from_numpy(starts[batch]).to(device)[:, None]
        size = torch.from_numpy(lengths[batch]).to(device)[:, None]
        place = torch.arange(longest, device=device)[None]
        index = (first + place).clamp(max=len(tokens) - 1)
        x = torch.where(place < size, tokens[index].long(), 0)
        y = torch.where((place < size) & learn[index], x, -100)
        return x, y

    def loss_of(batch):
        x, y = fetch(batch)
        with torch.autocast(device, torch.bfloat16):
            hidden = forward(torch, functional, weights, x)[:, :-1]
            wanted = y[:, 1:]
            at = wanted != -100
            logits = functional.linear(hidden[at], weights["output.weight"])
        right = (logits.argmax(-1) == wanted[at]).float().mean()
        return functional.cross_entropy(logits.float(), wanted[at]), right

    def save():
        out.mkdir(parents=True, exist_ok=True)
        save_file(
            {k: w.detach().to(torch.bfloat16).contiguous().cpu() for k, w in weights.items()},
            out / "consolidated.safetensors",
            metadata={"format": "pt"},
        )
        (out / "params.json").write_text(json.dumps(PARAMS, indent=2) + "\n")

    decayed = [w for w in weights.values() if w.ndim > 1]
    plain = [w for w in weights.values() if w.ndim == 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
        lr=1.0,
        betas=(0.9, 0.98),
        fused=device == "cuda",
    )
    rng = np.random.default_rng(seed)
    started, step, seen, queue, said = time.monotonic(), 0, 0, [], 0.0
    while (gone := time.monotonic() - started) < seconds:
        queue = queue or batches(order, rng)
        part = gone / seconds
        rate = 3e-3 * min(1.0, (step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = queue.pop()
        loss, right = loss_of(batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        step, seen = step + 1, seen + int(lengths[batch].sum())
        if gone - said > 15:
            said = gone
            speed, epochs = seen / gone, seen / lengths.sum()
            said_now = f"{gone:.0f} s step {step} {speed:.0f} tok/s epoch {epochs:.2f}"
            print(f"{said_now} loss {loss.item():.4f} right {right.item():.4f}", flush=True)
    with torch.no_grad():
        rights = [tuple(v.item() for v in loss_of(b)) for b in batches(held, rng)]
    print("held out: loss, right =", np.mean(rights, axis=0), flush=True)
    save()


def initial_weights(torch, device):
    dim, heads, size, inner, layers = (SHAPE[k] for k in ("dim", "n_heads", "head_dim", "hidden_dim", "n_layers"))
    shapes = {
        "tok_embeddings.weight": (PARAMS["vocab_size"], dim),
        "output.weight": (PARAMS["vocab_size"], dim),
        "norm.weight": (dim,),
    }
    for layer in range(layers):
        at = f"layers.{layer}."
        shapes |= {f"{at}attention.{w}.weight": (heads * size, dim) for w in ("wq", "wk", "wv")}
        shapes |= {
            f"{at}attention.wo.weight": (dim, heads * size),
            f"{at}attention_norm.weight": (dim,),
            f"{at}ffn_norm.weight": (dim,),
        }
        shapes |= {
            f"{at}feed_forward.w1.weight": (inner, dim),
            f"{at}feed_forward.w2.weight": (dim, inner),
            f"{at}feed_forward.w3.weight": (inner, dim),
        }
    weights = {}
    for name, shape in shapes.items():
        scale = (
            0.02 / math.sqrt(2 * layers)
            if name.endswith(("wo.weight", "w2.weight"))
            else 0.02
            if "emb" in name or "output" in name
            else dim**-0.5
        )
        weight = torch.ones(shape, device=device) if len(shape) == 1 else torch.randn(shape, device=device) * scale
        weights[name] = weight.requires_grad_()
    return weights


def forward(torch, functional, weights, x):
    """Run the model of params.json in the layout of Mistral's consolidated files: rotary pairs lie side by side."""
    heads, size, eps = SHAPE["n_heads"], SHAPE["head_dim"], PARAMS["norm_eps"]
    rows, columns = x.shape
    turns = 1.0 / PARAMS["rope_theta"] ** (torch.arange(0, size, 2, device=x.device).float() / size)
    angle = torch.outer(torch.arange(columns, device=x.device).float(), turns)
    cos, sin = angle.cos(), angle.sin()

    def rotate(q):
        even, odd = q.float()[..., 0::2], q.float()[..., 1::2]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(torch.bfloat16)

    def norm(h, name):
        return functional.rms_norm(h.float(), (h.shape[-1],), weights[name], eps)

    h = functional.embedding(x, weights["tok_embeddings.weight"])
    for layer in range(SHAPE["n_layers"]):
        at = f"layers.{layer}."
        y = norm(h, f"{at}attention_norm.weight")
        q, k, v = (
            functional.linear(y, weights[f"{at}attention.{w}.weight"]).view(rows, columns, heads, size).transpose(1, 2)
            for w in ("wq", "wk", "wv")
        )
        y = functional.scaled_dot_product_attention(rotate(q), rotate(k), v.to(torch.bfloat16), is_causal=True)
        h = h + functional.linear(
            y.transpose(1, 2).reshape(rows, columns, heads * size), weights[f"{at}attention.wo.weight"]
        )
        y = norm(h, f"{at}ffn_norm.weight")
        gate = functional.silu(functional.linear(y, weights[f"{at}feed_forward.w1.weight"]))
        h = h + functional.linear(
            gate * functional.linear(y, weights[f"{at}feed_forward.w3.weight"]), weights[f"{at}feed_forward.w2.weight"]
        )
    return norm(h, "norm.weight")


def ask(base_url, count, seed):
    from agent.prompts import SYSTEM_PROMPT
    from serving.pocket import scenarios
    from serving.pocket.measure import measure

    for make, _ in scenarios.KINDS:
        for effort in ("none", "high"):
            score = measure(
                base_url,
                make,
                rng=random.Random(seed),
                count=count,
                effort=effort,
                own=own_definitions(),
                system_prompt=SYSTEM_PROMPT,
            )
            print(f"{make.__name__.strip('_'):14} {effort:4} {score.right:4} of {score.replies:4}", flush=True)
            for wrong in score.wrong[:3]:
                print(
                    f"      {wrong.asked!r}\n        expected {wrong.expected}\n        got      {wrong.got}",
                    flush=True,
                )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("vocabulary")
    one.add_argument("out", type=Path)
    one = commands.add_parser("tokens")
    one.add_argument("vocabulary", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("--count", type=int, default=120_000)
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--show", type=int, default=0)
    one = commands.add_parser("fit")
    one.add_argument("out", type=Path)
    one.add_argument("data", type=Path, nargs="+")
    one.add_argument("--seconds", type=float, default=420.0)
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--batch-tokens", type=int, default=32_768)
    one = commands.add_parser("measure")
    one.add_argument("base_url")
    one.add_argument("--count", type=int, default=100)
    one.add_argument("--seed", type=int, default=1_000_003)
    given = parser.parse_args()
    if given.command == "vocabulary":
        make_vocabulary(given.out)
    elif given.command == "tokens":
        make_tokens(given.vocabulary, given.out, given.count, given.seed, given.show)
    elif given.command == "measure":
        ask(given.base_url, given.count, given.seed)
    else:
        fit(given.data, given.out, given.seconds, given.seed, given.batch_tokens)


if __name__ == "__main__":
    main()
