"""Execute a generated conversation's calls on a real project: with the project's own tools and pytest."""

import asyncio
import json
from collections.abc import Mapping, Sequence

from pocket.exchange import Arguments, Call
from pocket.world.projects import Project
from pocket.world.pytest_runner import PytestRunner

from agent import Verify
from agent.loop.summary import trained_summary
from agent.loop.verify import Verification
from agent.loop.verify import feedback as verify_feedback
from agent.messages import AssistantMessage, Message, RawCall, ToolCall, ToolResult
from agent.parsing.feedback import feedback
from agent.parsing.validation import InvalidCall, check
from agent.tooling.context import ToolContext
from agent.tooling.execute import execute
from agent.tooling.tool import Tool
from agent.tooling.toolbox import Toolbox
from tools import files, search, shell

OWN_TOOLS: tuple[Tool, ...] = tuple(
    tool.for_family("pocket")
    for tool in (
        files.list_files, files.read_file, files.write_file, files.edit_file, search.search, shell.run_shell,
    )
)  # fmt: skip


class LiveProject:
    """One project on disk, with the tools that work on it."""

    def __init__(self, runner: PytestRunner, project: Project) -> None:
        self._runner = runner
        self._project = project
        self._toolbox = Toolbox(OWN_TOOLS)
        self._loop = asyncio.new_event_loop()
        self.folder = runner.put(project.files)

    def close(self) -> None:
        """Close the event loop that runs the tools."""
        self._loop.close()

    def reset(self) -> None:
        """Restore the project's initial files."""
        self.folder = self._runner.put(self._project.files)

    def set_source(self, source: str) -> None:
        """Replace the faulty function's source."""
        text = self._project.with_source(source)
        (self.folder / self._project.path).write_text(text, encoding="utf-8")

    def text(self) -> str:
        """Return the current text of the module with the bug."""
        return (self.folder / self._project.path).read_text(encoding="utf-8")

    def run_tests(self, command: str, *, passing: bool) -> Call:
        """Run the tests; the result has the form of a run_shell result.

        Args:
            command: as the model writes it.
            passing: whether the tests are known to pass; if so, reuse the output of a run with as many tests.
        """
        count = sum(text.count("def test_") for path, text in self._project.files.items() if "test_" in path)
        printed, code = self._runner.pytest(self.folder, known=f"{count} tests" if passing else "")
        return Call(name="run_shell", arguments={"command": command}, result=_as_shell_result(printed, code))

    def call(self, name: str, arguments: Arguments) -> Call:
        """Call one of the other tools; an invalid call returns the feedback of a real run."""
        raw = RawCall(name=name, arguments=json.dumps(arguments))
        checked = check(raw, self._toolbox, call_id="call00000")
        if isinstance(checked, InvalidCall):
            text = feedback(checked, attempt=1, same_as_before=False, toolbox=self._toolbox)
            return Call(name=checked.call.name, arguments=json.loads(checked.call.arguments), result=text)
        context = ToolContext[None](workspace=self.folder)
        done = self._loop.run_until_complete(
            execute(checked.call, checked.tool, checked.value, context, spill_dir=None)
        )  # fmt: skip
        return Call(name=name, arguments=arguments, result=done.result.content)

    def verification(self, attempt: int) -> str:
        """Run the hidden tests, which must fail, and return the feedback of a real run."""
        hidden = self._runner.folder / "hidden"
        hidden.mkdir(exist_ok=True)
        for path, text in self._project.hidden.items():
            (hidden / path).write_text(text, encoding="utf-8")
        printed, code = self._runner.pytest(hidden, modules=self.folder)
        for path in self._project.hidden:
            (hidden / path).unlink()
        assert code == 1, "the hidden tests fail"
        found = Verification(
            command=VERIFY, ok=False, exit_code=code, output=printed.rstrip(), elapsed_s=0.3
        )  # fmt: skip
        return verify_feedback(found, Verify(command=VERIFY, attempts=3), attempt=attempt)

    def summary(self, calls: Sequence[Call], reason: str) -> str:
        """Return the summary of these calls that a fresh context starts with."""
        messages: list[Message] = []
        for number, call in enumerate(calls):
            made = ToolCall(id=f"call{number:05d}", name=call.name, arguments=json.dumps(call.arguments))
            messages.append(AssistantMessage(content="", tool_calls=(made,)))
            status = "error" if call.result.startswith("Error: ") else "ok"
            messages.append(ToolResult(tool_call_id=made.id, name=call.name, content=call.result, status=status))
        return trained_summary(messages, reason=reason, restored=True)


VERIFY = 'cd "$AGENT_TASK_DIR/hidden" && PYTHONPATH="$OLDPWD" python -m pytest -q'
"""A task's verification command, with tests hidden from the model."""


def definitions() -> Mapping[str, Arguments]:
    """Return the definitions of the project's tools by name, in their usual order."""
    return {tool.name: tool.definition() for tool in OWN_TOOLS}


def _as_shell_result(printed: str, code: int) -> str:
    # The format of tools.shell; pytest runs in this process instead, which saves an interpreter start each time.
    return printed if code == 0 else f"{printed}{'' if printed.endswith(chr(10)) else chr(10)}exit code {code}"
