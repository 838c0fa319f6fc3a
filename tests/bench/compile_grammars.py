"""Compile schemas as vLLM does it of a strict tool, in both of its grammar back-ends; runs in the engine's Python.

`compile_schemas` starts this file as a script there: one JSON object a line in, one a line out, in the same order.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

POCKET = Path(__file__).resolve().parents[2] / "serving" / "pocket" / "model" / "tekken.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiled:
    """What the two back-ends say of one schema."""

    guidance: str
    """The error of llguidance. Empty means that it compiles, as a strict tool of a Mistral server and as JSON."""
    xgrammar: str
    """The error of xgrammar, or that vLLM refuses the schema for it. Empty means that it compiles."""
    accepts: tuple[tuple[bool, bool], ...] = ()
    """For each text: whether the grammar of guidance, and that of xgrammar, can write it."""
    elapsed_s: float = 0.0


class Job(TypedDict):
    """One line of the input."""

    schema: Any
    texts: NotRequired[Sequence[str]]
    """JSON texts to try on the grammars."""


def compile_schemas(jobs: Iterable[Job], *, python: str | Path, timeout_s: float = 600.0) -> list[Compiled]:
    """Return what the back-ends say of each schema.

    Args:
        jobs: The schemas, with the texts to try on each.
        python: The Python of an environment with vLLM.
        timeout_s: Of all together.
    """
    lines = "".join(json.dumps(job) + "\n" for job in jobs)
    command = [str(python), __file__]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=timeout_s, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if len(found) < lines.count("\n"):
        msg = f"the engine's Python ended with {done.returncode} after {len(found)} schemas: {done.stderr[-2000:]}"
        raise RuntimeError(msg)
    return [Compiled(**{**each, "accepts": tuple(tuple(pair) for pair in each["accepts"])}) for each in found]


def _main() -> None:
    backends = _Backends()
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(backends.compile(job["schema"], job.get("texts", ()))), flush=True)


class _Backends:
    """The back-ends as vLLM 0.32 calls them (sampling_params.py and v1/structured_output)."""

    def __init__(self) -> None:
        self._params: Any = importlib.import_module("vllm.sampling_params")
        self._guidance: Any = importlib.import_module("vllm.v1.structured_output.backend_guidance")
        self._xgrammar: Any = importlib.import_module("vllm.v1.structured_output.backend_xgrammar")
        self._types: Any = importlib.import_module("vllm.v1.structured_output.backend_types")
        self._llg: Any = importlib.import_module("llguidance")
        self._xgr: Any = importlib.import_module("xgrammar")
        self._tools: Any = importlib.import_module("mistral_common.protocol.instruct.tool_calls")
        factory: Any = importlib.import_module("mistral_common.guidance.grammar_factory")
        mistral: Any = importlib.import_module("mistral_common.tokens.tokenizers.mistral")
        self._factory: Any = factory.GrammarFactory(mistral.MistralTokenizer.from_file(str(POCKET)))
        self._bytes: Any = self._llg.LLTokenizer("byte")
        # One token a byte: what matters is whether a grammar compiles and what it accepts, not how fast.
        vocabulary = [bytes([number]) for number in range(256)] + [b"</s>"]
        info = self._xgr.TokenizerInfo(vocabulary, self._xgr.VocabType.RAW, stop_token_ids=[256])
        self._compiler: Any = self._xgr.GrammarCompiler(info, max_threads=1)

    def compile(self, schema: Any, texts: Iterable[str]) -> Mapping[str, Any]:
        began = time.monotonic()
        guidance, xgrammar = self._of_guidance(schema), self._of_xgrammar(schema)
        if xgrammar and not guidance and self._guidance.has_guidance_unsupported_json_features(schema):
            guidance = "vLLM: contains features not supported by guidance"  # asked only where it goes on to guidance
        elapsed_s = round(time.monotonic() - began, 3)
        accepts = list(self._accepts(schema, texts, guidance=not guidance, xgrammar=not xgrammar))
        return {"guidance": guidance, "xgrammar": xgrammar, "accepts": accepts, "elapsed_s": elapsed_s}

    def _of_guidance(self, schema: Any) -> str:
        try:
            tool = {"type": "function", "function": {"name": "call", "strict": True, "parameters": schema}}
            lark = self._factory.get_lark_from_jinja(
                template=self._factory.select_jinja_template(),
                mode=self._tools.ToolChoiceEnum.auto,
                tools=[self._tools.Tool.from_openai(tool)],
                json_schema=None,
                parallel_tool_calls=True,
            )
            params = self._params.StructuredOutputsParams(grammar=lark)
            sampling = self._params.SamplingParams(structured_outputs=params)
            self._guidance.validate_guidance_grammar(sampling, tokenizer=self._factory.llg_tokenizer)
            sampling = self._params.SamplingParams(structured_outputs=self._json(schema))
            self._guidance.validate_guidance_grammar(sampling)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the server would answer
            return f"{type(error).__name__}: {error}"[:500]
        return ""

    def _of_xgrammar(self, schema: Any) -> str:
        try:
            sampling = self._params.SamplingParams(structured_outputs=self._json(schema))
            self._xgrammar.validate_xgrammar_grammar(sampling)
            self._compiled(schema)
            # How parsers of other families send strict tools.
            content = {"type": "json_schema", "json_schema": schema}
            tag = {
                "type": "structural_tag",
                "format": {"type": "tag", "begin": "<t>", "content": content, "end": "</t>"},
            }
            self._xgr.Grammar.from_structural_tag(json.dumps(tag))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the server would answer
            return f"{type(error).__name__}: {error}"[:500]
        return ""

    def _json(self, schema: Any) -> Any:
        return self._params.StructuredOutputsParams(json=schema)

    def _compiled(self, schema: Any) -> Any:
        return self._compiler.compile_json_schema(json.dumps(schema), any_whitespace=True)

    def _accepts(
        self, schema: Any, texts: Iterable[str], *, guidance: bool, xgrammar: bool
    ) -> Iterator[tuple[bool, bool]]:
        for text in texts:
            yield guidance and self._guidance_accepts(schema, text), xgrammar and self._xgrammar_accepts(schema, text)

    def _guidance_accepts(self, schema: Any, text: str) -> bool:
        grammar = self._guidance.serialize_guidance_grammar(
            self._types.StructuredOutputOptions.JSON, json.dumps(schema)
        )
        matcher = self._llg.LLMatcher(self._bytes, grammar, log_level=0)
        tokens = list(text.encode())
        return bool(
            matcher.validate_tokens(tokens) == len(tokens) and matcher.consume_tokens(tokens) and matcher.is_accepting()
        )

    def _xgrammar_accepts(self, schema: Any, text: str) -> bool:
        matcher = self._xgr.GrammarMatcher(self._compiled(schema))
        return all(matcher.accept_token(token) for token in text.encode()) and matcher.accept_token(256)


if __name__ == "__main__":
    _main()
