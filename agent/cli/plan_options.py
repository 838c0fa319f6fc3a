"""The options that `plan`, `serve` and `deploy` share, and the plan that follows from them; prints nothing."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.planning import Plan


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the model, the GPUs and what shapes the memory."""
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="A name on the Hugging Face Hub, a folder, or `pocket` (default: Mistral Medium 3.5 128B).",
    )
    parser.add_argument("--gpus", metavar="KIND:N", help="As `h100:4` (default: the GPUs of this machine).")
    parser.add_argument("--tensor-parallel-size", metavar="N", help="GPUs that share one copy (default: all).")
    parser.add_argument("--context", metavar="TOKENS", help="Prompt and answer together: 32k, 131072.")
    parser.add_argument("--concurrency", metavar="N", help="Requests of that context to hold at once.")
    parser.add_argument("--weights", choices=["fp8", "bf16"], help="Format of the weights (default: as shipped).")
    parser.add_argument("--kv", choices=["auto", "fp8"], default="auto", help="Format of the KV cache.")
    parser.add_argument("--draft", metavar="eagle", help="Speculative decoding with the published draft, or a folder.")
    parser.add_argument("--engine", choices=["vllm", "sglang"], default="vllm")
    parser.add_argument("--gpu-memory-utilization", metavar="SHARE", default="0.85", help="Default 0.85.")
    parser.add_argument("--max-num-batched-tokens", metavar="N", default="16k", help="Default 16k.")
    parser.add_argument("--max-num-seqs", metavar="N", help="Requests computed at once (default 128).")
    parser.add_argument("--language-model-only", action="store_true", help="Do without the vision tower.")
    parser.add_argument("--enforce-eager", action="store_true", help="Do without CUDA graphs.")


def plan_from(args: argparse.Namespace, environ: Mapping[str, str]) -> Plan:
    """Make the plan that the options ask for.

    Raises:
        EngineError: an option cannot be read, or a model or GPU is not known.
    """
    from serving.catalogue import MEDIUM
    from serving.planner import plan

    return plan(
        args.model or MEDIUM,
        gpus=args.gpus,
        tensor_parallel_size=_count(args.tensor_parallel_size),
        max_model_len=_count(args.context),
        concurrency=_count(args.concurrency),
        weights=args.weights,
        kv_cache_dtype=args.kv,
        draft=args.draft,
        engine=args.engine,
        gpu_memory_utilization=float(args.gpu_memory_utilization),
        max_num_batched_tokens=_count(args.max_num_batched_tokens) or 16384,
        max_num_seqs=_count(args.max_num_seqs),
        language_model_only=args.language_model_only,
        enforce_eager=args.enforce_eager,
    )


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)(k?)", text.strip().lower())
    assert found
    return int(found[1]) * (1024 if found[2] else 1)
