"""The command that `--dry-run` prints: pasted into bash, it starts exactly what `agent serve` would start."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.cli.command_view import render
from serving.capacity.planner import plan
from serving.capacity.sizing import PlanOptions
from serving.engines import engine_command
from serving.engines.command import EngineCommand, Flag, ServeOptions, Variable

# Stands in for vllm and python: writes its arguments and environment to a file.
PROGRAM = """#!{python} -S
import json, os, sys
json.dump([sys.argv, dict(os.environ)], open({out!r}, "w"))
"""


def made(**changes: object) -> EngineCommand:
    values: dict[str, object] = {
        "engine": "vllm",
        "program": ("vllm", "serve", "my model"),
        "module": (),
        "flags": (
            Flag(words=("--port", "8000"), reason="the port"),
            Flag(words=("--config", '{"a": "it\'s"}'), reason="costs $5 & `more`"),
            Flag(words=("--a-flag-that-is-so-long-that-its-comment-cannot-be-aligned",), reason="long"),
        ),
        "environment": (
            Variable(name="DO_NOT_TRACK", value="1", reason="no telemetry"),
            Variable(name="KEY", value="", reason="required of requests", secret_file=Path("/keys/my key")),
        ),
        "model": "m",
        "base_url": "http://127.0.0.1:8000/v1",
        "health_url": "http://127.0.0.1:8000/health",
    }
    return EngineCommand(**(values | changes))


def pasted(text: str, folder: Path, name: str) -> tuple[list[str], dict[str, str]]:
    """Run a command in bash; return the arguments and environment that a fake program called `name` received."""
    out = folder / "given.json"
    program = folder / name
    program.write_text(PROGRAM.format(python=sys.executable, out=str(out)))
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "--noprofile", "--norc"],
        input=text,
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    argv, environment = json.loads(out.read_text())
    return argv[1:], environment


def test_every_flag_and_variable_has_a_line_with_its_reason():
    assert render(made()) == (
        """\
# m at http://127.0.0.1:8000/v1
(
  export DO_NOT_TRACK=1  # no telemetry
  export KEY="$(cat '/keys/my key')"; : "${KEY:?its file holds no key}"  # required of requests
  flags=(
    --port 8000                   # the port
    --config '{"a": "it'"'"'s"}'  # costs $5 & `more`
    --a-flag-that-is-so-long-that-its-comment-cannot-be-aligned  # long
  )
  vllm serve 'my model' "${flags[@]}"
)"""
    )


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("draft", [None, "eagle"])
def test_bash_passes_the_command_s_arguments_and_environment_to_the_engine(
    tmp_path: Path, engine: str, draft: str | None
):
    command = engine_command(
        plan(PlanOptions(gpus="h200:4", max_model_len=65536, draft=draft, engine=engine)), ServeOptions()
    )

    argv, environment = pasted(render(command), tmp_path, command.program[0])

    assert argv == [*command.program[1:], *command.arguments]
    assert {item.name: environment[item.name] for item in command.environment} == {
        item.name: item.value for item in command.environment
    }


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_bash_passes_every_word_unchanged(tmp_path: Path, words: list[str]):
    flags = (Flag(words=("--any", *words), reason="it's $(any) `reason`; done # \\"),)

    argv, _ = pasted(render(made(program=("vllm",), flags=flags, environment=())), tmp_path, "vllm")

    assert argv == ["--any", *words]


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_a_given_interpreter_runs_the_engine_as_a_module(tmp_path: Path, engine: str):
    command = engine_command(plan(PlanOptions(gpus="h200:4", max_model_len=65536, engine=engine)), ServeOptions())
    python = tmp_path / "env 1/bin/python"
    python.parent.mkdir(parents=True)

    argv, _ = pasted(render(command, python=python), python.parent, "python")

    assert argv == [*command.module, *command.arguments]


def test_the_key_is_read_by_bash_and_is_in_neither_the_text_nor_the_arguments(tmp_path: Path):
    key = tmp_path / "the key"
    key.write_text("sk-secret\n")
    options = ServeOptions(host="0.0.0.0", api_key_file=key)
    text = render(engine_command(plan(PlanOptions(gpus="h200:4", max_model_len=65536)), options))

    argv, environment = pasted(text, tmp_path, "vllm")

    assert environment["VLLM_API_KEY"] == "sk-secret"
    assert "sk-secret" not in text
    assert "sk-secret" not in "".join(argv)


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_nothing_is_started_without_a_key(tmp_path: Path, content: str | None):
    key = tmp_path / "key"
    if content is not None:
        key.write_text(content)
    secret = Variable(name="KEY", value="", reason="required of requests", secret_file=key)
    text = render(made(program=("touch", str(tmp_path / "started")), flags=(), environment=(secret,)))

    done = subprocess.run(["bash"], input=text, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "KEY: its file holds no key" in done.stderr
    assert not (tmp_path / "started").exists()


def test_a_model_name_with_a_line_break_does_not_become_a_command():
    shown = render(made(model="m\ntouch evil"))

    assert shown.startswith("# m touch evil at http://127.0.0.1:8000/v1\n(\n")


def test_the_variables_do_not_stay_in_the_shell(tmp_path: Path):
    text = render(made(program=("true",), flags=(), environment=(made().environment[0],)))

    done = subprocess.run(
        ["bash"], input=f'{text}\necho "${{DO_NOT_TRACK:-unset}}"', env={"PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stdout == "unset\n"
