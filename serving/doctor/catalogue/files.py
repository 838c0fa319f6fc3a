"""Catalogue of symptoms of missing or unreadable weights, tokenizers and model configuration; data only."""

from ..symptoms import Symptom

_DOWNLOAD = (
    "Download the Mistral layout: hf download mistralai/Mistral-Medium-3.5-128B --include 'params.json' "
    "'consolidated*.safetensors' 'tekken.json' 'SYSTEM_PROMPT.txt'"
)

FILES: dict[str, Symptom] = {
    "no_params_json": Symptom(
        title=("The model has no params.json",),
        cause=(
            "With `--config-format mistral` the engine reads the model's configuration from params.json; {model} has "
            "none.",
        ),
        fix=(
            f"{_DOWNLOAD}\nOr serve the files that are there with `--config-format hf --load-format auto`; tool calls "
            "are less well tested in that layout.",
        ),
        severity="stops",
    ),
    "no_weights": Symptom(
        title=("The model's folder contains no weights",),
        cause=("{model} contains no file of the requested layout.",),
        fix=(_DOWNLOAD,),
        severity="stops",
    ),
    "weights_broken": Symptom(
        title=("A weights file is damaged or incomplete",),
        cause=(
            "The file's header does not match its length ({what}): an interrupted download, or a pointer file of a "
            "repository cloned without git-lfs.",
        ),
        fix=(
            "Check the file sizes (`ls -l`), delete the file that is too small, and download it again: `hf download`",
        ),
        severity="stops",
    ),
    "json_broken": Symptom(
        title=("A configuration file of the model is not valid JSON",),
        cause=("In {model}: {what}.", "The parser reports: {what}."),
        fix=("Download params.json or config.json, and tekken.json, again: `hf download`",),
        severity="stops",
        when_ready="tool_parsing",
    ),
    "config_unreadable": Symptom(
        title=("The model has no config.json that the engine understands",),
        cause=("The engine read the model in the Hugging Face layout.",),
        fix=(
            "If the folder contains params.json and consolidated*.safetensors: `--config-format mistral --load-format "
            "mistral --tokenizer-mode mistral`",
        ),
        sglang_fix=(
            "Download the Hugging Face layout, including config.json: SGLang reads the model's configuration from it.",
        ),
        severity="stops",
    ),
    "tokenizer_missing": Symptom(
        title=("The model's tokenizer is missing",),
        cause=("{model} contains no tokenizer.", "The model's folder contains no tekken.json."),
        fix=("Download it: hf download mistralai/Mistral-Medium-3.5-128B tekken.json --local-dir FOLDER",),
        severity="stops",
    ),
    "transformers_old": Symptom(
        title=("transformers does not support the model type {type}",),
        cause=("The installed transformers is older than the model.",),
        fix=("In the engine's environment: pip install -U 'transformers>=5.4.0'",),
        severity="stops",
    ),
    "eagle_unknown": Symptom(
        title=("This vLLM does not support this model's EAGLE draft",),
        cause=("vLLM 0.21.0 added the draft's class.",),
        fix=("In the engine's environment: pip install -U 'vllm>=0.21.0'; or omit `--speculative-config`.",),
        severity="stops",
        hides=("architecture_unknown",),
    ),
    "architecture_unknown": Symptom(
        title=("This engine does not support the architecture {arch}",),
        cause=("The model is newer than the engine, or of a kind that the engine does not serve.",),
        fix=("Upgrade the engine: pip install -U vllm",),
        severity="stops",
    ),
    "architecture_broken": Symptom(
        title=("The engine cannot load its code for the architecture {arch}",),
        cause=("Importing it failed; the error is further up in the log. Often a package does not fit the engine.",),
        fix=("Install the engine into a fresh environment, so that it gets the releases it requires.",),
        severity="follows",
    ),
    "weight_unknown": Symptom(
        title=("The checkpoint contains a weight that this engine does not know: {weight}",),
        cause=(
            "The weights were written for another implementation of the model, or quantized in a way that this engine "
            "does not support.",
        ),
        fix=(
            "If the checkpoint is quantized, name its method: `--quantization awq` (or gptq, or what "
            "`quantization_config` in its config.json says). Otherwise upgrade the engine (pip install -U vllm), or "
            "serve a checkpoint in a format that its documentation lists for this model.",
        ),
        sglang_fix=(
            "If the checkpoint is quantized, name its method: `--quantization awq` (or gptq, or what "
            "`quantization_config` in its config.json says). Otherwise upgrade the engine (pip install -U sglang), or "
            "serve a checkpoint in a format that its documentation lists for this model.",
        ),
        severity="stops",
    ),
    "weight_missing": Symptom(
        title=("The checkpoint lacks weights that the model needs",),
        cause=("Missing are: {weights}",),
        fix=("Download the checkpoint again (`hf download`), or upgrade the engine if the model is newer than it.",),
        severity="stops",
    ),
    "weight_shape": Symptom(
        title=("A weight of the checkpoint has the wrong shape",),
        cause=(
            "It has the shape {have}, and the model expects {want}: config.json and weights do not belong together.",
        ),
        fix=("Download the whole checkpoint again into an empty folder: `hf download`",),
        severity="stops",
    ),
    "remote_code": Symptom(
        title=("The model requires custom code",),
        cause=("The engine would have to execute code from the model's files, which is never allowed here.",),
        fix=("Use a model that the engine supports itself; Mistral's models need no custom code.",),
        severity="stops",
    ),
    "model_name": Symptom(
        title=("The model is neither a local folder nor a name on the Hub",),
        cause=(
            "{model} does not exist and does not have the form owner/name.",
            "It does not exist and does not have the form owner/name.",
        ),
        fix=("Correct the path; in a container, check that the folder is mounted (`-v /models:/models`).",),
        severity="stops",
    ),
    "model_not_found": Symptom(
        title=("The Hugging Face Hub did not find the model",),
        cause=("The name is wrong, or the repository is private and no token was given.",),
        fix=("Check the name; if it is right, set a token with read access: `HF_TOKEN` in the environment.",),
        severity="stops",
    ),
    "gated": Symptom(
        title=("The Hugging Face Hub denies access to the model's files",),
        cause=("The repository is gated, and there is no token, or its owner has not accepted the licence.",),
        fix=(
            "Accept the licence on the model's page, then set a token with read access: `HF_TOKEN` in the environment.",
        ),
        severity="stops",
        hides=("model_not_found",),
    ),
    "not_cached": Symptom(
        title=("The model is not on this machine and cannot be downloaded",),
        cause=("`HF_HUB_OFFLINE` is set or the Hub cannot be reached, and the cache does not contain the model.",),
        fix=(
            "Download it first (`hf download MODEL`), or unset `HF_HUB_OFFLINE`; a local folder is served without the "
            "Hub.",
        ),
        severity="stops",
    ),
    "hub_failed": Symptom(
        title=("The Hugging Face Hub or its storage failed",),
        cause=("It answered: {what}", "Its storage answered: {cas}"),
        fix=(
            "Start again: `hf download` resumes where it stopped. If it comes back, set `HF_HUB_DISABLE_XET=1` in the "
            "environment, or download the model elsewhere and serve its folder.",
        ),
        severity="stops",
        recurs=False,
    ),
    "no_network": Symptom(
        title=("A server on the network could not be reached",),
        cause=("A host name did not resolve, or nothing answered.",),
        fix=("Check the network and proxy (`HTTPS_PROXY`); or download the model elsewhere and serve its folder.",),
        severity="stops",
        recurs=False,
    ),
    "too_many_requests": Symptom(
        title=("The Hugging Face Hub refuses further requests for now",),
        cause=("It answers 429 for a while; with a token the limit is higher.",),
        fix=("Set `HF_TOKEN` in the environment, and start again in a few minutes.",),
        severity="stops",
        recurs=False,
    ),
    "download_broken": Symptom(
        title=("A download was cut short",),
        cause=("Fewer bytes arrived than were announced.",),
        fix=("Start again: `hf download` resumes where it stopped. Check the free disk space: `df -h`",),
        severity="stops",
        recurs=False,
    ),
    "file_missing": Symptom(
        title=("A file is missing: {file}",),
        cause=("The engine tried to open it, but it does not exist.",),
        fix=("Correct the flag that names it; in a container, check that its folder is mounted.",),
        severity="stops",
    ),
    "template_missing": Symptom(
        title=("The tokenizer has no chat template",),
        cause=("The model was read in the Hugging Face layout, which contains no template.",),
        fix=("For a Mistral model: `--tokenizer-mode mistral`, which needs no template.",),
        sglang_fix=("Pass the model's own template with `--chat-template FILE`.",),
        severity="refuses",
    ),
    "template_error": Symptom(
        title=("The chat template failed",),
        cause=("It reports: {what}",),
        fix=("For a Mistral model: `--tokenizer-mode mistral`, and no `--chat-template`.",),
        sglang_fix=("Omit `--chat-template`, or pass the model's own; then check the contents of the messages.",),
        severity="refuses",
        recurs=False,
    ),
}
