"""Know the symptoms of a server that listens and yet answers badly or not at all; finds none."""

from ..symptoms import Symptom

SERVER: dict[str, Symptom] = {
    "version_pair": Symptom(
        title=("This vLLM and this mistral_common do not fit together",),
        cause=(
            "mistral_common 1.13 requires an argument that vLLM up to 0.33 does not pass: every chat request fails, "
            "though /health is green.",
        ),
        fix=("In the engine's environment: pip install 'mistral_common>=1.11.6,<1.13'",),
        weight="refuses",
    ),
    "auto_choice_off": Symptom(
        title=("The server does not take tools",),
        cause=("It was started without a tool-call parser.",),
        fix=("Start it with `--enable-auto-tool-choice --tool-call-parser mistral`.",),
        weight="refuses",
    ),
    "not_mistral_mode": Symptom(
        title=("A Mistral model is served without the Mistral tokenizer",),
        cause=("The tokenizer of the Hugging Face layout is used; tool calls then fail or arrive garbled.",),
        fix=("Start with `--tokenizer-mode mistral --config-format mistral --load-format mistral`.",),
        weight="refuses",
    ),
    "tool_parsing": Symptom(
        title=("A tool call in an answer could not be read",),
        cause=(
            "The parser did not recognise what the model wrote: the wrong parser or tokenizer mode, or cut output.",
        ),
        fix=(
            "Start with `--tokenizer-mode mistral --tool-call-parser mistral`, raise `max_tokens`, and if it was "
            "rare ask again; then check the server: agent doctor --url URL",
        ),
        sglang_fix=(
            "Start with `--tool-call-parser mistral`, raise `max_tokens`, and if it was rare ask again; then check the "
            "server: agent doctor --url URL",
        ),
        weight="refuses",
        again=False,
    ),
    "finish_missing": Symptom(
        title=("An answer came without a finish reason",),
        cause=("The stream ended early, or the engine left it out.",),
        fix=("Take the answer by what it holds: it has calls or it has not; ask again if it was cut.",),
        weight="refuses",
        again=False,
    ),
    "all_refused": Symptom(
        title=("Every chat request was refused ({status})",),
        cause=("None of {n} was answered, and the log does not say why: vLLM tells it only in the answer.",),
        fix=("Ask the server itself: agent doctor --url URL",),
        weight="refuses",
        again=False,
    ),
    "unauthorized": Symptom(
        title=("The server wants a key",),
        cause=("It was started with an API key, and the request carried none or another (HTTP {status}).",),
        fix=("Put the server's key into the environment: export AGENT_API_KEY=…",),
        weight="refuses",
        again=False,
    ),
    "no_endpoint": Symptom(
        title=("The server has no such address",),
        cause=("It answered {status}: the path is wrong, or this is another kind of server.",),
        fix=("The base URL of an OpenAI-compatible server ends in /v1: http://127.0.0.1:8000/v1",),
        weight="refuses",
        again=False,
    ),
    "overloaded": Symptom(
        title=("The server takes no more requests for now",),
        cause=("It answered {status}.",),
        fix=("Ask again after a pause, and send fewer at once.",),
        weight="refuses",
        again=False,
    ),
    "no_backend": Symptom(
        title=("A router or proxy got no answer from the engine",),
        cause=("It answered {status}: the engine behind it is down, starting, or slower than the proxy waits.",),
        fix=("See whether the engine runs (agent serve status), and raise the proxy's read timeout.",),
        weight="refuses",
        again=False,
    ),
    "not_ready": Symptom(
        title=("The server is not ready",),
        cause=("It answered {status}: it is starting, or its engine has ended.",),
        fix=("See how it is: agent serve status",),
        weight="refuses",
        again=False,
    ),
    "engine_dead": Symptom(
        title=("The engine behind the server has ended",),
        cause=("The server still answers, but only to say so; why stands in its log.",),
        fix=("Read why: agent doctor --log FILE. Then start it again.",),
        weight="ends",
        again=False,
    ),
    "slow_first_request": Symptom(
        title=("A request waited for a kernel to be compiled",),
        cause=("The first request of a new shape compiles {kernel}; those after it do not wait.",),
        fix=("Send a request of the usual length after each start, before users come.",),
        weight="harms",
        again=False,
    ),
    "sampling_overridden": Symptom(
        title=("The server's own sampling settings apply where a request sets none",),
        cause=("They come from the model's generation_config.json; two servers may so answer differently.",),
        fix=(
            "Send temperature and top_p with each request (0.0 for exact jobs; 0.7 and top_p 0.95 for reasoning high), "
            "or start with `--generation-config vllm`.",
        ),
        weight="notes",
    ),
    "kv_fp8": Symptom(
        title=("The KV cache is kept in FP8",),
        cause=("It takes half the memory; without scaling factors in the checkpoint answers may become less exact.",),
        fix=("If answers are worse than expected, compare with `--kv-cache-dtype auto`.",),
        weight="notes",
    ),
}
