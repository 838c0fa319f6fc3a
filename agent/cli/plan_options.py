"""Define the options that `plan`, `serve` and `deploy` share, and plan from them; prints nothing."""

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
"""The shipped model, planned for the CPU."""


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the model, the GPUs and everything else that decides what fits."""
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="A known model's name, a model folder, or `pocket` (default: Mistral Medium 3.5 128B).",
    )
    what = parser.add_argument_group("what to plan for")
    what.add_argument(
        "--gpus",
        metavar="KIND:N",
        help="Such as h100:4, or 2x48GiB@864GB/s for another card (default: the GPUs of this machine).",
    )
    what.add_argument("--context", metavar="TOKENS", help="Prompt plus answer: 32k, 131072 (default: chosen).")
    what.add_argument(
        "--context-of",
        metavar="FILE",
        action="append",
        default=[],
        help="Choose the context from the journal of a past run; can be repeated.",
    )
    what.add_argument(
        "--concurrency",
        metavar="N",
        help="Full-length requests to hold at once (default: 4 if the context is chosen, else 1).",
    )
    what.add_argument("--engine", choices=["vllm", "sglang"], default="vllm", help="The engine (default vllm).")
    what.add_argument("--engine-version", metavar="VERSION", help="Such as 0.33.0 (default: the one installed here).")
    how = parser.add_argument_group("how it is served")
    how.add_argument(
        "--weights",
        choices=["fp8", "bf16", "fp4", "int8", "int4"],
        help="Format of the weights (default: as released; packed ones are read from a folder).",
    )
    how.add_argument(
        "--kv", choices=["auto", "fp8"], default="auto", help="Format of the KV cache (default auto, which is BF16)."
    )
    how.add_argument("--draft", metavar="eagle", help="Speculative decoding with the model's own draft, or a folder's.")
    how.add_argument("--language-model-only", action="store_true", help="Disable image input.")
    how.add_argument("--tensor-parallel-size", metavar="N", help="GPUs that share one model copy (default: all).")
    how.add_argument("--gpu-memory-utilization", metavar="SHARE", help="Share of each GPU to use (default 0.85).")
    how.add_argument("--max-num-batched-tokens", metavar="N", help="Tokens computed in one pass (default 16k).")
    how.add_argument("--max-num-seqs", metavar="N", help="Requests computed in one pass (default 128).")
    how.add_argument(
        "--enforce-eager", action="store_true", help="Disable CUDA graphs: less memory, up to 3 times slower."
    )
    how.add_argument("--block-size", metavar="TOKENS", help="Tokens per KV cache block (default: the engine's).")
    how.add_argument("--kv-cache-memory-bytes", metavar="N", help="Size of the KV cache per GPU, such as 8GiB.")
    how.add_argument(
        "--kv-offloading-size", metavar="GIB", help="CPU memory for keys and values that leave the GPUs (default none)."
    )
    how.add_argument(
        "--other-gib",
        metavar="GIB",
        help="What a GPU needs besides weights and KV cache (default: measured or estimated).",
    )


def plan_from(args: argparse.Namespace, environ: Mapping[str, str]) -> Plan:
    """Return the plan for the options.

    Raises:
        EngineError: an option is invalid, a model or GPU is not known, or no GPUs are given and this machine has none.
        ConfigError: a journal cannot be read.
    """
    gpus = gpus_of(args, environ)
    if gpus is None:
        raise _refusal(
            "No GPUs to plan for: --gpus is not given, and none were found on this machine.",
            "Give them, such as --gpus h100:4. `agent plan` without --gpus compares common sets.",
        )
    return plan_on(gpus, args, environ)


def gpus_of(args: argparse.Namespace, environ: Mapping[str, str]) -> GpuSet | None:
    """Return the GPUs to plan for: those given, the CPU for the pocket model, or this machine's; None if it has none.

    Raises:
        EngineError: the given GPUs are not known.
    """
    from serving.capacity.gpus import gpus_here
    from serving.capacity.hardware import parse_gpus

    if args.gpus is not None:
        return parse_gpus(args.gpus)
    return parse_gpus("cpu") if args.model == POCKET else gpus_here(environ)


def plan_on(gpus: GpuSet, args: argparse.Namespace, environ: Mapping[str, str]) -> Plan:
    """Return the plan for the options on these GPUs.

    Raises:
        EngineError: an option is invalid, or a model is not known.
        ConfigError: a journal cannot be read.
    """
    from dataclasses import replace

    from serving.capacity.calibration import lookup
    from serving.capacity.planner import plan
    from serving.capacity.sizing import PlanOptions
    from serving.directories import state_dir

    from .context_usage import read_context_usage

    usage = read_context_usage(args.context_of) if args.context_of else None
    if usage and args.context is not None:
        raise _refusal("--context and --context-of both set the context.", "Give only one of them.")
    state = state_dir(environ)
    options = PlanOptions(
        model=PlanOptions.model if args.model is None else args.model,
        gpus=gpus,
        tensor_parallel_size=_count("--tensor-parallel-size", args.tensor_parallel_size),
        max_model_len=usage.needed if usage else _count("--context", args.context),
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
        kv_offloading_size=None
        if args.kv_offloading_size is None
        else _decimal("--kv-offloading-size", args.kv_offloading_size, "Give GiB for all GPUs together, such as 200."),
        other_bytes=_gib("--other-gib", args.other_gib),
        engine_version=_version(args.engine_version) or installed_version(gpus, args, environ),
        first_model_runner=environ.get("VLLM_USE_V2_MODEL_RUNNER") == "0",
    )
    made = plan(options, measured=lambda request: lookup(request, state))
    return replace(made, notes=(usage.note, *made.notes)) if usage else made


def installed_version(gpus: GpuSet, args: argparse.Namespace, environ: Mapping[str, str]) -> str | None:
    """Return the version of the engine that is installed here; None if none is, or if the plan is for the CPU."""
    from serving.readiness.versions import engine_version

    # On the CPU, where nothing depends on it, the engine may have to be installed first.
    return None if gpus.gpu.name == "cpu" else engine_version(args.engine, environ, getattr(args, "python", None))


def options_of(request: PlanRequest) -> tuple[str, ...]:
    """Return the command-line arguments that yield the same request; defaults are left out."""
    from serving.capacity.hardware import GIB, gpus_text
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
        ("--kv-offloading-size", request.kv_offloading_size and _plain(request.kv_offloading_size), None),
        ("--other-gib", None if request.other_bytes is None else _plain(request.other_bytes / GIB), None),
    )
    model_words = _model_words(model)
    if gpus.gpu.name == "cpu":
        gpu_words = () if model_words == (POCKET,) else ("--gpus", "cpu")
    else:
        gpu_words = () if gpus.measured else ("--gpus", gpus_text(gpus))
    rest = [
        word
        for option, value, usual in given
        if value != usual
        for word in ((option,) if value is True else (option, str(value)))
    ]
    return (*model_words, *gpu_words, "--context", str(request.max_model_len), *rest)


def _model_words(model: ModelShape) -> tuple[str, ...]:
    """Return the MODEL argument; empty for the default model."""
    from serving.capacity.catalogue import MEDIUM
    from serving.capacity.planner import find_model

    if model.name == MEDIUM:
        return ()
    # A folder can have the same name as the shipped model.
    return (POCKET,) if model.title == POCKET and model == find_model(POCKET) else (model.name,)


def _plain(number: float) -> str:
    """Format a number without an exponent; parsing it returns the same number."""
    from decimal import Decimal

    return format(Decimal(repr(number)), "f").removesuffix(".0")


_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_COUNT = re.compile(r"(\d{1,18})([kmg]?)(?:i?b)?", re.IGNORECASE)


def _count(option: str, text: str | None) -> int | None:
    """Parse a whole number above 0; k, M and G mean powers of 1024. None means that it is not given."""
    if text is None:
        return None
    found = _COUNT.fullmatch(text.strip().replace("_", ""))
    if found is None or int(found[1]) == 0:
        raise _refusal(
            f"{option} {text!r} is not a whole number above 0.", "Give a number such as 32768, or 32k for the same."
        )
    return int(found[1]) * _UNITS[found[2].lower()]


def _version(text: str | None) -> str | None:
    """Check a version as people write it: `0.33.0`, `v0.33`, `0.33.1rc1.dev12`."""
    if text is None:
        return None
    found = re.fullmatch(r"v?(\d{1,4}\.\d{1,4}\S*)", text.strip())
    if found is None:
        raise _refusal(
            f"--engine-version {text!r} is not a version.", "Give it as the engine prints it, such as 0.33.0."
        )
    return found[1]


def _share(text: str | None, usual: float) -> float:
    return usual if text is None else _decimal("--gpu-memory-utilization", text, "Give a share such as 0.85.")


def _gib(option: str, text: str | None) -> int | None:
    from serving.capacity.hardware import GIB

    return None if text is None else int(_decimal(option, text, "Give GiB per GPU, such as 4 or 4.5.") * GIB)


def _decimal(option: str, text: str, do: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,40})?|\.\d{1,40}", text.strip()):
        raise _refusal(f"{option} {text!r} is not a number.", do)
    return float(text)


def _refusal(what: str, do: str) -> EngineError:
    from serving import EngineError

    return EngineError(what, cause="", do=do)
