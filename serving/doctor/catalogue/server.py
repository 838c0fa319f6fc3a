"""Catalogue of symptoms of a server that listens but answers badly or not at all; data only."""

from ..symptoms import Symptom

SERVER: dict[str, Symptom] = {
    "version_pair": Symptom(
        title=("This vLLM and this mistral_common are incompatible",),
        cause=(
            "mistral_common 1.13 requires an argument that vLLM up to 0.33 does not pass: every chat request fails, "
            "although /health reports success.",
        ),
        fix=("In the engine's environment: pip install 'mistral_common>=1.11.6,<1.13'",),
        severity="refuses",
    ),
    "auto_choice_off": Symptom(
        title=("The server does not accept tools",),
        cause=("It was started without a tool-call parser.",),
        fix=("Start it with `--enable-auto-tool-choice --tool-call-parser mistral`.",),
        severity="refuses",
    ),
    "not_mistral_mode": Symptom(
        title=("A Mistral model is served without the Mistral tokenizer",),
        cause=("The server uses the tokenizer of the Hugging Face layout; tool calls then fail or arrive garbled.",),
        fix=("Start with `--tokenizer-mode mistral --config-format mistral --load-format mistral`.",),
        severity="refuses",
    ),
    "tool_parsing": Symptom(
        title=("A tool call in an answer could not be parsed",),
        cause=(
            "The parser did not recognise the model's output: the wrong parser or tokenizer mode, or truncated output.",
        ),
        fix=(
            "Start with `--tokenizer-mode mistral --tool-call-parser mistral`, raise `max_tokens`, and retry if it was "
            "rare; then check the server: agent doctor --url URL",
        ),
        sglang_fix=(
            "Start with `--tool-call-parser mistral`, raise `max_tokens`, and retry if it was rare; then check the "
            "server: agent doctor --url URL",
        ),
        severity="refuses",
        recurs=False,
    ),
    "finish_missing": Symptom(
        title=("An answer came without a finish reason",),
        cause=("The stream ended early, or the engine omitted the reason.",),
        fix=("Check the answer's contents for calls instead; retry if it was truncated.",),
        severity="refuses",
        recurs=False,
    ),
    "all_refused": Symptom(
        title=("Every chat request was refused ({status})",),
        cause=(
            "None of {n} requests succeeded, and the log does not say why: vLLM gives the reason only in the response.",
        ),
        fix=("Start the server, if it no longer runs, and probe it: agent doctor --url URL",),
        severity="refuses",
        recurs=False,
    ),
    "unauthorized": Symptom(
        title=("The server requires an API key",),
        cause=("It was started with an API key, but the request had none or another one (HTTP {status}).",),
        fix=("Set the server's key in the environment: export AGENT_API_KEY=…",),
        severity="refuses",
        recurs=False,
    ),
    "no_endpoint": Symptom(
        title=("The server has no such endpoint",),
        cause=("It answered {status}: the path is wrong, or this is another kind of server.",),
        fix=("The base URL of an OpenAI-compatible server ends in /v1: http://127.0.0.1:8000/v1",),
        severity="refuses",
        recurs=False,
    ),
    "overloaded": Symptom(
        title=("The server accepts no more requests for now",),
        cause=("It answered {status}.",),
        fix=("Retry after a pause, and send fewer requests at once.",),
        severity="refuses",
        recurs=False,
    ),
    "no_backend": Symptom(
        title=("A router or proxy got no answer from the engine",),
        cause=("It answered {status}: the engine behind it is down, starting, or slower than the proxy waits.",),
        fix=("Check whether the engine runs (agent serve status), and raise the proxy's read timeout.",),
        severity="refuses",
        recurs=False,
    ),
    "not_ready": Symptom(
        title=("The server is not ready",),
        cause=("It answered {status}: it is starting, or its engine has ended.",),
        fix=("Check its state: agent serve status",),
        severity="refuses",
        recurs=False,
    ),
    "engine_dead": Symptom(
        title=("The engine behind the server has ended",),
        cause=("The server still answers, but only with this error; the reason is in its log.",),
        fix=("Find the reason: agent doctor --log FILE. Then start it again.",),
        severity="stops",
        recurs=False,
    ),
    "slow_first_request": Symptom(
        title=("A request waited for a kernel to compile",),
        cause=("The first request of a new shape compiles {kernel}; later ones do not wait.",),
        fix=("After each start, send a request of the usual length before users arrive.",),
        severity="degrades",
        recurs=False,
    ),
    "sampling_overridden": Symptom(
        title=("The server applies its own sampling settings if a request sets none",),
        cause=("They come from the model's generation_config.json, so two servers may answer differently.",),
        fix=(
            "Send temperature and top_p with each request (temperature 0.0 for exact tasks; 0.7 and top_p 0.95 for "
            "reasoning effort high), or start with `--generation-config vllm`.",
        ),
        severity="note",
    ),
    "kv_fp8": Symptom(
        title=("The KV cache is stored in FP8",),
        cause=(
            "It takes half the memory; without scaling factors in the checkpoint, answers may become less accurate.",
        ),
        fix=("If answers are worse than expected, compare with `--kv-cache-dtype auto`.",),
        severity="note",
    ),
}
