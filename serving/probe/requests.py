"""Word the requests of the probe, small ones that any good model answers; sends nothing.

The prompts are of the kind that the pocket model has learned, so that one probe serves it and a model of 128B.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .records import ProbeRequest, ServerKind

WORD = "quixotic"
PATH = "out/word.txt"
ONLY_PATH = "probe/strict.txt"
"""The one path that the strict schema allows; the user asks for another."""
CHOICES = ("alpha", "beta")
"""Neither is the word that the user asks for."""
CUT_TOKENS = 12
"""Too few for the call that is asked for, in any vocabulary seen; enough to begin it."""

Json = Mapping[str, object]

_TEXT: Json = {"type": "string"}
_SAY = f"Say the word {WORD}."
_WRITE = f"Write the word {WORD} into the file {PATH}."
_READ_BOTH = "Read both out/one.txt and out/two.txt at once."
_CALL_TOKENS = 128
_TEXT_TOKENS = 256
_FILLER = " ".join(f"Line {number} is here only to fill the prompt." for number in range(1, 31))
"""Long enough for the largest block of a prefix cache seen: 128 tokens, of vLLM on the CPU."""


def _object(properties: Mapping[str, Json]) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _function(name: str, description: str, parameters: Json, *, strict: bool = False) -> Json:
    held: dict[str, object] = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": {**held, "strict": True} if strict else held}


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
_CALL_ID = "probe0001"  # exactly nine letters and digits: mistral_common below 1.12 takes no other


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Makes the requests for one server and one model."""

    base_url: str
    """Ends without a slash."""
    model: str
    extra: Json = field(default_factory=dict[str, object])
    """What every chat request carries besides, such as the effort."""

    @property
    def root(self) -> str:
        """The address of the routes beside /v1."""
        return self.base_url.removesuffix("/v1")

    def get(self, path: str, *, with_key: bool = True) -> ProbeRequest:
        """Ask a route beside /v1."""
        return ProbeRequest(method="GET", url=self.root + path, with_key=with_key)

    def version(self, kind: ServerKind) -> ProbeRequest:
        """Ask for the version of a server of this kind."""
        return self.get("/get_server_info" if kind == "sglang" else "/version")

    def models(self, *, with_key: bool = True) -> ProbeRequest:
        """Ask what is served."""
        return ProbeRequest(method="GET", url=f"{self.base_url}/models", with_key=with_key)

    def say(self, **more: object) -> ProbeRequest:
        """Ask for one word."""
        return self._chat(_SAY, _TEXT_TOKENS, more)

    def write(self, *, choice: str = "auto", strict: bool = False, stream: bool = False) -> ProbeRequest:
        """Ask for something that needs a call of write_file; strict: by a schema that forbids the path asked for."""
        more = {"tools": [STRICT if strict else WRITE], "tool_choice": choice, **(STREAMED if stream else {})}
        return self._chat(_WRITE, _CALL_TOKENS, more)

    def cut_call(self, *, stream: bool = False) -> ProbeRequest:
        """Ask for a call, and leave no room for the whole of it."""
        more = {"tools": [WRITE], "tool_choice": "auto", **(STREAMED if stream else {})}
        return self._chat(_WRITE, CUT_TOKENS, more)

    def unneeded_call(self) -> ProbeRequest:
        """Require a call where the model would not make one by itself."""
        return self._chat(_SAY, _CALL_TOKENS, {"tools": [STRICT], "tool_choice": "required"})

    def unfitting_call(self) -> ProbeRequest:
        """Name another tool than the one that the model would call by itself."""
        choice = {"type": "function", "function": {"name": "read_file"}}
        return self._chat(_WRITE, _CALL_TOKENS, {"tools": [WRITE, READ], "tool_choice": choice})

    def two_calls(self) -> ProbeRequest:
        """Ask for two calls in one reply."""
        return self._chat(_READ_BOTH, _CALL_TOKENS, {"tools": [READ], "tool_choice": "auto"})

    def after_result(self, **assistant: object) -> ProbeRequest:
        """Show a call and its result, and let the model go on.

        Args:
            assistant: further fields of the message that holds the call.
        """
        arguments = json.dumps({"path": PATH, "content": WORD})
        call = {"id": _CALL_ID, "type": "function", "function": {"name": "write_file", "arguments": arguments}}
        messages: list[Json] = [
            {"role": "user", "content": _WRITE},
            {"role": "assistant", "content": "", "tool_calls": [call], **assistant},
            {"role": "tool", "tool_call_id": _CALL_ID, "content": f"Wrote {PATH}."},
        ]
        return self._post(messages, _CALL_TOKENS, {"tools": [WRITE], "tool_choice": "auto"})

    def long_prompt(self) -> ProbeRequest:
        """Send a prompt that is worth caching, for one token of reply."""
        messages: list[Json] = [{"role": "system", "content": _FILLER}, {"role": "user", "content": _SAY}]
        return self._post(messages, 1, {})

    def tokenize(self, effort: str | None = None) -> ProbeRequest:
        """Count the prompt of `say`, as rendered with an effort; None: as it is by default."""
        body: dict[str, object] = {"model": self.model, "messages": [{"role": "user", "content": _SAY}]}
        if effort is not None:
            # vLLM ignores `reasoning_effort` here, and takes it in this way (0.32).
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
"""Asks for server-sent events, and for the usage at their end."""
JSON_FORMAT: Json = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": ANSWER_SCHEMA, "strict": True},
    }
}
JSON_OUTPUTS: Json = {"structured_outputs": {"json": ANSWER_SCHEMA}}
"""vLLM's own field for the same."""
CHOICE: Json = {"structured_outputs": {"choice": list(CHOICES)}}
