"""Find the Python that runs an engine; only the CPU's is made where it is not found."""

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
"""The variable that names a Python which has the engine."""

FindPython = Callable[[Callable[[str], None]], Path]
"""Gives the interpreter that runs the engine, making its environment if need be; is told where to report."""


def cpu_python(environ: Mapping[str, str], tell: Callable[[str], None]) -> Path:
    """Find or make the environment with vLLM for the CPU.

    Raises:
        EngineError: the named one is no file, or the environment could not be made.
    """
    return _named(environ) or ensure_installed(cache_dir(environ), on_detail=tell)


def gpu_python(engine: EngineName, environ: Mapping[str, str]) -> Path:
    """Find an interpreter that has the engine: the named one, this one, or that of its program on the PATH.

    Raises:
        EngineError: the named one is no file, or there is none.
    """
    named = _named(environ)
    if named is not None:
        return named
    if importlib.util.find_spec(engine) is not None:
        return Path(sys.executable)
    script = shutil.which(engine, path=environ.get("PATH"))
    found = _interpreter_of(Path(script)) if script else None
    if found is None:
        raise EngineError(
            f"No Python with {engine} is found: neither this one ({sys.executable}) has it, nor is {engine!r} on the "
            "PATH.",
            cause="",
            do=f"{_INSTALL[engine]} Or name a Python that has it: --python PATH, or {OVERRIDE}=PATH.",
        )
    return found


_INSTALL: Mapping[EngineName, str] = {
    "vllm": 'Install it: pip install "tramontane[vllm]".',
    "sglang": "Install it: pip install sglang.",
}


def _named(environ: Mapping[str, str]) -> Path | None:
    named = environ.get(OVERRIDE)
    if not named:
        return None
    if not Path(named).is_file():
        raise EngineError(
            f"Cannot start the engine: {OVERRIDE} is {named!r}, which is no file.",
            cause="",
            do="Let it name a Python that has the engine, or unset it: then one is looked for.",
        )
    return Path(named)


def _interpreter_of(script: Path) -> Path | None:
    """Read the first line of an installed program, `#!/path/to/python`."""
    with script.open("rb") as read:
        first = read.readline(500).decode(errors="replace").strip()
    interpreter = Path(first.removeprefix("#!").strip())
    return interpreter if first.startswith("#!/") and interpreter.is_file() else None
