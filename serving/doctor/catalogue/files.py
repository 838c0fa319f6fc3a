"""Know the symptoms of weights, tokenizers and settings that are not there or cannot be read; finds none."""

from ..symptoms import Symptom

_FETCH = (
    "Fetch the Mistral layout: hf download mistralai/Mistral-Medium-3.5-128B --include 'params.json' "
    "'consolidated*.safetensors' 'tekken.json' 'SYSTEM_PROMPT.txt'"
)

FILES: dict[str, Symptom] = {
    "no_params_json": Symptom(
        title=("The model has no params.json",),
        cause=("With `--config-format mistral` the shape of the model is read from params.json; {model} has none.",),
        fix=(
            f"{_FETCH}\nOr serve what is there: `--config-format hf --load-format auto`, tool calls are less well "
            "tested so.",
        ),
        weight="ends",
    ),
    "no_weights": Symptom(
        title=("There are no weights in the model's folder",),
        cause=("{model} holds no file of the layout that was asked for.",),
        fix=(_FETCH,),
        weight="ends",
    ),
    "weights_broken": Symptom(
        title=("A file of weights is damaged or not whole",),
        cause=(
            "Its beginning does not fit its length ({what}): a download that was cut, or the pointer of a repository "
            "cloned without git-lfs.",
        ),
        fix=("Look at the sizes (`ls -l`), remove the file that is too small, and fetch it again: `hf download`",),
        weight="ends",
    ),
    "json_broken": Symptom(
        title=("A settings file of the model is not valid JSON",),
        cause=("In {model}: {what}.", "Reading it ends with: {what}."),
        fix=("Fetch params.json or config.json, and tekken.json, again: `hf download`",),
        weight="ends",
        when_ready="tool_parsing",
    ),
    "config_unreadable": Symptom(
        title=("The model has no config.json that the engine understands",),
        cause=("It was read in the Hugging Face layout.",),
        fix=(
            "If the folder holds params.json and consolidated*.safetensors: `--config-format mistral --load-format "
            "mistral --tokenizer-mode mistral`",
        ),
        sglang_fix=("Fetch the Hugging Face layout, config.json with it, which SGLang reads the model's shape from.",),
        weight="ends",
    ),
    "tokenizer_missing": Symptom(
        title=("The model's tokenizer is missing",),
        cause=("{model} holds no tokenizer.", "The model's folder holds no tekken.json."),
        fix=("Fetch it: hf download mistralai/Mistral-Medium-3.5-128B tekken.json --local-dir FOLDER",),
        weight="ends",
    ),
    "transformers_old": Symptom(
        title=("transformers does not know the model type {type}",),
        cause=("The installed transformers is older than the model.",),
        fix=("In the engine's environment: pip install -U 'transformers>=5.4.0'",),
        weight="ends",
    ),
    "eagle_unknown": Symptom(
        title=("This vLLM does not know the EAGLE draft of this model",),
        cause=("Its class came with vLLM 0.21.0.",),
        fix=("In the engine's environment: pip install -U 'vllm>=0.21.0'; or leave `--speculative-config` out.",),
        weight="ends",
        hides=("architecture_unknown",),
    ),
    "architecture_unknown": Symptom(
        title=("This engine does not know the architecture {arch}",),
        cause=("The model is newer than the engine, or of a kind that it does not serve.",),
        fix=("Upgrade the engine: pip install -U vllm",),
        weight="ends",
    ),
    "remote_code": Symptom(
        title=("The model brings code of its own",),
        cause=("Its files ask to be executed, which nothing here ever allows.",),
        fix=("Take a model that the engine knows by itself; Mistral's need no such code.",),
        weight="ends",
    ),
    "model_name": Symptom(
        title=("The model is neither a folder here nor a name on the Hub",),
        cause=(
            "{model} does not exist, and has not the form owner/name.",
            "It does not exist, and has not the form owner/name.",
        ),
        fix=("Correct the path; in a container: is the folder mounted (`-v /models:/models`)?",),
        weight="ends",
    ),
    "model_not_found": Symptom(
        title=("The Hugging Face Hub has no such model, or hides it",),
        cause=("The name is wrong, or the repository is private and no token was given.",),
        fix=("Check the name; if it is right, set a token that may read it: `HF_TOKEN` in the environment.",),
        weight="ends",
    ),
    "gated": Symptom(
        title=("The Hugging Face Hub refuses to give the model's files",),
        cause=("The repository is gated, and there is no token, or its owner has not accepted the licence.",),
        fix=(
            "Accept the licence on the model's page, then set a token that may read it: `HF_TOKEN` in the environment.",
        ),
        weight="ends",
        hides=("model_not_found",),
    ),
    "not_cached": Symptom(
        title=("The model is not on this machine, and nothing may be fetched",),
        cause=("`HF_HUB_OFFLINE` is set, or the Hub cannot be reached, and the cache does not hold the model.",),
        fix=("Fetch it first (`hf download MODEL`), or unset `HF_HUB_OFFLINE`; a folder is served without the Hub.",),
        weight="ends",
    ),
    "no_network": Symptom(
        title=("A server on the network could not be reached",),
        cause=("A name was not resolved, or nothing answered.",),
        fix=("Check network and proxy (`HTTPS_PROXY`); or fetch the model elsewhere and serve its folder.",),
        weight="ends",
        again=False,
    ),
    "too_many_requests": Symptom(
        title=("The Hugging Face Hub was asked too often",),
        cause=("It answers 429 for a while; with a token it allows more.",),
        fix=("Set `HF_TOKEN` in the environment, and start again in some minutes.",),
        weight="ends",
        again=False,
    ),
    "download_broken": Symptom(
        title=("A download ended before its end",),
        cause=("What arrived is shorter than what was announced.",),
        fix=("Start again: `hf download` goes on where it ended. Is there disk enough? `df -h`",),
        weight="ends",
        again=False,
    ),
    "file_missing": Symptom(
        title=("A file is missing: {file}",),
        cause=("The engine looked for it and it is not there.",),
        fix=("Correct the flag that names it; in a container: is its folder mounted?",),
        weight="ends",
    ),
    "template_missing": Symptom(
        title=("The tokenizer has no chat template",),
        cause=("The model was read in the Hugging Face layout, and that layout holds no template.",),
        fix=("For a Mistral model: `--tokenizer-mode mistral`, which needs none.",),
        sglang_fix=("Give the model's own template with `--chat-template FILE`.",),
        weight="refuses",
    ),
    "template_error": Symptom(
        title=("The chat template failed",),
        cause=("It says: {what}",),
        fix=("For a Mistral model: `--tokenizer-mode mistral`, and no `--chat-template`.",),
        sglang_fix=("Leave `--chat-template` out, or give the model's own; then look at what the messages hold.",),
        weight="refuses",
        again=False,
    ),
}
