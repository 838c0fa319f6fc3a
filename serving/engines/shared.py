"""What the commands of both engines have in common; each flag here is spelt alike in vLLM and in SGLang."""

from pathlib import Path

from ..capacity.sizing import PlanRequest
from ..errors import EngineError
from .command import Feature, Flag, ServeOptions, Variable, is_loopback

VARIABLES = (
    Variable(name="DO_NOT_TRACK", value="1", reason="nothing of you is reported to the makers of the libraries"),
    Variable(name="PYTHONSAFEPATH", value="1", reason="no module is taken from the current folder"),
    Variable(name="PYTHONUNBUFFERED", value="1", reason="the log is written as it is said"),
)
"""What every engine's process is given."""


def refuse_open_host(options: ServeOptions) -> None:
    """Let no server be reached from elsewhere without a key.

    Raises:
        EngineError: the host is not of the loopback range, and no key file is named.
    """
    if options.api_key_file is None and not is_loopback(options.host):
        raise EngineError(
            f"Cannot serve on {options.host!r} without a key: whoever reaches this machine could use the model.",
            cause="",
            do="Put a key into a file that only you can read and name it: --api-key-file FILE. Or leave --host away: "
            "then only this machine reaches the server.",
        )


def address_flags(options: ServeOptions) -> tuple[Flag, ...]:
    """Say where the server is reached, under which name, and where its files are."""
    reach = "only this machine" if is_loopback(options.host) else "whoever reaches this address"
    flags = [
        Flag(words=("--host", options.host), reason=f"{reach} can ask the server"),
        Flag(words=("--port", str(options.port)), reason="where it listens"),
    ]
    if options.served_model_name is not None:
        flags.append(Flag(words=("--served-model-name", options.served_model_name), reason="what requests call it"))
    return tuple(flags)


def split_flag(request: PlanRequest) -> Flag:
    """Say on how many GPUs the model is split."""
    size = request.tensor_parallel_size
    reason = "the whole model on one GPU" if size == 1 else f"the model split over {size} GPUs"
    return Flag(words=("--tensor-parallel-size", str(size)), reason=reason)


def weight_flags(request: PlanRequest) -> tuple[Flag, ...]:
    """Ask for another format of the weights than the one that is published.

    Raises:
        EngineError: no engine can make it.
    """
    published = next(iter(request.model.weights))
    if request.weights == published:
        return ()
    if request.weights == "bf16":
        raise EngineError(
            f"{request.model.title} cannot be served in BF16: it is published in {published.upper()} only.",
            cause="",
            do=f"Leave --weights away, or give --weights {published}.",
        )
    return (Flag(words=("--quantization", "fp8"), reason="the BF16 weights are made FP8 while they are loaded"),)


def parser_flags(model: str) -> tuple[Flag, ...]:
    """Name the parsers of Mistral's models; a folder without their tokenizer is another family's."""
    if not holds(model, "tekken.json"):
        return ()
    return (
        Flag(words=("--tool-call-parser", "mistral"), reason="reads calls as this model writes them"),
        Flag(words=("--reasoning-parser", "mistral"), reason="splits the reasoning from the answer"),
    )


def features(model: str, *, drafts: bool) -> frozenset[Feature]:
    """Name what of the engine a command uses that not every version has."""
    uses: dict[Feature, bool] = {"mistral_parser": bool(parser_flags(model)), "draft": drafts}
    return frozenset(feature for feature, used in uses.items() if used)


def holds(model: str, name: str) -> bool:
    """Tell whether a model's files include one; of a name on the Hub it is taken for granted, ours are Mistral's."""
    folder = Path(model)
    return not folder.is_dir() or (folder / name).is_file()
