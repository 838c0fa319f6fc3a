"""Build the probe's requests, small ones that any good model can answer; sends nothing.

The prompts are of a kind that the pocket model was trained on, so the same probe works for it and for a 128B model.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .records import ProbeRequest, ServerKind

WORD = "quixotic"
PATH = "out/word.txt"
ONLY_PATH = "probe/strict.txt"
"""The only path that the strict schema allows; the prompt asks for another one."""
CHOICES = ("alpha", "beta")
"""Neither is the word that the prompt asks for."""
CUT_TOKENS = 12
"""Too few tokens for the requested call with any tokenizer seen so far, but enough to begin it."""

Json = Mapping[str, object]

_TEXT: Json = {"type": "string"}
_SAY = f"Say the word {WORD}."
_WRITE = f"Write the word {WORD} into the file {PATH}."
_READ_BOTH = "Read both out/one.txt and out/two.txt at once."
_FILLER = " ".join(f"Line {number} is here only to fill the prompt." for number in range(1, 31))
"""Longer than the largest prefix cache block seen so far: 128 tokens, in vLLM on the CPU."""


def _object(properties: Mapping[str, Json]) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _function(name: str, description: str, parameters: Json, *, strict: bool = False) -> Json:
    function: dict[str, object] = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": {**function, "strict": True} if strict else function}


_WRITE_FILE = "Write a whole text file; replaces what was there."
WRITE = _function("write_file", _WRITE_FILE, _object({"path": _TEXT, "content": _TEXT}))
READ = _function("read_file", "Read a text file.", _object({"path": _TEXT}))
STRICT = _function(
    "write_file",
    _WRITE_FILE,
    _object({"path": {"type": "string", "enum": [ONLY_PATH]}, "content": _TEXT}),
    strict=True,
)
ANSWER_SCHEMA = _object({"content": _TEXT})
_CALL_ID = "probe0001"  # mistral_common below 1.12 accepts only exactly nine letters and digits


@dataclass(frozen=True, kw_only=True)
class RequestBuilder:
    """Builds the requests for one server and one model."""

    base_url: str
    """Without a trailing slash."""
    model: str
    extra: Json = field(default_factory=dict[str, object])
    """Fields added to every chat request, such as the effort."""
    reasoning_tokens: int = 256
    """`max_tokens` of a reply that may reason before its answer; `Pace` lowers these three for a slow server."""
    call_tokens: int = 128
    """Of a reply that should be a call."""
    brief_tokens: int = 128
    """Of a reply of a few words."""

    @property
    def root(self) -> str:
        """The base of the routes outside /v1."""
        return self.base_url.removesuffix("/v1")

    def get(self, path: str, *, with_key: bool = True) -> ProbeRequest:
        """Build a GET request to a route outside /v1."""
        return ProbeRequest(method="GET", url=self.root + path, with_key=with_key)

    def version(self, kind: ServerKind) -> ProbeRequest:
        """Build the request for the version of a server of this kind."""
        return self.get("/get_server_info" if kind == "sglang" else "/version")

    def models(self, *, with_key: bool = True) -> ProbeRequest:
        """Build the request for the list of models."""
        return ProbeRequest(method="GET", url=f"{self.base_url}/models", with_key=with_key)

    def one_word(self, max_tokens: int | None = None, /, **more: object) -> ProbeRequest:
        """Build a request for a reply of one word; None means `brief_tokens`."""
        return self._chat(_SAY, self.brief_tokens if max_tokens is None else max_tokens, more)

    def without_tools(self) -> ProbeRequest:
        """Build the request of `write_file` without its tool, for a reply of one token."""
        return self._chat(_WRITE, 1, {})

    def write_file(self, *, choice: str = "auto", strict: bool = False, stream: bool = False) -> ProbeRequest:
        """Build a request that needs a write_file call; with `strict`, the schema forbids the requested path."""
        more = {"tools": [STRICT if strict else WRITE], "tool_choice": choice, **(STREAMED if stream else {})}
        return self._chat(_WRITE, self.call_tokens, more)

    def truncated_call(self, *, stream: bool = False) -> ProbeRequest:
        """Build a request for a call with too few tokens to complete it."""
        more = {"tools": [WRITE], "tool_choice": "auto", **(STREAMED if stream else {})}
        return self._chat(_WRITE, CUT_TOKENS, more)

    def unneeded_call(self) -> ProbeRequest:
        """Build a request that requires a call although the prompt needs none."""
        return self._chat(_SAY, self.call_tokens, {"tools": [STRICT], "tool_choice": "required"})

    def other_tool_call(self) -> ProbeRequest:
        """Build a request that names a tool other than the one the prompt needs."""
        choice = {"type": "function", "function": {"name": "read_file"}}
        return self._chat(_WRITE, self.call_tokens, {"tools": [WRITE, READ], "tool_choice": choice})

    def two_calls(self) -> ProbeRequest:
        """Build a request for two calls in one reply."""
        return self._chat(_READ_BOTH, self.call_tokens, {"tools": [READ], "tool_choice": "auto"})

    def after_tool_result(self, **assistant: object) -> ProbeRequest:
        """Build a request that continues after a call and its result.

        Args:
            assistant: additional fields of the message with the call.
        """
        arguments = json.dumps({"path": PATH, "content": WORD})
        call = {"id": _CALL_ID, "type": "function", "function": {"name": "write_file", "arguments": arguments}}
        messages: list[Json] = [
            {"role": "user", "content": _WRITE},
            {"role": "assistant", "content": "", "tool_calls": [call], **assistant},
            {"role": "tool", "tool_call_id": _CALL_ID, "content": f"Wrote {PATH}."},
        ]
        return self._post(messages, self.brief_tokens, {"tools": [WRITE], "tool_choice": "auto"})

    def long_prompt(self) -> ProbeRequest:
        """Build a request with a prompt long enough to be cached and a reply of one token."""
        messages: list[Json] = [{"role": "system", "content": _FILLER}, {"role": "user", "content": _SAY}]
        return self._post(messages, 1, {})

    def tokenize(self, effort: str | None = None) -> ProbeRequest:
        """Build a request to tokenize the prompt of `one_word` with an effort; None means the default effort."""
        body: dict[str, object] = {"model": self.model, "messages": [{"role": "user", "content": _SAY}]}
        if effort is not None:
            # vLLM 0.32 ignores `reasoning_effort` here and accepts it only in this form.
            body["chat_template_kwargs"] = {"reasoning_effort": effort}
        return ProbeRequest(method="POST", url=f"{self.root}/tokenize", body=json.dumps(body))

    def _chat(self, prompt: str, max_tokens: int, more: Json) -> ProbeRequest:
        return self._post([{"role": "user", "content": prompt}], max_tokens, more)

    def _post(self, messages: Sequence[Json], max_tokens: int, more: Json) -> ProbeRequest:
        body = {
            "model": self.model,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": 0,
            **self.extra,
            **more,
        }
        return ProbeRequest(
            method="POST",
            url=f"{self.base_url}/chat/completions",
            body=json.dumps(body),
            stream=bool(more.get("stream")),
        )


STREAMED: Json = {"stream": True, "stream_options": {"include_usage": True}}
"""Requests server-sent events, with the usage at the end."""
JSON_FORMAT: Json = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": ANSWER_SCHEMA, "strict": True},
    }
}
JSON_OUTPUTS: Json = {"structured_outputs": {"json": ANSWER_SCHEMA}}
"""vLLM's own field for the same purpose."""
CHOICE: Json = {"structured_outputs": {"choice": list(CHOICES)}}
