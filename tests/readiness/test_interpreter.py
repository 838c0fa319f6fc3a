"""The Python that runs the engine: the one in the variable, this one, or that of the engine's program."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from serving import EngineError
from serving.readiness.interpreter import cpu_python, gpu_python


def a_program(folder: Path, first_line: str) -> dict[str, str]:
    program = folder / "vllm"
    program.write_text(f"{first_line}\nimport vllm\n")
    program.chmod(0o755)
    return {"PATH": str(folder), "HOME": str(folder)}


def test_the_python_in_the_variable_wins():
    environ = {"TRAMONTANE_ENGINE_PYTHON": sys.executable}
    assert gpu_python("vllm", environ) == cpu_python(environ, print) == Path(sys.executable)


def test_the_python_is_read_from_the_first_line_of_the_engine_s_program(tmp_path: Path):
    assert gpu_python("vllm", a_program(tmp_path, f"#!{sys.executable}")) == Path(sys.executable)


def test_a_missing_python_is_an_error_that_says_how_to_install_the_engine(tmp_path: Path):
    if find_spec("vllm") is not None:
        pytest.skip("this Python has vLLM")
    for environ in (
        {"PATH": ""},
        a_program(tmp_path, "#!/no/such/python"),
        a_program(tmp_path, "#!/usr/bin/env python"),
    ):
        with pytest.raises(EngineError) as caught:
            gpu_python("vllm", environ)
        assert str(caught.value) == (
            f"No Python with vllm was found: this one ({sys.executable}) does not have it, and 'vllm' is not on the "
            "PATH.\n"
            'Now:   Install it: pip install "tramontane[vllm]". Or give a Python that has it: --python PATH, or '
            "TRAMONTANE_ENGINE_PYTHON=PATH."
        )
