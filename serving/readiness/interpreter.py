"""Find the Python that runs an engine; installs one for the CPU only, none for GPUs."""

import importlib.util
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ..capacity.sizing import EngineName
from ..directories import cache_dir
from ..errors import EngineError
from .install import ensure_installed

OVERRIDE = "TRAMONTANE_ENGINE_PYTHON"
"""The environment variable for the path of a Python that has the engine."""

FindPython = Callable[[Callable[[str], None]], Path]
"""Returns the interpreter that runs the engine, installing it if needed; the argument receives lines of progress."""


def cpu_python(environ: Mapping[str, str], on_detail: Callable[[str], None]) -> Path:
    """Return the interpreter of the environment with vLLM for the CPU, creating the environment if needed.

    Raises:
        EngineError: the variable names no file, or the environment could not be created.
    """
    return _override(environ) or ensure_installed(cache_dir(environ), on_detail=on_detail)


def gpu_python(engine: EngineName, environ: Mapping[str, str]) -> Path:
    """Return an interpreter that has the engine: from the variable, this one, or that of its program on the PATH.

    Raises:
        EngineError: the variable names no file, or no interpreter was found.
    """
    override = _override(environ)
    if override is not None:
        return override
    if importlib.util.find_spec(engine) is not None:
        return Path(sys.executable)
    script = shutil.which(engine, path=environ.get("PATH"))
    found = _interpreter_of(Path(script)) if script else None
    if found is None:
        raise EngineError(
            f"No Python with {engine} was found: this one ({sys.executable}) does not have it, and {engine!r} is not "
            "on the PATH.",
            cause="",
            do=f"{_INSTALL[engine]} Or give a Python that has it: --python PATH, or {OVERRIDE}=PATH.",
        )
    return found


_INSTALL: Mapping[EngineName, str] = {
    "vllm": 'Install it: pip install "tramontane[vllm]".',
    "sglang": "Install it: pip install sglang.",
}


def _override(environ: Mapping[str, str]) -> Path | None:
    path = environ.get(OVERRIDE)
    if not path:
        return None
    if not Path(path).is_file():
        raise EngineError(
            f"Cannot start the engine: {OVERRIDE} is {path!r}, which is not a file.",
            cause="",
            do="Set it to the path of a Python that has the engine, or unset it to search for one.",
        )
    return Path(path)


def _interpreter_of(script: Path) -> Path | None:
    """Return the interpreter from a program's first line, `#!/path/to/python`, or None."""
    with script.open("rb") as file:
        first = file.readline(500).decode(errors="replace").strip()
    interpreter = Path(first.removeprefix("#!").strip())
    return interpreter if first.startswith("#!/") and interpreter.is_file() else None
