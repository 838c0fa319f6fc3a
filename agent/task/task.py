"""Define a task: what to do, where, with which tools and limits, how to verify it; reads only the files it lists."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast, get_type_hints

from pydantic import ConfigDict, JsonValue, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from ..choices import check_choice
from ..errors import ConfigError
from ..keywords import checked_keywords
from ..messages import Image
from ..model.settings import ModelSettings
from ..nearest import did_you_mean
from ..policy.limits import Limits, check_positive
from ..policy.permissions import Permission
from .mcp_server import McpServer
from .parts import (
    CONFIG,
    MergedLadder,
    ShortModel,
    ShortSandbox,
    ShortTool,
    ShortVerify,
    ShortWorkspace,
    TaskInputs,
    TaskModel,
    TaskOutput,
    TaskSandbox,
    TaskWorkspace,
    WrittenLimits,
    check_variable_name,
)
from .reading import read_image, read_text
from .renamed import RENAMED_KEYS
from .short_values import expanded, short_values
from .templates import VARIABLE_NAME, fill, placeholders

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .given_values import GivenValues

TASK_DIR = "AGENT_TASK_DIR"
"""Environment variable with the task file's folder; only `verify` gets it."""

SMALLEST_TASK = "prompt: Write the word hello into hello.txt.\ntools: [write_file]"

Texts = Annotated[
    Mapping[str, str],
    WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}),
]


@checked_keywords(renamed=RENAMED_KEYS, own_types=True)
@dataclass(frozen=True, kw_only=True)
class Task:
    r"""A task for an agent; `load_task` reads one from a file.

    In Python too, a value may have the form of the file: `Task(prompt="...", tools=["read_file"], workspace=".")`.

    Attributes:
        version: Version of the task format.
        name: Name of the task in lists of runs; the file's name by default.
        prompt: What to do. {{name}} is replaced by its value in `vars`; \{{name}} gives a literal {{name}}.
        prompt_file: A text file that holds the prompt, relative to the task file; give this or `prompt`.
        instructions: The system prompt, in place of the default one.
        project_instructions: `auto` adds the AGENTS.md (or else CLAUDE.md) nearest to the workspace to the default
            system prompt; `none` does not.
        vars: Values for {{name}} in the prompt; `--set name=value` overrides them.
        inputs: Files shown to the model from the start.
        workspace: The folder that the run works in, relative to the task file.
        model: The model and its server.
        model_settings: Temperature, seed and other settings of each request.
        tools: Tools that the model may call.
        mcp: MCP servers whose tools the model may call too; each tool's name begins with the server's name.
        ladder: How the run escalates after failures; the ladder of the model's profile by default.
        limits: Limits of the run; null means no limit.
        verify: The command that decides whether the task is done; without one, the model decides. Only this command
            gets $AGENT_TASK_DIR, the folder of the task file.
        sandbox: The sandbox for commands; only an explicit `none` turns it off.
        permissions: Which calls are allowed, need a person's approval, or are denied; the first matching rule wins.
            With `sandbox: none`, destructive commands need approval unless a rule says otherwise.
        output: The form of the final answer, and the file it is written to.
        env: Environment variables for tools and for `verify`. {{name}} is replaced by its value in `vars`, so that a
            command can use the value without quoting problems.
        env_from: Names of variables passed through from the environment of `agent run`; others are withheld, except for
            a few such as PATH and HOME.
        secret_files: Files, relative to the task file, whose values are hidden from the model and the journal: the
            value of each `NAME=value`, each value in JSON or YAML, each line of any other file. The model can still use
            the values through commands that can read the files.
        directory: The folder that holds the task file; relative paths start here.
    """

    __pydantic_config__: ClassVar[ConfigDict] = CONFIG

    version: Literal[1] = 1
    name: Annotated[str, WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_.-]+$"})] = "task"
    prompt: str | None = None
    prompt_file: str | None = None
    instructions: str | None = None
    project_instructions: Literal["auto", "none"] = "auto"
    vars: Texts = field(default_factory=dict[str, str])
    inputs: TaskInputs = field(default_factory=TaskInputs)
    workspace: ShortWorkspace = field(default_factory=TaskWorkspace)
    model: ShortModel = field(default_factory=TaskModel)
    model_settings: ModelSettings = field(default_factory=ModelSettings)
    tools: tuple[ShortTool, ...] = ()
    mcp: Mapping[str, McpServer] = field(default_factory=dict[str, McpServer])
    ladder: MergedLadder = None
    limits: WrittenLimits = field(default_factory=Limits)
    verify: ShortVerify = None
    sandbox: ShortSandbox = field(default_factory=TaskSandbox)
    permissions: tuple[Permission, ...] = ()
    output: TaskOutput = field(default_factory=TaskOutput)
    env: Texts = field(default_factory=dict[str, str])
    env_from: tuple[str, ...] = ()
    secret_files: tuple[str, ...] = ()
    directory: SkipJsonSchema[Path] = Path()
    file: ClassVar[Path | None] = None  # set by `load_task`, and no key of a task

    if TYPE_CHECKING:  # `__post_init__` converts what a task file may hold

        def __init__(self, **values: Unpack[GivenValues]) -> None: ...

    def __post_init__(self) -> None:
        check_choice(self.project_instructions, ("auto", "none"), key="project_instructions")
        hints = _hints()
        for name in short_values(vars(self), hints):
            object.__setattr__(self, name, expanded(name, getattr(self, name), hints[name]))
        self._check_prompt()
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", self.name):
            msg = f"`name` may contain letters, digits, dot, dash and underscore, got {self.name!r}. Choose another."
            raise ConfigError(msg, key="name")
        for name in self.vars:
            if not VARIABLE_NAME.fullmatch(name):
                msg = f"The variable {name!r} cannot be used in {{{{ }}}}. Use letters, digits and _ in its name."
                raise ConfigError(msg, key=f"vars.{name}")
        for name in self.env:
            _check_variable(name, key=f"env.{name}")
        for index, name in enumerate(self.env_from):
            _check_variable(name, key=f"env_from[{index}]")
        for limit in fields(self.limits):
            check_positive(cast("float | None", getattr(self.limits, limit.name)), key=f"limits.{limit.name}")

    def path(self, relative: str) -> Path:
        """Return the absolute path of a path relative to the task file; it need not exist."""
        return (self.directory / relative).absolute()

    def rendered_prompt(self) -> str:
        """Return the first user message: the prompt with its values filled in, then the input files.

        Raises:
            ConfigError: a file cannot be read as text or is too large, or a {{name}} has no value.
        """
        parts = [self._filled_prompt()]
        for index, name in enumerate(self.inputs.files):
            content = self._read(name, key=f"inputs.files[{index}]")
            ticks = max((len(run) for run in re.findall("`{3,}", content)), default=2) + 1
            fence = "`" * max(3, ticks)
            parts.append(f"File {name}:\n{fence}\n{content.rstrip()}\n{fence}")
        return "\n\n".join(parts)

    def images(self) -> tuple[Image, ...]:
        """Read the input images.

        Raises:
            ConfigError: a file cannot be read, is too large, or does not have the name of an image.
        """
        workspace = self.path(self.workspace.path)
        return tuple(
            read_image(self.path(name), key=f"inputs.images[{index}]", workspace=workspace)
            for index, name in enumerate(self.inputs.images)
        )

    def output_schema(self) -> dict[str, JsonValue] | None:
        """Return the JSON Schema of the answer. None means that the answer is text.

        Raises:
            ConfigError: the file cannot be read, or does not contain a JSON Schema of an object.
        """
        schema, key = self.output.schema, "output.schema"
        if isinstance(schema, str):
            file = self.path(schema)
            try:
                schema = cast("dict[str, JsonValue]", json.loads(self._read(schema, key=key)))
            except json.JSONDecodeError as error:
                msg = f"The schema is not valid JSON: {error.msg}. Correct it."
                raise ConfigError(msg, path=file, line=error.lineno, key=key) from error
        if schema is None:
            return None
        import jsonschema  # takes 0.07 s; only needed for a task with a schema

        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            msg = f"`{key}` is not a valid JSON Schema at {error.json_path}: {error.message}"
            raise ConfigError(msg, key=key) from error
        if not isinstance(cast("object", schema), dict) or schema.get("type") != "object":
            msg = f'`{key}` must describe an object. Add "type": "object" to it.'
            raise ConfigError(msg, key=key)
        return schema

    def workspace_folder(self) -> Path:
        """Return the absolute path of the folder that the run works in.

        Raises:
            ConfigError: it does not exist and `create` is not set, or it is not a folder.
        """
        folder = self.path(self.workspace.path)
        if folder.is_dir() or (self.workspace.create and not folder.exists()):
            return folder
        if folder.exists():
            msg = f"The workspace {str(folder)!r} is not a folder. Give the folder that the run may change."
        elif (mode := self.workspace.mode) in {"copy", "worktree"}:
            msg = f"The workspace {str(folder)!r} does not exist. Give an existing folder to make the {mode} from."
        else:
            msg = (
                f"The workspace {str(folder)!r} does not exist. Create the folder, or let the run create it: "
                f"workspace: {{path: {self.workspace.path}, create: true}}."
            )
        raise ConfigError(msg, key="workspace")

    def _check_prompt(self) -> None:
        if self.prompt is not None and self.prompt_file is not None:
            raise ConfigError("`prompt` and `prompt_file` are both given. Keep one.", key="prompt_file")
        if self.prompt is None and self.prompt_file is None:
            msg = f"The task does not say what to do: `prompt` is missing. The smallest task is:\n{SMALLEST_TASK}"
            raise ConfigError(msg)
        if self.prompt is not None and not self.prompt.strip():
            msg = f"`prompt` is empty. Say what to do; the smallest task is:\n{SMALLEST_TASK}"
            raise ConfigError(msg, key="prompt")

    def filled_env(self) -> dict[str, str]:
        """Return `env` with its placeholders filled in.

        Raises:
            ConfigError: a {{name}} has no value.
        """
        return {name: self._filled(value, key=f"env.{name}") for name, value in self.env.items()}

    def verify_env(self) -> dict[str, str]:
        """Return the environment variables for `verify` alone; it may use files that the model does not see."""
        return {TASK_DIR: str(self.directory.absolute())}

    def _read(self, name: str, *, key: str) -> str:
        return read_text(self.path(name), key=key, workspace=self.path(self.workspace.path))

    def _filled_prompt(self) -> str:
        if self.prompt_file is None:
            return self._filled(self.prompt or "", key="prompt").strip()
        file = self.path(self.prompt_file)
        return self._filled(self._read(self.prompt_file, key="prompt_file"), key="prompt_file", file=file).strip()

    def _filled(self, text: str, *, key: str, file: Path | None = None) -> str:
        for place in placeholders(text):
            if place.name not in self.vars:
                msg = (
                    f"{{{{{place.name}}}}} in `{key}` has no value.{did_you_mean(place.name, self.vars)} Give one "
                    f"under `vars:` or with --set {place.name}=...; to keep the braces, write \\{{{{{place.name}}}}}."
                )
                raise ConfigError(msg, path=file, line=place.line if file else None, key=key)
        return fill(text, self.vars)


def _check_variable(name: str, *, key: str) -> None:
    check_variable_name(name, key=key)
    if name == TASK_DIR:
        msg = f"`{key}`: {TASK_DIR} is set by the run itself, for `verify` only. Choose another name."
        raise ConfigError(msg, key=key)


@functools.cache
def _hints() -> Mapping[str, object]:
    return get_type_hints(Task, include_extras=True)
