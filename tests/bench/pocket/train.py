"""Train the pocket model and its draft; each command needs the packages listed beside it, and none installs its output.

Run it in the repository's root with PYTHONPATH=tests/bench:

    python -m pocket.train vocabulary OUT/tekken.json        mistral_common
    python -m pocket.train show                              mistral_common, agent, tools, pytest
    python -m pocket.train fit OUT --seconds 1000            torch, mistral_common, agent, tools, pytest; a GPU
    python -m pocket.train draft OUT/draft OUT               the same
    python -m pocket.train measure http://127.0.0.1:PORT/v1  agent, tools, a server of the new model

`show` prints sample conversations and what the model is trained on. `fit` generates its conversations while it trains,
in separate processes (--workers, one per spare core); training.json then holds their number and the results on the
held-out ones. The seed decides what each process generates; how much of it is ready in time depends on the machine.
Copy consolidated.safetensors, params.json and training.json to serving/pocket/model, and the output of `draft` to
serving/pocket/draft. Then measure with tests/bench/escalation.py and tests/bench/draft.py.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

from pocket.corpus import render_samples, write_pieces
from pocket.draft_network import save_draft
from pocket.drafting import fit_draft
from pocket.network import PARAMS, forward, initial_weights, spread
from pocket.shards import Pool, start_workers
from pocket.tekken import PATTERN, tekken_file
from pocket.world.live_project import definitions

from serving.pocket import MAX_MODEL_LEN, model_dir


def make_vocabulary(out):
    import mistral_common
    import regex

    file = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
    ranks = json.loads(file.read_text(encoding="utf-8"))["vocab"]
    whole = tekken_file(ranks, lambda text: regex.fullmatch(PATTERN, text) is not None)
    out.write_text(json.dumps(whole), encoding="utf-8")


def fit(out, vocabulary, seconds, seed, workers, batch_tokens, peak, begin):
    """Train for `seconds` on conversations generated in parallel, and write the model's folder."""
    import torch
    import torch.nn.functional as functional
    from safetensors.torch import load_file, save_file

    torch.manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("high")
    shards = out / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    print(write_pieces(vocabulary, out / "pieces.npz"), flush=True)
    working = start_workers(vocabulary, shards, workers=workers, per_shard=400, seed=seed)
    pool = Pool(torch, device, shards, out / "pieces.npz", batch_tokens=batch_tokens, seed=seed)
    weights = initial_weights(torch, device)
    if begin:
        weights = {k: w.to(device).float().requires_grad_() for k, w in load_file(begin).items()}
    pool.refresh()
    while len(pool) < 60 * workers:
        time.sleep(1)
        pool.refresh()
    print("parameters", sum(w.numel() for w in weights.values()), "conversations", len(pool), flush=True)

    def loss_of(x, learn, positions=None):
        wanted = torch.where(learn, x, -100)[:, 1:]
        with torch.autocast(device, torch.bfloat16):
            hidden = forward(torch, functional, weights, x, positions)[:, :-1]
            at = wanted != -100
            logits = functional.linear(hidden[at], weights["output.weight"])
        count = at.sum().clamp(min=1)  # 0 if a batch ends with the first reply of a new effort
        right = (logits.argmax(-1) == wanted[at]).sum() / count
        return functional.cross_entropy(logits.float(), wanted[at], reduction="sum") / count, right

    def save():
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
    batches = pool.batches()
    started, step, seen, reported, saved, losses = time.monotonic(), 0, 0, 0.0, 0.0, []
    while (elapsed := time.monotonic() - started) < seconds:
        part = elapsed / seconds
        rate = peak * min(1.0, (step + 1) / 300) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        x, learn = next(batches)
        loss, right = loss_of(x, learn, spread(torch, x, MAX_MODEL_LEN))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        step, seen = step + 1, seen + x.numel()
        losses.append((loss.detach(), right))
        if elapsed - reported > 15:
            reported = elapsed
            pool.refresh()
            recent = torch.tensor([[float(v) for v in pair] for pair in losses[-100:]]).mean(0)
            losses.clear()
            print(
                f"{elapsed:.0f} s step {step} {seen / elapsed:.0f} tok/s rate {rate:.5f} pool {len(pool)} "
                f"({pool.tokens} tokens, seen {seen / pool.tokens:.2f} times) "
                f"loss {recent[0]:.4f} right {recent[1]:.4f}",
                flush=True,
            )
        if elapsed - saved > 60:
            saved = elapsed
            save()
    save()
    for worker in working:
        worker.terminate()
    with torch.no_grad():
        found = torch.tensor([[float(v) for v in loss_of(*batch)] for batch in pool.held(2_000)])
    facts = {
        "parameters": sum(w.numel() for w in weights.values()), "seconds": round(seconds), "device": (
            torch.cuda.get_device_name() if device == "cuda" else "CPU"
        ), "conversations": len(pool), "tokens": pool.tokens, "tokens_seen": seen, "seed": seed,
        "held_out_loss": round(found[:, 0].mean().item(), 5), "held_out_right": round(found[:, 1].mean().item(), 5),
    }  # fmt: skip
    (out / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(facts, flush=True)


def train_draft(out, model, seconds, seed):
    """Train the draft on the shards in the folder of `fit`, and write it."""
    import torch
    from safetensors.torch import load_file

    device = "cuda" if torch.cuda.is_available() else "cpu"
    target = {k: w.to(device).float() for k, w in load_file(model / "consolidated.safetensors").items()}
    pool = Pool(torch, device, model / "shards", model / "pieces.npz", batch_tokens=32_768, seed=seed)
    pool.refresh()
    held = list(pool.held(300))
    draft = fit_draft(
        torch, target, pool.batches(), seconds=seconds, held=held, report=lambda text: print(text, flush=True)
    )
    out.mkdir(parents=True, exist_ok=True)
    save_draft(torch, draft, out)


def ask(base_url, count, seed):
    from pocket import scenarios
    from pocket.measure import measure

    from agent.loop.prompts import SYSTEM_PROMPT

    for make, _ in scenarios.KINDS:
        for effort in ("none", "high"):
            score = measure(
                base_url,
                make,
                rng=random.Random(seed),
                count=count,
                effort=effort,
                own=list(definitions().values()),
                system_prompt=SYSTEM_PROMPT,
            )
            print(f"{make.__name__.strip('_'):14} {effort:4} {score.right:4} of {score.replies:4}", flush=True)
            for wrong in score.wrong[:3]:
                print(
                    f"      {wrong.user!r}\n        expected {wrong.expected}\n        got      {wrong.got}",
                    flush=True,
                )


def main():
    parser = argparse.ArgumentParser(
        prog="python -m pocket.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("vocabulary")
    one.add_argument("out", type=Path)
    one = commands.add_parser("show")
    one.add_argument("--count", type=int, default=5)
    one.add_argument("--seed", type=int, default=1)
    one = commands.add_parser("fit")
    one.add_argument("out", type=Path)
    one.add_argument("--vocabulary", type=Path, default=model_dir() / "tekken.json")
    one.add_argument("--seconds", type=float, default=1000.0)
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--workers", type=int, default=15)
    one.add_argument("--batch-tokens", type=int, default=65_536)
    one.add_argument("--peak", type=float, default=2e-3)
    one.add_argument("--begin", type=Path, help="weights to continue from")
    one = commands.add_parser("draft")
    one.add_argument("out", type=Path)
    one.add_argument("model", type=Path, help="the folder that `fit` wrote, including its shards")
    one.add_argument("--seconds", type=float, default=200.0)
    one.add_argument("--seed", type=int, default=5)
    one = commands.add_parser("measure")
    one.add_argument("base_url")
    one.add_argument("--count", type=int, default=100)
    one.add_argument("--seed", type=int, default=1_000_003)
    args = parser.parse_args()
    if args.command == "vocabulary":
        make_vocabulary(args.out)
    elif args.command == "show":
        for text in render_samples(model_dir() / "tekken.json", count=args.count, seed=args.seed):
            print(text)
    elif args.command == "measure":
        ask(args.base_url, args.count, args.seed)
    elif args.command == "draft":
        train_draft(args.out, args.model, args.seconds, args.seed)
    else:
        fit(
            args.out,
            args.vocabulary,
            args.seconds,
            args.seed,
            args.workers,
            args.batch_tokens,
            args.peak,
            args.begin,
        )


if __name__ == "__main__":
    main()
