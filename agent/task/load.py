"""Read a task file into a Task; all mistakes are reported at once, each with its line and key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import cast

from pydantic import JsonValue, TypeAdapter, ValidationError

from ..errors import ConfigError
from ..sandbox.beneath import open_named
from .overrides import Overridden, apply_overrides
from .problems import mistakes, text_paths, unknown_key
from .renamed import with_new_keys
from .task import SMALLEST_TASK, Task
from .templates import placeholders
from .yaml_lines import Document, KeyPath, Problem, read_document

MAX_TASK_BYTES = 1024 * 1024
_NONE: Mapping[str, str] = MappingProxyType({})


def load_task(path: str | Path, overrides: Mapping[str, str] = _NONE) -> Task:
    """Read and check a task file and every file it refers to.

    Args:
        path: a YAML file of at most 1 MiB.
        overrides: values that replace those in the file: text for variables, YAML scalars for dotted keys such as
            `limits.steps`.

    Raises:
        ConfigError: the file, an override, or a file they refer to is wrong. The message lists all mistakes; the
            attributes describe the first.
    """
    if not isinstance(cast("object", path), str | Path):
        msg = f"`path` is {path!r}, of type {type(path).__name__}. Give the path of a task file, such as `task.yaml`."
        raise ConfigError(msg, key="path")
    path = Path(path)
    content = _content(path)
    document = read_document(content, path=path)
    if not isinstance(document.value, dict):
        problem = "The file is empty" if document.value is None else "A task must be a mapping of keys to values"
        raise ConfigError(f"{problem}. The smallest task is:\n{SMALLEST_TASK}", path=path, line=1)
    try:
        data, old = with_new_keys(document.value, where=str(path))
    except ConfigError as error:
        raise ConfigError(error.problem, path=path, line=document.line((error.key or "",)), key=error.key) from error
    overridden = apply_overrides(data, overrides)
    source = content.decode("utf-8-sig")
    task = _Loading(path=path, source=source, document=document, overridden=overridden, old=old).task()
    object.__setattr__(task, "file", path.absolute())
    return task


@cache
def task_adapter() -> TypeAdapter[Task]:
    """Return pydantic's adapter for Task; built at first use, since that takes some milliseconds."""
    return TypeAdapter(Task)


def _content(path: Path) -> bytes:
    try:
        with open_named(path) as file:
            content = file.read(MAX_TASK_BYTES + 1)
    except OSError as error:
        msg = f"Cannot read the task file: {error.strerror}. Give the path of a YAML file."
        raise ConfigError(msg, path=path) from error
    if len(content) > MAX_TASK_BYTES:
        msg = f"The file is larger than {MAX_TASK_BYTES} bytes, the limit for a task. Keep data in separate files."
        raise ConfigError(msg, path=path)
    return content


class _Loading:
    def __init__(
        self, *, path: Path, source: str, document: Document, overridden: Overridden, old: Mapping[str, str]
    ) -> None:
        self._path = path
        self._source = source.splitlines()
        self._document = document
        self._overridden = overridden
        self._old = old
        self._problems = list(document.problems)
        refused = overridden.refused.items()
        self._problems += [Problem(line=None, key="", text=f"{shown}: {text}") for shown, text in refused]

    def task(self) -> Task:
        data = dict(self._overridden.data)
        if "directory" in data:  # a field of Task, but not a key of the file
            data.pop("directory")
            self._add(("directory",), unknown_key(("directory",)).text)
        data.setdefault("name", re.sub(r"[^A-Za-z0-9_.-]+", "-", self._path.stem))
        data["directory"] = str(self._path.absolute().parent)
        task = self._validated(data)
        if task is not None:
            self._check(task)
        if self._problems or task is None:
            raise _combined(self._problems, self._path)
        return task

    def _validated(self, data: dict[str, JsonValue]) -> Task | None:
        try:
            return self._strict(data)
        except ValidationError as error:
            # Where text is expected, a number becomes the text as written: `vars: {version: 1.10}`.
            written = {path: text for path in text_paths(error) if (text := self._written(path)) is not None}
            data = cast("dict[str, JsonValue]", _replaced(data, written, ()))
        except ConfigError as error:
            self._add_error(error)
            return None
        try:
            return self._strict(data)
        except ValidationError as error:
            for mistake in mistakes(error, data):
                self._add(mistake.path, mistake.text)
        except ConfigError as error:
            self._add_error(error)
        return None

    def _strict(self, data: Mapping[str, JsonValue]) -> Task:
        # Through JSON: only there does pydantic's strict mode accept a list for a tuple.
        return task_adapter().validate_json(json.dumps(data), strict=True)

    def _written(self, path: KeyPath) -> str | None:
        shown = self._overridden.written.get(path)
        return self._document.texts.get(self._in_file(path)) if shown is None else shown.partition("=")[2]

    def _check(self, task: Task) -> None:
        checks: tuple[Callable[[], object], ...] = (
            task.rendered_prompt,
            task.filled_env,
            task.images,
            task.workspace_folder,
            task.output_schema,
        )
        for check in checks:
            try:
                check()
            except ConfigError as error:
                self._add_error(error)

    def _add_error(self, error: ConfigError) -> None:
        path = _path_of(error.key or "")
        if error.path is not None:  # the mistake is in a file that the task refers to
            self._add(path, str(error))
        elif error.key == "prompt" and (line := self._prompt_line(error.problem)) is not None:
            self._problems.append(Problem(line=line, key="prompt", text=error.problem))
        else:
            self._add(path, error.problem)

    def _prompt_line(self, problem: str) -> int | None:
        named = placeholders(problem)
        if ("prompt",) in self._overridden.written:
            return None
        start = self._document.line(("prompt",))
        for line, text in enumerate(self._source[start - 1 :], start=start):
            if named and any(place.name == named[0].name for place in placeholders(text)):
                return line
        return None

    def _add(self, path: KeyPath, text: str) -> None:
        key = ".".join(str(part) for part in path)
        for place, shown in self._overridden.written.items():
            if path[: len(place)] == place:
                self._problems.append(Problem(line=None, key=key, text=f"{shown}: {text}"))
                return
        self._problems.append(Problem(line=self._document.line(self._in_file(path)), key=key, text=text))

    def _in_file(self, path: KeyPath) -> KeyPath:
        """Return the path as the file has it, which may begin with an old name."""
        return (self._old.get(str(path[0]), path[0]), *path[1:]) if path else path


def _replaced(value: JsonValue, texts: Mapping[KeyPath, str], at: KeyPath) -> JsonValue:
    if at in texts:
        return texts[at]
    if isinstance(value, dict):
        return {key: _replaced(item, texts, (*at, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, texts, (*at, index)) for index, item in enumerate(value)]
    return value


def _path_of(key: str) -> KeyPath:
    parts = re.findall(r"[^.\[\]]+", key)
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def _combined(problems: list[Problem], path: Path) -> ConfigError:
    ordered = sorted(problems, key=lambda problem: (problem.line is None, problem.line or 0))
    first, *rest = ordered
    others = "".join(f"\n{_placed(problem, path)}" for problem in rest)
    place = None if first.line is None else path
    return ConfigError(first.text + others, path=place, line=first.line, key=first.key or None)


def _placed(problem: Problem, path: Path) -> str:
    return problem.text if problem.line is None else f"{path}:{problem.line}: {problem.text}"
