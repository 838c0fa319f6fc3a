"""Flags and variables common to both engines; each flag here has the same name in vLLM and SGLang."""

from pathlib import Path

from ..capacity.sizing import PlanRequest
from ..errors import EngineError
from .command import Feature, Flag, ServeOptions, Variable, is_loopback

VARIABLES = (
    Variable(name="DO_NOT_TRACK", value="1", reason="no usage data is sent to the libraries' authors"),
    Variable(name="PYTHONSAFEPATH", value="1", reason="no module is imported from the current folder"),
    Variable(name="PYTHONUNBUFFERED", value="1", reason="log lines are written immediately"),
)
"""Variables set for every engine."""


def refuse_open_host(options: ServeOptions) -> None:
    """Refuse a server that other machines can reach without a key.

    Raises:
        EngineError: the host is not a loopback address, and no key file is set.
    """
    if options.api_key_file is None and not is_loopback(options.host):
        raise EngineError(
            f"Cannot serve on {options.host!r} without a key: anyone who can reach this machine could use the model.",
            cause="",
            do="Write a key to a file that only you can read, and pass it: --api-key-file FILE. Or omit --host: then "
            "only this machine can reach the server.",
        )


def address_flags(options: ServeOptions) -> tuple[Flag, ...]:
    """Return the flags for the server's address and its model name."""
    clients = "only this machine" if is_loopback(options.host) else "anyone who reaches this address"
    flags = [
        Flag(words=("--host", options.host), reason=f"{clients} can use the server"),
        Flag(words=("--port", str(options.port)), reason="the port to listen on"),
    ]
    if options.served_model_name is not None:
        flags.append(
            Flag(words=("--served-model-name", options.served_model_name), reason="the model name in requests")
        )
    return tuple(flags)


def tensor_parallel_flag(request: PlanRequest) -> Flag:
    """Return the flag for the number of GPUs that the model is split over."""
    size = request.tensor_parallel_size
    reason = "the whole model on one GPU" if size == 1 else f"the model split over {size} GPUs"
    return Flag(words=("--tensor-parallel-size", str(size)), reason=reason)


def weight_flags(request: PlanRequest) -> tuple[Flag, ...]:
    """Return the flag for weights in another format than the published one.

    Raises:
        EngineError: no engine can convert to that format.
    """
    published = next(iter(request.model.weights))
    if request.weights == published:
        return ()
    if request.weights == "bf16":
        raise EngineError(
            f"{request.model.title} cannot be served in BF16: it is published in {published.upper()} only.",
            cause="",
            do=f"Omit --weights, or pass --weights {published}.",
        )
    return (Flag(words=("--quantization", "fp8"), reason="the BF16 weights are converted to FP8 on loading"),)


def parser_flags(model: str) -> tuple[Flag, ...]:
    """Return the flags for Mistral's parsers; none for a folder without Mistral's tokenizer."""
    if not model_has(model, "tekken.json"):
        return ()
    return (
        Flag(words=("--tool-call-parser", "mistral"), reason="parses calls in this model's format"),
        Flag(words=("--reasoning-parser", "mistral"), reason="separates the reasoning from the answer"),
    )


def features(model: str, *, drafts: bool) -> frozenset[Feature]:
    """Return the features that a command uses and not every engine version has."""
    uses: dict[Feature, bool] = {"mistral_parser": bool(parser_flags(model)), "draft": drafts}
    return frozenset(feature for feature, used in uses.items() if used)


def model_has(model: str, file: str) -> bool:
    """Return whether a model includes a file; True for a name on the Hub, since those planned here are Mistral's."""
    folder = Path(model)
    return not folder.is_dir() or (folder / file).is_file()
