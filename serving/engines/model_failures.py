"""Log patterns of refusals of a model or a GPU that both engines raise in the same words; explains none of them.

Source: vLLM 0.5 to 0.33 (model_executor, config); SGLang took these modules over from vLLM. Read 2026-11.
"""

from .log_patterns import LogPattern, pattern

LOG_PATTERNS: tuple[LogPattern, ...] = (
    # "are not supported for now" in vLLM up to 0.10, and in SGLang.
    pattern("architecture_unknown", r"Model architectures? \['?(?P<arch>[^'\]]+)'?\] (?:are|is) not supported"),
    pattern(
        "architecture_unknown",
        r"\b(?P<arch>\w{1,100}) has no (?:vLLM|SGlang|SGLang) implementation and the Transformers",
    ),
    pattern("architecture_broken", r"Model architectures? \['?(?P<arch>[^'\]]+)'?\] failed to be inspected"),
    pattern(
        "quantization_unsupported",
        r"quantization (?:method|scheme) (?:(?P<method>\w+) )?is not supported for the current GPU\. "
        r"(?:Minimum|Required) capability: (?P<least>\d+)\. Current capability: (?P<have>\d+)",
    ),
    pattern(
        "quantization_mismatch",
        r"Quantization method specified in the model config \((?P<config>[\w-]+)\) does not match the quantization "
        r"method specified in the `quantization` argument \((?P<given>[\w-]+)\)",
    ),
    pattern("quantised_shape", r"is not aligned with the quantized weight shape"),
    pattern("quantised_shape", r"_size_per_partition = (?P<size>\d+) is not divisible by min_thread_\w+ = \d+"),
    pattern("quantised_shape", r"size_[nk] = (?P<size>\d+) is not divisible by \w+ = \d+"),
    pattern(
        "quantised_shape",
        r"The (?:output|input)_size of .+? weight = (?P<size>\d+) is not divisible by weight quantization block_[nk]",
    ),
    pattern(
        "bfloat16_unsupported",
        r"Bfloat16 is only supported on GPUs with compute capability of at least 8\.0\. Your (?P<gpu>.+?) GPU",
    ),
    # distributed/utils.py, ensure_divisibility.
    pattern("not_divisible", r"AssertionError: (?P<size>\d+) is not divisible by (?P<tp>\d+)$"),
    # A loader looks up each weight of the checkpoint in a dictionary of the model's parameters.
    pattern("weight_unknown", r"KeyError: '(?P<weight>(?:[\w-]+\.)*(?:layers|blocks|h|experts)\.\d+\.[\w.-]+)'"),
    pattern("weight_unknown", r"There is no module or parameter named '(?P<weight>[^']+)' in (?P<model>\w+)"),
    pattern("weight_shape", r"Attempted to load weight \((?P<have>[^)]*\)?)\) into parameter \((?P<want>[^)]*\)?)\)"),
    pattern(
        "weight_missing", r"(?:weights|parameters) were not initialized from (?:the )?checkpoint: (?P<weights>.{1,200})"
    ),
)
