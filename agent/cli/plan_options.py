"""The options that `plan`, `serve` and `deploy` share, and the plan that follows from them; prints nothing."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving import EngineError
    from serving.capacity.hardware import GpuSet
    from serving.capacity.models import ModelShape
    from serving.capacity.sizing import Plan, PlanRequest


POCKET = "pocket"
"""The shipped model, which is planned for the CPU."""


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the model, the GPUs and all that decides what fits."""
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="A model known by name, the folder of one, or `pocket` (default: Mistral Medium 3.5 128B).",
    )
    what = parser.add_argument_group("what to plan for")
    what.add_argument("--gpus", metavar="KIND:N", help="As h100:4 (default: the GPUs of this machine).")
    what.add_argument("--context", metavar="TOKENS", help="Prompt and answer together: 32k, 131072 (default: chosen).")
    what.add_argument(
        "--context-of",
        metavar="FILE",
        action="append",
        default=[],
        help="Take the context from a journal of past runs; may be repeated.",
    )
    what.add_argument("--concurrency", metavar="N", help="Requests of that context to hold at once (default 1).")
    what.add_argument("--engine", choices=["vllm", "sglang"], default="vllm", help="Default vllm.")
    how = parser.add_argument_group("how it is served")
    how.add_argument("--weights", choices=["fp8", "bf16"], help="Their format (default: as shipped).")
    how.add_argument(
        "--kv", choices=["auto", "fp8"], default="auto", help="Format of the KV cache (default auto: BF16)."
    )
    how.add_argument("--draft", metavar="eagle", help="Speculative decoding: the model's own draft, or a folder.")
    how.add_argument("--language-model-only", action="store_true", help="Do without images.")
    how.add_argument("--tensor-parallel-size", metavar="N", help="GPUs that share one copy (default: all).")
    how.add_argument("--gpu-memory-utilization", metavar="SHARE", help="Of each GPU (default 0.85).")
    how.add_argument("--max-num-batched-tokens", metavar="N", help="Tokens computed in one pass (default 16k).")
    how.add_argument("--max-num-seqs", metavar="N", help="Requests computed in one pass (default 128).")
    how.add_argument("--enforce-eager", action="store_true", help="Do without CUDA graphs: less memory, slower.")
    how.add_argument("--block-size", metavar="TOKENS", help="Of the KV cache (default: the engine's).")
    how.add_argument("--kv-cache-memory-bytes", metavar="N", help="The KV cache of a GPU, given: 8GiB.")
    how.add_argument(
        "--other-gib",
        metavar="GIB",
        help="What a GPU needs beside weights and KV cache (default: measured or estimated).",
    )


def plan_from(args: argparse.Namespace, environ: Mapping[str, str]) -> Plan:
    """Make the plan that the options ask for.

    Raises:
        EngineError: an option cannot be read, a model or GPU is not known, or no GPUs are here and none are given.
        ConfigError: a journal cannot be read.
    """
    gpus = gpus_of(args, environ)
    if gpus is None:
        raise _refusal(
            "Which GPUs? None are found on this machine, and none are given.",
            "Name them: --gpus h100:4. `agent plan` alone compares common sets.",
        )
    return plan_on(gpus, args, environ)


def gpus_of(args: argparse.Namespace, environ: Mapping[str, str]) -> GpuSet | None:
    """Find the GPUs to plan for: given, the CPU for the pocket model, or those of this machine; None: there are none.

    Raises:
        EngineError: the GPUs given are not known.
    """
    from serving.capacity.gpus import gpus_here
    from serving.capacity.hardware import parse_gpus

    if args.gpus is not None:
        return parse_gpus(args.gpus)
    return parse_gpus("cpu") if args.model == POCKET else gpus_here(environ)


def plan_on(gpus: GpuSet, args: argparse.Namespace, environ: Mapping[str, str]) -> Plan:
    """Make the plan that the options ask for, for these GPUs.

    Raises:
        EngineError: an option cannot be read, or a model is not known.
        ConfigError: a journal cannot be read.
    """
    from dataclasses import replace

    from serving.capacity.calibration import lookup
    from serving.capacity.planner import plan
    from serving.capacity.sizing import PlanOptions
    from serving.directories import state_dir

    from .contexts import seen_contexts

    seen = seen_contexts(args.context_of) if args.context_of else None
    if seen and args.context is not None:
        raise _refusal("--context and --context-of both say how long the context is.", "Give one of them.")
    state = state_dir(environ)
    options = PlanOptions(
        model=PlanOptions.model if args.model is None else args.model,
        gpus=gpus,
        tensor_parallel_size=_count("--tensor-parallel-size", args.tensor_parallel_size),
        max_model_len=seen.needed if seen else _count("--context", args.context),
        concurrency=_count("--concurrency", args.concurrency),
        weights=args.weights,
        kv_cache_dtype=args.kv,
        draft=args.draft,
        engine=args.engine,
        gpu_memory_utilization=_share(args.gpu_memory_utilization, PlanOptions.gpu_memory_utilization),
        max_num_batched_tokens=_count("--max-num-batched-tokens", args.max_num_batched_tokens)
        or PlanOptions.max_num_batched_tokens,
        max_num_seqs=_count("--max-num-seqs", args.max_num_seqs),
        language_model_only=args.language_model_only,
        enforce_eager=args.enforce_eager,
        block_size=_count("--block-size", args.block_size),
        kv_cache_memory_bytes=_count("--kv-cache-memory-bytes", args.kv_cache_memory_bytes),
        other_bytes=_gib("--other-gib", args.other_gib),
    )
    made = plan(options, measured=lambda request: lookup(request, state))
    return replace(made, notes=(seen.sentence, *made.notes)) if seen else made


def options_of(request: PlanRequest) -> tuple[str, ...]:
    """Spell a request as words of the command line, so that the same plan comes out; what is usual is left out."""
    from serving.capacity.hardware import GIB
    from serving.capacity.planner import own_draft, usual_block_size, usual_cache_bytes, usual_sequences
    from serving.capacity.splitting import widest_split

    model, gpus = request.model, request.gpus
    draft = request.draft and ("eagle" if request.draft == own_draft(model) else request.draft.name)
    usual_share = type(request).gpu_memory_utilization
    sequences = usual_sequences(request.concurrency, request.max_num_batched_tokens)
    given: tuple[tuple[str, object, object], ...] = (
        ("--concurrency", request.concurrency, 1),
        ("--engine", request.engine, "vllm"),
        ("--weights", request.weights, next(iter(model.weights))),
        ("--kv", request.kv_cache_dtype, "auto"),
        ("--draft", draft, None),
        ("--language-model-only", request.language_model_only, False),
        ("--tensor-parallel-size", request.tensor_parallel_size, widest_split(model, gpus.count)),
        ("--gpu-memory-utilization", _plain(request.gpu_memory_utilization), _plain(usual_share)),
        ("--max-num-batched-tokens", request.max_num_batched_tokens, type(request).max_num_batched_tokens),
        ("--max-num-seqs", request.max_num_seqs, sequences),
        ("--enforce-eager", request.enforce_eager, False),
        ("--block-size", request.block_size, usual_block_size(request.engine, gpus)),
        ("--kv-cache-memory-bytes", request.kv_cache_memory_bytes, usual_cache_bytes(gpus)),
        ("--other-gib", None if request.other_bytes is None else _plain(request.other_bytes / GIB), None),
    )
    named = _named(model)
    if gpus.gpu.name == "cpu":
        where = () if named == (POCKET,) else ("--gpus", "cpu")
    else:
        where = () if gpus.measured else ("--gpus", f"{gpus.gpu.name}:{gpus.count}")
    rest = [
        word
        for option, value, usual in given
        if value != usual
        for word in ((option,) if value is True else (option, str(value)))
    ]
    return (*named, *where, "--context", str(request.max_model_len), *rest)


def _named(model: ModelShape) -> tuple[str, ...]:
    """Name the model as it is given; nothing for the default."""
    from serving.capacity.catalogue import MEDIUM
    from serving.capacity.planner import find_model

    if model.name == MEDIUM:
        return ()
    # A folder may have the same name as the shipped model.
    return (POCKET,) if model.title == POCKET and model == find_model(POCKET) else (model.name,)


def _plain(number: float) -> str:
    """Spell a number so that it is read back exactly, and without an exponent."""
    from decimal import Decimal

    return format(Decimal(repr(number)), "f").removesuffix(".0")


_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_COUNT = re.compile(r"(\d{1,18})([kmg]?)(?:i?b)?", re.IGNORECASE)


def _count(option: str, text: str | None) -> int | None:
    """Read a whole number above 0; k, M and G stand for powers of 1024. None: not given."""
    if text is None:
        return None
    found = _COUNT.fullmatch(text.strip().replace("_", ""))
    if found is None or int(found[1]) == 0:
        raise _refusal(f"{option} {text!r} is not a whole number above 0.", "Give it as 32768, or as 32k for the same.")
    return int(found[1]) * _UNITS[found[2].lower()]


def _share(text: str | None, usual: float) -> float:
    return usual if text is None else _decimal("--gpu-memory-utilization", text, "Give a share such as 0.85.")


def _gib(option: str, text: str | None) -> int | None:
    from serving.capacity.hardware import GIB

    return None if text is None else int(_decimal(option, text, "Give GiB per GPU, as 4 or 4.5.") * GIB)


def _decimal(option: str, text: str, do: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,40})?|\.\d{1,40}", text.strip()):
        raise _refusal(f"{option} {text!r} is not a number.", do)
    return float(text)


def _refusal(what: str, do: str) -> EngineError:
    from serving import EngineError

    return EngineError(what, cause="", do=do)
