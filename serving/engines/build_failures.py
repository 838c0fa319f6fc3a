"""Log patterns of kernels that could not be built at a start: compilers, linkers, ninja; explains none of them.

Source: the tools' own messages as quoted in public issues of vLLM, FlashInfer, SGLang and Triton; CUDA 12.0 to 13.0,
GCC 11 to 14, FlashInfer 0.2 to 0.6. Read 2026-11.
"""

import re

from .log_patterns import LogPattern, pattern

LOG_PATTERNS: tuple[LogPattern, ...] = (
    pattern("build_killed", r"(?P<who>cicc|ptxas|cudafe\+\+|cc1plus)'? died due to signal 9"),
    pattern("build_killed", r"Killed signal terminated program (?P<who>\w+)"),
    pattern("ptxas_old", r"(?P<what>ptxas (?:fatal|error)\b.*)"),
    pattern(
        "nvcc_old",
        r"(?P<what>nvcc fatal\s*: +(?:Unknown option|Unsupported gpu architecture|Value '.*' is not defined).*)",
    ),
    pattern("nvcc_old", r"(?P<what>No supported CUDA architectures found for major versions.*)"),
    pattern("host_compiler", r"(?P<what>unsupported GNU version! gcc versions later than \d+ are not supported)"),
    pattern("no_python_headers", r"fatal error: Python\.h: No such file"),
    pattern("header_missing", r"fatal error: '?(?P<file>[\w./+-]+)'?: No such file"),
    pattern("header_missing", r"fatal error: '(?P<file>[\w./+-]+)' file not found"),
    pattern("library_not_linked", r"\bld: cannot find (?P<lib>-l\S+?):?(?: No such file.*)?$"),
    pattern("ninja_missing", r"No such file or directory: '(?:\S*/)?ninja'|ninja: (?:command )?not found"),
    pattern("ninja_missing", r"Ninja is required to load C\+\+ extensions"),
    pattern(
        "no_compiler", r"Failed to find C compiler|No working C\+\+ compiler|command 'g(?:cc|\+\+)' failed: No such"
    ),
    pattern("no_compiler", r"No such file or directory: '(?:\S*/)?(?:gcc|g\+\+|cc|c\+\+|x86_64-linux-gnu-g\w+)'"),
    pattern(
        "no_nvcc",
        r"Could not find nvcc|No such file or directory: '(?:\S*/)?nvcc'|nvcc: (?:not found|No such file)|"
        r"CUDA_HOME environment variable is not set|Could not find CUDA(?:_HOME| installation)",
    ),
    pattern(
        "build_failed",
        r"(?P<what>(?<!\S)\S{1,300}\.(?:cu|cuh|cpp|cc|cxx|c|h|hpp)"
        r"(?::\d+:\d+:|\(\d+\):) (?:fatal |catastrophic )?error:? .*)",
    ),
    pattern("build_failed", r"(?P<what>undefined reference to .*)"),
    pattern("compile_failed", r"(?P<what>(?:torch\._inductor\.exc\.)?InductorError: .*|BackendCompilerFailed.*)"),
    pattern(
        "compile_failed", r"(?P<what>Ninja build failed|Error building extension '\w+'|torch\._inductor\.exc\.\w+.*)"
    ),
)

STRAY = re.compile(
    r"^(?:/\S+/)?(?:nvcc|ptxas|ld|collect2|cc1plus|g?cc|[gc]\+\+|clang)\S*\s*:? +(?:fatal|error)"
    r"|^(?:\S+/)?(?:ld|nvlink|ninja|make|cmake)\w*: (?:error|cannot|fatal)"
    r"|: (?:fatal |catastrophic )?error:? \S|^CMake Error|^FAILED: \S"
    r"|^Failed: |^\S+: \S.*: Assertion `?.*'? failed|^\S+:\d+: .*Assertion .* failed"
    r"|^terminate called|^\s+what\(\):  |^thread '.*' panicked at|^Aborted|^Illegal instruction|^Fatal Python error"
    r"|error while loading shared libraries|command not found$|^Error: \S|^[Ff]atal: \S|^ImportError: "
)
"""Errors that compilers and other native programs print between the lines of a log."""
