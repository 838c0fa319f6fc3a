"""Task files: what is read, what is refused, and with which message."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import Agent, McpServer, Permission, ToolContext, ready_tools
from agent.errors import ConfigError
from agent.model.endpoint import Endpoint
from agent.model.settings import ModelSettings
from agent.policy.ladder import Ladder, Rung
from agent.policy.limits import Limits
from agent.policy.verification import Verify
from agent.task.environment import base_environment, task_variables
from agent.task.given_values import GivenValues
from agent.task.known_keys import known_keys
from agent.task.load import load_task
from agent.task.parts import TaskInputs, TaskModel, TaskOutput, TaskSandbox, TaskWorkspace, ToolUse
from agent.task.renamed import RenamedKey
from agent.task.schema import task_schema
from agent.task.task import Task
from agent.task.yaml_lines import MAX_NODES, dotted, read_document

FULL = """\
version: 1
name: fix-parser
prompt: |
  Write the word {{word}} with \\{{braces}} and ${{ secrets.X }}.
instructions: You are terse.
vars: {word: hello, release: 1.10, on: yes}
inputs: {files: [a.txt], images: [screen.png]}
workspace: {path: ws, create: true}
model: {name: pocket, base_url: "http://127.0.0.1:8000/v1", profile: generic, api_key_env: KEY, stream: false}
model_settings: {temperature: 0.3, seed: 7, max_tokens: 900, extra_body: {top_k: 5}}
tools: [read_file, "tools.files:edit_file", "./my_tools.py:fetch", {use: run_shell, timeout_s: 60}]
ladder:
  rungs: [{effort: none}, {effort: high, fresh_context: true}]
  triggers: {tool_error: 5, repeat: null}
limits: {steps: 10, tokens: 2M, output_tokens: 1.5k, tool_calls: null, wall: 30m}
verify: {command: test -f hello.txt, timeout_s: 5, attempts: 2}
output: {schema: {type: object}, file: out.json}
env: {PYTHONPATH: src, PORT: 0800}
env_from: [TOKEN]
"""


def write(folder: Path, text: str, name: str = "task.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def refusal(folder: Path, text: str | bytes, **overrides: str) -> str:
    """Return the error's text, with the file's path shortened to `task.yaml` and the folder's to `DIR`."""
    path = folder / "task.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_task(path, {key.replace("__", "."): value for key, value in overrides.items()})
    return str(caught.value).replace(str(path), "task.yaml").replace(str(folder), "DIR")


def test_every_key_is_read(tmp_path: Path):
    write(tmp_path, "line one\nline two\n", "a.txt")
    (tmp_path / "screen.png").write_bytes(b"png")

    task = load_task(write(tmp_path, FULL))

    assert task == Task(
        name="fix-parser",
        prompt="Write the word {{word}} with \\{{braces}} and ${{ secrets.X }}.\n",
        instructions="You are terse.",
        vars={"word": "hello", "release": "1.10", "on": "yes"},
        inputs=TaskInputs(files=("a.txt",), images=("screen.png",)),
        workspace=TaskWorkspace(path="ws", create=True),
        model=TaskModel(
            name="pocket", base_url="http://127.0.0.1:8000/v1", profile="generic", api_key_env="KEY", stream=False
        ),
        model_settings=ModelSettings(temperature=0.3, seed=7, max_tokens=900, extra_body={"top_k": 5}),
        tools=(
            ToolUse(use="read_file"),
            ToolUse(use="tools.files:edit_file"),
            ToolUse(use="./my_tools.py:fetch"),
            ToolUse(use="run_shell", timeout_s=60),
        ),
        ladder=Ladder(
            rungs=(Rung(effort="none"), Rung(effort="high", fresh_context=True)),
            triggers={key: value for key, value in Ladder().triggers.items() if key != "repeat"} | {"tool_error": 5},
        ),
        limits=Limits(steps=10, tokens=2_000_000, output_tokens=1_500, tool_calls=None, wall_s=1800),
        verify=Verify(command="test -f hello.txt", timeout_s=5, attempts=2),
        output=TaskOutput(schema={"type": "object"}, file="out.json"),
        env={"PYTHONPATH": "src", "PORT": "0800"},
        env_from=("TOKEN",),
        directory=tmp_path,
    )
    assert task.rendered_prompt() == (
        "Write the word hello with {{braces}} and ${{ secrets.X }}.\n\nFile a.txt:\n```\nline one\nline two\n```"
    )
    assert [image.media_type for image in task.images()] == ["image/png"]
    assert task.output_schema() == {"type": "object"}
    assert task.workspace_folder() == tmp_path / "ws"


def test_short_forms_and_defaults(tmp_path: Path):
    text = "prompt: hi\nmodel: pocket\nworkspace: .\nverify: test -f x\n"

    task = load_task(write(tmp_path, text, "my task.yaml"))

    assert task == Task(
        name="my-task",
        prompt="hi",
        model=TaskModel(name="pocket"),
        verify=Verify(command="test -f x"),
        directory=tmp_path,
    )


def test_a_workspace_may_be_copied(tmp_path: Path):
    (tmp_path / "project").mkdir()

    task = load_task(write(tmp_path, "prompt: hi\nworkspace: {path: project, copy: true}\n"))

    assert task.workspace == TaskWorkspace(path="project", copy=True)
    assert task.verify_env() == {"AGENT_TASK_DIR": str(tmp_path)}


def test_a_task_in_python_needs_only_a_prompt():
    assert Task(prompt="hi").rendered_prompt() == "hi"


def test_what_is_no_path_of_a_task_file_is_refused():
    """It failed with pathlib's TypeError."""
    wrong: Any = 3
    with pytest.raises(ConfigError) as caught:
        load_task(wrong)
    assert str(caught.value) == "`path` is 3, of type int. Give the path of a task file, such as `task.yaml`."


def test_type_checkers_know_the_same_values_of_a_task_as_programs_do():
    assert list(GivenValues.__annotations__) == [field.name for field in dataclasses.fields(Task)]


def test_a_relative_task_path_gives_an_absolute_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, "prompt: hi")
    monkeypatch.chdir(tmp_path)

    assert load_task("task.yaml").directory == tmp_path


def test_prompt_and_schema_may_be_files(tmp_path: Path):
    write(tmp_path, "Say {{word}}.\n", "prompt.md")
    write(tmp_path, '{"type": "object"}', "schema.json")
    text = "prompt_file: prompt.md\nvars: {word: hello}\noutput: {schema: schema.json}\n"

    task = load_task(write(tmp_path, text))

    assert task.rendered_prompt() == "Say hello."
    assert task.output_schema() == {"type": "object"}


def test_placeholders_in_a_filled_in_value_are_not_filled(tmp_path: Path):
    task = Task(prompt="{{ a }} {{b}}", vars={"a": "{{b}}", "b": "2"})

    assert task.rendered_prompt() == "{{b}} 2"


def test_an_input_file_with_fences_gets_a_longer_fence(tmp_path: Path):
    write(tmp_path, "```\nx\n```\n", "a.md")

    task = Task(prompt="hi", inputs=TaskInputs(files=("a.md",)), directory=tmp_path)

    assert task.rendered_prompt() == "hi\n\nFile a.md:\n````\n```\nx\n```\n````"


def test_overrides_set_variables_and_dotted_keys(tmp_path: Path):
    text = "prompt: say {{word}} {{other}}\nvars: {word: hello}\nverify: 'false'\nlimits: {steps: 3}\n"
    overrides = {
        "word": "1.10",
        "other": "x: [",
        "vars.third": "3",
        "verify.attempts": "5",
        "limits.steps": "null",
        "limits.wall": "2h",
        "model.name": "123",
        "name": "n",
    }

    task = load_task(write(tmp_path, text), overrides)

    assert task == Task(
        name="n",
        prompt="say {{word}} {{other}}",
        vars={"word": "1.10", "other": "x: [", "third": "3"},
        verify=Verify(command="false", attempts=5),
        limits=Limits(steps=None, wall_s=7200),
        model=TaskModel(name="123"),
        directory=tmp_path,
    )


def test_a_variable_of_a_prompt_file_may_be_set_without_being_declared(tmp_path: Path):
    write(tmp_path, "say {{word}}", "prompt.md")

    assert load_task(write(tmp_path, "prompt_file: prompt.md"), {"word": "x"}).rendered_prompt() == "say x"


def test_all_mistakes_are_reported_at_once_with_line_key_and_nearest_name(tmp_path: Path):
    text = """\
promt: hi
tools: read_file
limits: {steps: "many", wall: soon, stepz: 1}
verify: true
verify: x
ladder:
  triggers: {repat: 1}
  rungs: [{effort: lots}, {effort: none, constrained: 1}]
steps: 4
output: {schema: 3}
directory: /
1: x
model: {timeout_s: 3}
workspace: [a]
"""
    keys = (
        "version, name, prompt, prompt_file, instructions, project_instructions, vars, inputs, workspace, model, "
        "model_settings, tools, mcp, ladder, limits, verify, sandbox, permissions, output, env, env_from, secret_files"
    )
    assert refusal(tmp_path, text) == (
        "task.yaml:1: Unknown key `promt`. Did you mean `prompt`?\n"
        'task.yaml:2: `tools` must be a list, got "read_file". Write [read_file].\n'
        'task.yaml:3: `limits.steps` must be a whole number such as 60, or null for no limit, got "many".\n'
        "task.yaml:3: `limits.wall` must be seconds, a time such as 30s, 30m or 2h, or null for no limit, "
        'got "soon".\n'
        "task.yaml:3: Unknown key `limits.stepz`. Did you mean `steps`?\n"
        'task.yaml:4: `verify` must be text or a mapping, got true. If you mean text, put it in quotes: "true".\n'
        "task.yaml:5: `verify` is given twice, first on line 4. Keep one.\n"
        "task.yaml:7: Unknown key `ladder.triggers.repat`. Did you mean `repeat`?\n"
        'task.yaml:8: `ladder.rungs[0].effort` must be none, low, medium or high, got "lots".\n'
        "task.yaml:8: `ladder.rungs[1].constrained` must be true or false, got 1.\n"
        "task.yaml:9: Unknown key `steps`. Did you mean `limits.steps`?\n"
        "task.yaml:10: `output.schema` must be a file name or a JSON Schema, got 3.\n"
        f"task.yaml:11: Unknown key `directory`. Known: {keys}.\n"
        "task.yaml:12: YAML does not read the key '1' as text. Put it in quotes.\n"
        f"task.yaml:12: Unknown key `1`. Known: {keys}.\n"
        "task.yaml:13: Unknown key `model.timeout_s`. Did you mean `tools.timeout_s`, `verify.timeout_s` or "
        "`mcp.NAME.timeout_s`?\n"
        'task.yaml:14: `workspace` must be text or a mapping, got ["a"].'
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sandbox: {netwrk: true}", "`sandbox.netwrk`. Did you mean `network`?"),
        ("sandbox: {limits: {memroy_mb: 1}}", "`sandbox.limits.memroy_mb`. Did you mean `memory_mb`?"),
        ("permissions: [{tol: run_shell, tool: a, do: ask}]", "`permissions[0].tol`. Did you mean `tool`?"),
        ("mcp: {files: {url: 'http://x', timeout: 3}}", "`mcp.files.timeout`. Did you mean `timeout_s`?"),
        ("network: true", "`network`. Did you mean `sandbox.network`?"),
        ("sandbox: {cpu_s: 1}", "`sandbox.cpu_s`. Did you mean `sandbox.limits.cpu_s`?"),
        ("limits: {effort: high}", "`limits.effort`. Did you mean `ladder.rungs.effort`?"),
        ("env: {url: a}\nurl: b", "`url`. Did you mean `mcp.NAME.url`?"),
        ("workspace: {verify: pytest}", "`workspace.verify`. Did you mean `verify`?"),
    ],
)
def test_a_misspelt_key_of_any_record_is_answered_with_the_nearest_one(tmp_path: Path, text: str, problem: str):
    """The keys of `sandbox`, `permissions` and `mcp` were missing in a list of records that was kept by hand."""
    assert refusal(tmp_path, f"{text}\nprompt: a").endswith(f": Unknown key {problem}")


def test_the_known_keys_of_a_task_are_those_of_its_schema():
    schema = task_schema()

    def check(part: dict[str, Any], path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        if "properties" in part:
            yield path
            assert set(known_keys(path)) == set(part["properties"]), path
        for key, inner in part.get("properties", {}).items():
            yield from check(inner, (*path, key))
        for inner in part.get("anyOf", ()):
            yield from check(inner, path)
        if "items" in part:
            yield from check(part["items"], (*path, 0))
        if isinstance(part.get("additionalProperties"), dict):
            yield from check(part["additionalProperties"], (*path, "name"))

    assert {dotted(path) for path in check(schema, ())} >= {"", "sandbox.limits", "permissions[0]", "mcp.name"}


def test_the_error_carries_file_line_and_key_of_the_first_mistake(tmp_path: Path):
    path = write(tmp_path, "prompt: hi\nlimits:\n  steps: x\n")

    with pytest.raises(ConfigError) as caught:
        load_task(path)

    assert (caught.value.path, caught.value.line, caught.value.key) == (path, 3, "limits.steps")


SMALLEST = "prompt: Write the word hello into hello.txt.\ntools: [write_file]"

REFUSALS = {
    "": f"task.yaml:1: The file is empty. The smallest task is:\n{SMALLEST}",
    "- a": f"task.yaml:1: A task must be a mapping of keys to values. The smallest task is:\n{SMALLEST}",
    "name: x": f"task.yaml:1: The task does not say what to do: `prompt` is missing. The smallest task is:\n{SMALLEST}",
    "name: x\nprompt: ''": f"task.yaml:2: `prompt` is empty. Say what to do; the smallest task is:\n{SMALLEST}",
    "prompt: a\nprompt_file: b": "task.yaml:2: `prompt` and `prompt_file` are both given. Keep one.",
    "prompt: a\nversion: 2": "task.yaml:2: `version` must be 1, the only supported version, got 2.",
    "prompt: a\nname: a/b": (
        "task.yaml:2: `name` may contain letters, digits, dot, dash and underscore, got 'a/b'. Choose another."
    ),
    "vars: {word: x, 'a b': y}\nprompt: a": (
        "task.yaml:1: The variable 'a b' cannot be used in {{ }}. Use letters, digits and _ in its name."
    ),
    "vars: {word: x}\nprompt: |\n  one\n  say {{wrod}}\n": (
        "task.yaml:4: {{wrod}} in `prompt` has no value. Did you mean `word`? Give one under `vars:` or with "
        "--set wrod=...; to keep the braces, write \\{{wrod}}."
    ),
    "prompt: '{{x}}'": (
        "task.yaml:1: {{x}} in `prompt` has no value. Give one under `vars:` or with --set x=...; to keep the "
        "braces, write \\{{x}}."
    ),
    "prompt: a\nenv:\n  A: '{{x}}'": (
        "task.yaml:3: {{x}} in `env.A` has no value. Give one under `vars:` or with --set x=...; to keep the braces, "
        "write \\{{x}}."
    ),
    "vars: {word: null}\nprompt: a": "task.yaml:1: `vars.word` must be text, got null.",
    "prompt: a\nlimits: {steps: 0}": "task.yaml:2: `limits.steps` must be more than 0, got 0. Give a larger number.",
    "prompt: a\nlimits: {steps: 1.5k, tokens: 1.0001k}": (
        "task.yaml:2: `limits.tokens` must be a whole number such as 2M, or null for no limit, got 1000.1."
    ),
    "prompt: a\nladder: {rungs: []}": ("task.yaml:2: A ladder needs at least one rung, such as {effort: none}."),
    "prompt: a\nladder:\n  triggers: {repeat: -1}": (
        "task.yaml:3: The threshold of `repeat` is -1; it must be 1 or more. To disable it, leave it out."
    ),
    "prompt: a\nverify: {timeout_s: 3}": "task.yaml:2: `verify.command` is missing. Add it.",
    "prompt: a\nverify: ' '": "task.yaml:2: `verify.command` is empty. Give a shell command, such as: pytest -q",
    "prompt: a\ntools:\n- use: x\n  timeout_s: 0\n": (
        "task.yaml:2: `tools.timeout_s` must be more than 0, got 0. Give a larger number."
    ),
    "prompt: a\nenv_from: [sk-123]": (
        "task.yaml:2: `env_from[0]` must name an environment variable: letters, digits and _. Give the name, not the "
        "value."
    ),
    "prompt: a\nmodel: {base_url: 'file:///etc/passwd'}": (
        "task.yaml:2: `model.base_url` is not an HTTP URL: 'file:///etc/passwd'. Write it like "
        "http://127.0.0.1:8000/v1."
    ),
    "prompt: a\nmodel: {base_url: 'http://169.254.169.254/latest'}": (
        "task.yaml:2: `model.base_url` is a link-local address, which no model server has: "
        "'http://169.254.169.254/latest'. Write it like http://127.0.0.1:8000/v1."
    ),
    "prompt: a\nmodel: {base_url: 'http://me:secret@host/v1'}": (
        "task.yaml:2: `model.base_url` contains a user name or password. Remove it, and set `model.api_key_env` to the "
        "name of the variable that holds the key."
    ),
    "prompt: a\nmodel: {base_url: 'http://host:x/v1'}": (
        "task.yaml:2: `model.base_url` is not a URL: Port could not be cast to integer value as 'x'. Write it "
        "like http://127.0.0.1:8000/v1."
    ),
    "prompt: a\nworkspace: nowhere": (
        "task.yaml:2: The workspace 'DIR/nowhere' does not exist. Create the folder, or let the run create it: "
        "workspace: {path: nowhere, create: true}."
    ),
    "prompt: a\nworkspace: {path: nowhere, copy: true}": (
        "task.yaml:2: The workspace 'DIR/nowhere' does not exist. Give an existing folder to make the copy from."
    ),
    "prompt: a\nworkspace: {path: ., copy: true, create: true}": (
        "task.yaml:2: A workspace can have only one of `create`, `copy` and `worktree`. Keep `copy` or "
        "`worktree` for a folder that exists, `create` for one that does not."
    ),
    "prompt: a\nenv:\n  AGENT_TASK_DIR: /x\n": (
        "task.yaml:3: `env.AGENT_TASK_DIR`: AGENT_TASK_DIR is set by the run itself, for `verify` only. Choose "
        "another name."
    ),
    "prompt: a\nenv_from: [AGENT_TASK_DIR]": (
        "task.yaml:2: `env_from[0]`: AGENT_TASK_DIR is set by the run itself, for `verify` only. Choose another name."
    ),
    "prompt: a\nworkspace: task.yaml": (
        "task.yaml:2: The workspace 'task.yaml' is not a folder. Give the folder that the run may change."
    ),
    "prompt_file: no.md\ninputs:\n  images: [a.txt]\n  files: [no.txt]\n": (
        "task.yaml:1: Cannot read 'DIR/no.md': No such file or directory. Check `prompt_file`.\n"
        "task.yaml:3: 'DIR/a.txt' has no image extension. Use a .png, .jpg, .gif or .webp file."
    ),
    "prompt: a\noutput: {schema: {type: strin}}": (
        "task.yaml:2: `output.schema` is not a valid JSON Schema at $.type: 'strin' is not valid under any of the "
        "given schemas"
    ),
    "prompt: a\noutput: {schema: {type: string}}": (
        'task.yaml:2: `output.schema` must describe an object. Add "type": "object" to it.'
    ),
    "prompt: a\n---\nprompt: b": "task.yaml:2: A second document starts here (`---`). Keep one task per file.",
    "prompt: a\nvars: !!python/object:os.system {a: b}": (
        "task.yaml:2: The tag 'tag:yaml.org,2002:python/object:os.system' is not supported. Remove it; for text, use "
        "quotes."
    ),
    "prompt: {{word}}": ("task.yaml:1: A key must be plain text. Put a value that begins with {, [, * or & in quotes."),
    "a: &a {b: 1}\nc: {<<: *a}": (
        "task.yaml:2: The key '<<' is not supported. Write the keys out, without tags and merges."
    ),
    "a: *b": "task.yaml:1: The alias *b has no anchor &b before it.",
    "a: &a [*a]": "task.yaml:1: The alias *a has no anchor &a before it.",
    "prompt: a\nvars:\n\tb: c": (
        "task.yaml:3: Not valid YAML: found character '\\t' that cannot start any token. Indent with spaces, not tabs."
    ),
    "prompt: a: b": (
        "task.yaml:1: Not valid YAML: mapping values are not allowed here. Check the indentation, and put text that "
        'contains ": " or " #" in quotes.'
    ),
    "prompt: a\nname: \0": "task.yaml:2: Not valid YAML: the character '\\x00' is not allowed. Remove it.",
    'prompt: a\nname: "\\ud800"': (
        "task.yaml:2: A lone surrogate (\\ud800 to \\udfff) is not a character. Write the whole character."
    ),
    'prompt: "\\UFFFFFFFF"': "task.yaml:1: Not valid YAML: Python int too large to convert to C int.",
    "a: " + "[" * 50: "task.yaml:1: Too deep: more than 40 levels. Flatten it.",
    "a: [" + "x," * MAX_NODES + "]": (
        "task.yaml:1: Too large: more than 20000 values with aliases expanded. Keep data in separate files."
    ),
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(
        f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
    ): ("task.yaml:5: Too large: more than 20000 values with aliases expanded. Keep data in separate files."),
    "# " + "x" * 1024 * 1024: (
        "task.yaml: The file is larger than 1048576 bytes, the limit for a task. Keep data in separate files."
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSALS.items(), ids=[str(number) for number in range(len(REFUSALS))])
def test_the_whole_message_of_a_refusal(text: str, message: str, tmp_path: Path):
    assert refusal(tmp_path, text) == message


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path):
    message = "task.yaml:2: This is not UTF-8 text. Save the file as UTF-8."
    assert refusal(tmp_path, b"prompt: a\nname: \xff") == message


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        load_task(tmp_path / "no.yaml")
    assert str(caught.value) == (
        f"{tmp_path}/no.yaml: Cannot read the task file: No such file or directory. Give the path of a YAML file."
    )


def test_a_mistake_in_a_referenced_file_is_reported_with_the_place_in_that_file(tmp_path: Path):
    write(tmp_path, "one\n{{x}}\n", "prompt.md")
    write(tmp_path, "{\n", "schema.json")
    text = "prompt_file: prompt.md\noutput: {schema: schema.json}"
    assert refusal(tmp_path, text) == (
        "task.yaml:1: DIR/prompt.md:2: {{x}} in `prompt_file` has no value. Give one under `vars:` or with --set "
        "x=...; to keep the braces, write \\{{x}}.\n"
        "task.yaml:2: DIR/schema.json:2: The schema is not valid JSON: Expecting property name enclosed in double "
        "quotes. Correct it."
    )


def test_input_files_must_be_text_of_bounded_size(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"\xff")
    text = "prompt: a\ninputs: {files: [a]}"
    assert refusal(tmp_path, text) == (
        "task.yaml:2: 'DIR/a' is not UTF-8 text. Give a text file; images belong under `inputs.images`."
    )
    (tmp_path / "a").write_bytes(b"x" * 300_000)
    assert refusal(tmp_path, text) == (
        "task.yaml:2: 'DIR/a' is larger than 262144 bytes, the limit for `inputs.files[0]`. Use a smaller file; larger "
        "input belongs in the workspace, where the model can read it with a tool."
    )


def test_a_mistake_in_an_override_is_reported_with_the_override(tmp_path: Path):
    text = "prompt: say {{word}}\nvars: {word: x}\ntools: [a]\n"
    overrides = {
        "wrod": "x",
        "limits__steps": "many",
        "limits__stepz": "1",
        "tools__use": "b",
    }
    assert refusal(tmp_path, text, **overrides, verify__command="x") == (
        "--set wrod=x: The task has no variable or key `wrod`. Did you mean `word`?\n"
        "--set tools.use=b: `tools.use` is not the path of a single value. Change it in the task file.\n"
        "--set limits.steps=many: `limits.steps` must be a whole number such as 60, or null for no limit, got "
        '"many".\n'
        "--set limits.stepz=1: Unknown key `limits.stepz`. Did you mean `steps`?"
    )
    assert refusal(tmp_path, text, verify__attempts="0", verify__command="x") == (
        "--set verify.attempts=0: `verify.attempts` must be more than 0, got 0. Give a larger number."
    )


def test_a_task_built_in_python_is_checked_too():
    with pytest.raises(ConfigError) as caught:
        Task(prompt="a", limits=Limits(steps=-1))
    assert str(caught.value) == "`limits.steps` must be more than 0, got -1. Give a larger number."


def test_the_environment_contains_a_safe_base_and_the_listed_variables(tmp_path: Path):
    task = Task(prompt="a", env={"PYTHONPATH": "src"}, env_from=("TOKEN",))
    base = {
        "PATH": "/bin",
        "HOME": "/h",
        "LANG": "C",
        "LC_ALL": "C",
        "USER": "me",
        "TMPDIR": "/t",
        "TERM": "xterm",
        "TOKEN": "t",
        "AWS_SECRET_ACCESS_KEY": "s",
        "LD_PRELOAD": "x",
    }
    assert base_environment(base) | task_variables(task, base) == {
        "PATH": "/bin",
        "HOME": "/h",
        "LANG": "C",
        "LC_ALL": "C",
        "USER": "me",
        "TMPDIR": "/t",
        "TERM": "dumb",
        "PYTHONUNBUFFERED": "1",
        "TOKEN": "t",
        "PYTHONPATH": "src",
    }


def test_env_values_may_use_variables(tmp_path: Path):
    task = load_task(write(tmp_path, "prompt: a\nvars: {word: hello}\nenv: {WORD: '{{word}} {{n}}'}"), {"n": "1"})

    assert task_variables(task, {})["WORD"] == "hello 1"


async def test_the_prints_of_a_python_program_that_is_killed_are_not_lost(tmp_path: Path):
    """run_shell answered "It had written nothing." after four printed lines: Python buffers what goes to a pipe."""
    env = base_environment({"PATH": f"{Path(sys.executable).parent}:{os.defpath}"})
    context = ToolContext(workspace=tmp_path, env=env)
    ran = await context.run(["python", "-c", "import time; print('here'); time.sleep(60)"], timeout_s=2)
    assert (ran.timed_out, ran.output) == (True, "here\n")
    assert task_variables(Task(prompt="a", env={"PYTHONUNBUFFERED": ""}), {})["PYTHONUNBUFFERED"] == ""


def test_a_listed_variable_that_is_not_set_is_an_error():
    with pytest.raises(ConfigError) as caught:
        task_variables(Task(prompt="a", env_from=("TOKEN",)), {})
    assert str(caught.value) == (
        "`env_from` lists TOKEN, which is not set. Set it before `agent run`, or remove it from the list."
    )


def test_the_schema_accepts_what_the_loader_accepts():
    schema = task_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for text in (FULL, "prompt: hi", "prompt_file: a\nmodel: pocket\nworkspace: .\nverify: test -f x"):
        assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []


def test_a_task_made_in_python_takes_what_the_file_takes():
    """`tools=("read_file",)` failed with "'str' object has no attribute 'use'", and `workspace="."` likewise."""
    short: dict[str, Any] = {
        "tools": ["read_file", {"use": "search", "timeout_s": 3}],
        "workspace": ".",
        "verify": "true",
        "sandbox": "none",
        "limits": {"tokens": "2k"},
        "permissions": [{"tool": "*", "do": "ask"}],
        "mcp": {"a": {"command": ["x"]}},
        "env_from": ["PATH"],
        "directory": "/work",
    }
    assert Task(prompt="a", **short) == Task(
        prompt="a",
        tools=(ToolUse(use="read_file"), ToolUse(use="search", timeout_s=3.0)),
        workspace=TaskWorkspace(),
        verify=Verify(command="true"),
        sandbox=TaskSandbox(use="none"),
        limits=Limits(tokens=2000),
        permissions=(Permission(tool="*", do="ask"),),
        mcp={"a": McpServer(command=("x",))},
        env_from=("PATH",),
        directory=Path("/work"),
    )


WRONG_IN_PYTHON: dict[str, tuple[Any, str]] = {
    "workspace": (3, "`workspace` is 3, of type int, which a task cannot have there. `agent schema` prints what each"),
    "prompt": (3, "`prompt` is 3, of type int, which a task cannot have there."),
    "tools": (
        [len],
        "`tools` holds [<built-in function len>], of type list, which a task file cannot have. Write "
        "`./file.py:name`, or give functions to Agent(tools=[...]).",
    ),
    "env_from": ("PATH", "`env_from` is 'PATH', of type str, which a task cannot have there."),
    "env": ({"KEY": 3}, "`env.KEY` is of type int, which a task cannot have there."),
    "model": ({"nam": "x"}, "`model.nam` is not a key of a task. `agent schema` prints what each key takes."),
    "limits": ({"steps": -1}, "`limits.steps` must be more than 0, got -1."),
    "project_instructions": ("on", "`project_instructions` cannot be 'on'. Did you mean `none`?"),
}


@pytest.mark.parametrize("key", WRONG_IN_PYTHON)
def test_a_task_made_in_python_refuses_what_the_file_refuses(key: str):
    value, text = WRONG_IN_PYTHON[key]
    with pytest.raises(ConfigError) as caught:
        Task(**{"prompt": "a", key: value})
    assert text in str(caught.value)


def test_the_name_of_a_task_file_in_place_of_a_task_is_told_to_be_loaded():
    given: Any = "task.yaml"
    with pytest.raises(ConfigError, match=r"`task` is 'task.yaml', of type str. Read the file with load_task\(path\)"):
        Agent.from_task(given, "http://127.0.0.1:8000/v1", environ={})


def test_the_schema_has_the_names_of_the_ready_tools_for_editors_to_complete():
    schema = task_schema()
    completed = [
        schema["properties"]["tools"]["items"]["anyOf"],
        schema["$defs"]["ToolUse"]["properties"]["use"]["anyOf"],
        schema["$defs"]["Permission"]["properties"]["tool"]["anyOf"],
    ]
    assert [one[0] for one in completed] == [{"enum": list(ready_tools.NAMES)}] * 3
    own = "prompt: a\ntools: [./own.py:x, {use: ./own.py:y}]\npermissions: [{tool: 'x*', do: ask}]\nsandbox: auto"
    assert jsonschema.Draft202012Validator(schema).is_valid(yaml.safe_load(own))


@pytest.mark.parametrize(
    "text",
    ["promt: a", "prompt: a\nprompt_file: b", "name: a", "prompt: a\nlimits: {steps: many}", "prompt: a\ntools: x",
     "prompt: a\nsandbox: nonee"],
)  # fmt: skip
def test_the_schema_refuses_what_the_loader_refuses(text: str, tmp_path: Path):
    assert not jsonschema.Draft202012Validator(task_schema()).is_valid(yaml.safe_load(text))
    assert refusal(tmp_path, text)


def test_the_description_of_stream_tells_what_it_changes_and_when_to_turn_it_off():
    """It said only that the run decides by default."""
    text = task_schema()["$defs"]["TaskModel"]["properties"]["stream"]["description"]
    endpoint = Endpoint("http://127.0.0.1:8000/v1")
    text = " ".join(text.split())
    assert f"after {endpoint.idle_timeout_s:g} s without a new part" in text
    assert f"must be complete within {endpoint.first_byte_timeout_s:g} s" in text
    assert text.startswith("Replies are streamed unless this is false, or `agent doctor --url` found")
    assert "Use false for a server whose streams are broken" in text


def test_every_field_of_every_record_has_a_description_in_the_schema():
    """Those of Limits, Rung and Ladder had none: only the records of the task itself were checked."""
    schema = task_schema()
    records = {"Task": schema, **schema["$defs"]}
    assert {"Limits", "Rung", "Ladder", "CommandLimits", "Permission", "McpServer", "Verify"} < records.keys()
    without = [
        f"{name}.{key}"
        for name, record in records.items()
        for key, part in record.get("properties", {}).items()
        if not part.get("description", "").endswith(".")
    ]
    assert without == []
    assert "directory" not in schema["properties"]
    assert json.loads(json.dumps(schema)) == schema


def read(text: str) -> object:
    return read_document(text.encode(), path=Path("x")).value


def test_plain_scalars_follow_yaml_1_2():
    text = "[no, on, True, ~, '', 010, 0x1f, 1_000, 1.5, 1e3, .5, 1., .inf, 1:30, 2024-01-01, +3, '7', "
    text += "99999999999999999999]"
    assert read(text) == [
        "no",
        "on",
        True,
        None,
        "",
        "010",
        "0x1f",
        1000,
        1.5,
        1000.0,
        0.5,
        1.0,
        ".inf",
        "1:30",
        "2024-01-01",
        3,
        "7",
        "99999999999999999999",
    ]


def test_aliases_repeat_their_anchor():
    assert read("a: &a [1, 2]\nb: *a\nc: &c x\nd: *c") == {"a": [1, 2], "b": [1, 2], "c": "x", "d": "x"}


def test_each_key_and_list_item_has_its_line():
    document = read_document(b"\xef\xbb\xbfa:\n  - b\n  - c: |\n      text\n\nd: 1", path=Path("x"))

    assert document.lines == {("a",): 1, ("a", 0): 2, ("a", 1): 3, ("a", 1, "c"): 3, ("d",): 6}
    assert document.line(("a", 1, "no", "such")) == 3


YAML_PIECES = st.lists(
    st.sampled_from(
        [
            "prompt: ",
            "a",
            ": ",
            "- ",
            "\n",
            "  ",
            "&a ",
            "*a",
            "!!str ",
            "!t ",
            "{",
            "}",
            "[",
            "]",
            ", ",
            "? ",
            "| \n",
            "> \n",
            "'",
            '"',
            "\\",
            "---\n",
            "...\n",
            "%YAML 1.1\n",
            "%TAG ! x\n",
            "#",
            "1",
            "null",
            "\t",
            "\ufeff",
            "\u2028",
            "{{a}}",
            "tools: ",
            "limits: ",
            "ladder: ",
            "steps: ",
            "2M",
            "vars: ",
            "verify: ",
            "<<: ",
            "\\ud800",
            "\\U00110000",
        ]
    ),
    max_size=25,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(content=st.one_of(st.binary(max_size=60), YAML_PIECES.map(str.encode), st.text(max_size=40).map(str.encode)))
def test_no_content_raises_anything_but_a_config_error(content: bytes, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(content)
    with contextlib.suppress(ConfigError):
        assert load_task(path).rendered_prompt()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["use", "path", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = [name for name in Task.__dataclass_fields__ if name != "prompt_file"]


@settings(max_examples=200, deadline=None)
@given(
    data=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4),
    override=st.dictionaries(
        st.sampled_from([*KEYS, "limits.steps", "tools.0", "vars.", ".", "", "model.name.x", "x"]),
        st.text(max_size=5),
        max_size=2,
    ),
)
def test_no_value_or_override_raises_anything_but_a_config_error(
    data: dict, override: dict, tmp_path_factory: pytest.TempPathFactory
):
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_text(yaml.safe_dump(data | {"prompt": "x"}))
    with contextlib.suppress(ConfigError):
        load_task(path, override)


# Old names.


OLD = """\
prompt: hi
system: You are terse.
instructions: none
budgets: {steps: 7}
escalation: {rungs: [{effort: none}]}
"""


def test_old_names_of_keys_go_on_with_a_warning_each(tmp_path: Path):
    with pytest.warns(RenamedKey) as warned:
        task = load_task(write(tmp_path, OLD), {"budgets.tokens": "5k"})

    assert task == Task(
        name="task",
        prompt="hi",
        instructions="You are terse.",
        project_instructions="none",
        limits=Limits(steps=7, tokens=5_000),
        ladder=Ladder(rungs=(Rung(effort="none"),)),
        directory=tmp_path,
    )
    assert [str(one.message).partition(": ")[2] for one in warned] == [
        "`system` is now `instructions`; the old name works in this release only.",
        "`instructions` is now `project_instructions`; the old name works in this release only.",
        "`budgets` is now `limits`; the old name works in this release only.",
        "`escalation` is now `ladder`; the old name works in this release only.",
    ]


@pytest.mark.filterwarnings("ignore::agent.task.renamed.RenamedKey")
def test_a_mistake_below_an_old_key_has_its_line(tmp_path: Path):
    text = refusal(tmp_path, "prompt: hi\nbudgets:\n  steps: many\n")
    assert text.startswith("task.yaml:3: `limits.steps` must be a whole number")


def test_a_key_under_both_names_is_refused(tmp_path: Path):
    text = refusal(tmp_path, "prompt: hi\nlimits: {steps: 3}\nbudgets: {steps: 4}\n")
    assert text == "task.yaml:3: `budgets` is the old name of `limits`, and both are given. Keep `limits`."


def test_old_names_in_python_go_on_with_a_warning():
    with pytest.warns(DeprecationWarning, match=r"Task\(budgets=...\) is now limits="):
        task = Task(prompt="a", budgets=Limits(steps=7))  # pyright: ignore - the old name
    assert task.limits == Limits(steps=7)
