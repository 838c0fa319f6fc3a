"""Define the fix for each kind of defect and server, and the explanations of known refusals; texts only."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from .records import ServerKind

Remedy = Literal[
    "tool_parser",
    "tool_template",
    "reasoning_parser",
    "prefix_cache",
    "prompt_details",
    "metrics",
    "grammar",
    "known_good",
    "log",
    "draft",
    "key",
]

FIXES: Mapping[tuple[Remedy, ServerKind], str] = MappingProxyType(
    {
        ("tool_parser", "vllm"): "Start vLLM with --enable-auto-tool-choice and the model's own --tool-call-parser; "
        "for Mistral: --tool-call-parser mistral --tokenizer-mode mistral.",
        ("tool_parser", "sglang"): "Start SGLang with the model's own --tool-call-parser; for Mistral: "
        "--tool-call-parser mistral.",
        ("tool_parser", "generic"): "Start the server with the tool-call parser of this model's family.",
        ("tool_template", "vllm"): "Start vLLM with a chat template of the model's family that renders tools "
        "(--chat-template FILE; vLLM has some in examples/), or serve a model trained to call tools. For Mistral: "
        "--tokenizer-mode mistral.",
        ("tool_template", "sglang"): "Start SGLang with a chat template of the model's family that renders tools "
        "(--chat-template FILE), or serve a model trained to call tools.",
        ("tool_template", "generic"): "Give the server a chat template of the model's family that renders tools (for "
        "llama-server: --jinja), or serve a model trained to call tools.",
        ("reasoning_parser", "vllm"): "Start vLLM with the model's own --reasoning-parser; for Mistral: "
        "--reasoning-parser mistral.",
        ("reasoning_parser", "sglang"): "Start SGLang with the model's own --reasoning-parser; for Mistral: "
        "--reasoning-parser mistral.",
        ("reasoning_parser", "generic"): "Start the server with the reasoning parser of this model's family.",
        ("prefix_cache", "vllm"): "Start vLLM with --enable-prefix-caching. Behind a router: route each session to "
        "one engine (cache_aware or consistent_hash).",
        ("prefix_cache", "sglang"): "Start SGLang without --disable-radix-cache. Behind a router: route each "
        "session to one engine (cache_aware or consistent_hash).",
        ("prefix_cache", "generic"): "Enable the server's prefix cache. Behind a router: route each session to one "
        "engine.",
        ("prompt_details", "vllm"): "vLLM reports them with --enable-prompt-tokens-details",
        ("prompt_details", "sglang"): "SGLang reports them with --enable-cache-report",
        ("prompt_details", "generic"): "the server does not report them",
        ("metrics", "vllm"): "vLLM serves them unless a proxy hides /metrics",
        ("metrics", "sglang"): "SGLang serves them with --enable-metrics",
        ("metrics", "generic"): "the server serves none at /metrics",
        ("grammar", "vllm"): "Start vLLM with --structured-outputs-config '{\"enable_in_reasoning\":true}'.",
        ("grammar", "sglang"): "Start SGLang with a --grammar-backend other than none.",
        ("grammar", "generic"): "Use a server with grammar-constrained decoding, such as vLLM or SGLang.",
        ("known_good", "vllm"): "Serve it with vLLM 0.32.0 and mistral_common 1.12.0, which are known to work.",
        ("known_good", "sglang"): "Upgrade SGLang, or serve the model with vLLM 0.32.0, which is known to work.",
        ("known_good", "generic"): "Serve the model with vLLM 0.32.0, which is known to work.",
        ("log", "vllm"): "Read vLLM's log, or run: agent doctor --log FILE.",
        ("log", "sglang"): "Read SGLang's log, or run: agent doctor --log FILE.",
        ("log", "generic"): "Read the server's log.",
        ("draft", "vllm"): "Use the draft made for this model in --speculative-config, or start without the flag.",
        ("draft", "sglang"): "Use the draft made for this model in --speculative-draft-model-path, or start without "
        "the flag.",
        ("key", "vllm"): "Start vLLM with a key in the environment variable VLLM_API_KEY.",
        ("key", "sglang"): "Start SGLang with --api-key.",
        ("key", "generic"): "Start the server with an API key.",
        ("draft", "generic"): "Use the draft made for this model, or none.",
    }
)


@dataclass(frozen=True, kw_only=True)
class KnownRefusal:
    """The explanation and fix of a refusal with a known text."""

    why: str
    fix: str


def fix(remedy: Remedy, kind: ServerKind) -> str:
    """Return the text of a fix."""
    return FIXES[remedy, kind]


def known_refusal(reason: str) -> KnownRefusal | None:
    """Find the explanation of a server's error text; None if the text is unknown."""
    return next((known for pattern, known in _KNOWN if pattern.search(reason)), None)


# Error texts of vLLM 0.32.0. The first was observed on the CPU on 2026-11-23 with mistral_common 1.13.1; the others are
# from its source and that of mistral_common 1.11.
_KNOWN: tuple[tuple[re.Pattern[str], KnownRefusal], ...] = (
    (
        re.compile(r"get_lark_from_jinja\(\) missing .*force_tool_names"),
        KnownRefusal(
            why="the installed mistral_common is 1.13 or newer and requires an argument that this vLLM does not pass "
            "(force_tool_names): every chat request fails",
            fix="In the engine's environment: pip install 'mistral_common>=1.11.6,<1.13'. Then restart vLLM.",
        ),
    ),
    (
        # renderers/online_renderer.py:269 and 279; for tokenizers other than Mistral's.
        re.compile(r"requires (--enable-auto-tool-choice and )?--tool-call-parser"),
        KnownRefusal(
            why="the server was started without a tool parser",
            fix=FIXES["tool_parser", "vllm"],
        ),
    ),
    (
        re.compile(r"must be a-z, A-Z, 0-9, with a length of 9"),
        KnownRefusal(
            why="the server accepts only call ids of nine letters and digits, but generates other ids",
            fix="Start vLLM with --tokenizer-mode mistral.",
        ),
    ),
)
