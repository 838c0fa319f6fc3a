"""Know the flags and the environment of vLLM; start nothing."""

from dataclasses import dataclass, fields
from pathlib import Path

HEALTH = "/health"
CHAT = "/v1/chat/completions"


@dataclass(frozen=True, kw_only=True)
class VllmSettings:
    """The flags of `vllm serve`, each field spelt as its flag; None: the flag is not given, vLLM decides.

    The defaults of this record are those of a Mistral model with tools.
    Source: `vllm serve --help`, 0.32.0, 2026-11-23.
    """

    model: str
    """A folder, or a name on the Hugging Face Hub; stands on the command line without a flag."""
    host: str = "127.0.0.1"
    """vLLM alone would bind all interfaces."""
    port: int = 8000
    served_model_name: str | None = None
    """What requests call the model. None: as `model`."""
    tokenizer_mode: str | None = "mistral"
    config_format: str | None = "mistral"
    load_format: str | None = "mistral"
    tool_call_parser: str | None = "mistral"
    enable_auto_tool_choice: bool | None = True
    reasoning_parser: str | None = "mistral"
    max_model_len: int | None = None
    """Tokens of prompt and answer together."""
    max_num_seqs: int | None = None
    """Requests at once."""
    enforce_eager: bool | None = None
    enable_prefix_caching: bool | None = True
    enable_prompt_tokens_details: bool | None = True
    """Without it the usage of a reply does not say how many prompt tokens came from the cache."""

    def command(self, python: Path) -> tuple[str, ...]:
        """Build the arguments of the process.

        Args:
            python: an interpreter that has vLLM.
        """
        # By module and not by the `vllm` script, whose first line names the folder it was installed in.
        # -P: the folder we stand in may hold a file named like one of vLLM's imports.
        start = (str(python), "-P", "-m", "vllm.entrypoints.cli.main", "serve", self.model)
        named = [field.name for field in fields(self) if field.name != "model"]
        return (*start, *(word for name in named for word in _flag(name, getattr(self, name))))

    @property
    def base_url(self) -> str:
        """Name the root of the OpenAI-compatible endpoints."""
        return f"http://{self.host}:{self.port}/v1"


def environment(*, cache: Path, kv_cache_gib: int = 1) -> dict[str, str]:
    """List the variables to set for a vLLM on the CPU that serves a local folder.

    Args:
        cache: where vLLM keeps what it can make again.
        kv_cache_gib: memory for the KV cache, GiB.
    """
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(kv_cache_gib),
        "VLLM_CACHE_ROOT": str(cache / "vllm"),
        # Nothing is to be fetched and nothing told about the user.
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # Its own environment only: neither the user's site-packages, nor a module of the folder we stand in.
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _flag(name: str, value: object) -> tuple[str, ...]:
    words = name.replace("_", "-")
    if value is None:
        return ()
    if isinstance(value, bool):
        return (f"--{words}" if value else f"--no-{words}",)
    return (f"--{words}", str(value))
