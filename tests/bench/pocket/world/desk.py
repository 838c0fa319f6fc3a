"""Carry out the calls of a made-up conversation for real: the project's own tools, and pytest; keeps their results."""

import asyncio
import json
from collections.abc import Mapping, Sequence

from pocket.exchange import Arguments, Call
from pocket.world.projects import Project
from pocket.world.running import Runner

from agent.loop.verify import Verification
from agent.loop.verify import feedback as verify_feedback
from agent.loop.window import summary
from agent.messages import AssistantMessage, Message, RawCall, ToolCall, ToolResult
from agent.parsing.feedback import feedback
from agent.parsing.validation import InvalidCall, check
from agent.tooling.execute import execute
from agent.tooling.tool import Tool, ToolContext
from agent.tooling.toolbox import Toolbox
from tools import files, search, shell

OWN_TOOLS: tuple[Tool, ...] = (
    files.list_files, files.read_file, files.write_file, files.edit_file, search.search, shell.run_shell,
)  # fmt: skip


class Desk:
    """One project at work."""

    def __init__(self, runner: Runner, project: Project) -> None:
        self._runner = runner
        self._project = project
        self._toolbox = Toolbox(OWN_TOOLS)
        self._loop = asyncio.new_event_loop()
        self.folder = runner.put(project.files)

    def close(self) -> None:
        """End the loop that the tools run on."""
        self._loop.close()

    def begin_again(self) -> None:
        """Put the project back to its start."""
        self.folder = self._runner.put(self._project.files)

    def put(self, source: str) -> None:
        """Let the faulty function have this source."""
        text = self._project.with_source(source)
        (self.folder / self._project.path).write_text(text, encoding="utf-8")

    def text(self) -> str:
        """Return the module with the bug as it is now."""
        return (self.folder / self._project.path).read_text(encoding="utf-8")

    def tests(self, command: str, *, passing: bool) -> Call:
        """Run the tests; the result is worded as run_shell words it.

        Args:
            command: as the model gives it.
            passing: they are known to pass; of so many tests that is run and printed once.
        """
        count = sum(text.count("def test_") for path, text in self._project.files.items() if "test_" in path)
        printed, code = self._runner.pytest(self.folder, known=f"{count} tests" if passing else "")
        return Call(name="run_shell", arguments={"command": command}, result=_shown(printed, code))

    def call(self, name: str, arguments: Arguments) -> Call:
        """Call one of the other tools, also in a way that it refuses."""
        raw = RawCall(name=name, arguments=json.dumps(arguments))
        checked = check(raw, self._toolbox, call_id="call00000")
        if isinstance(checked, InvalidCall):
            told = feedback(checked, attempt=1, same_as_before=False, toolbox=self._toolbox)
            return Call(name=checked.call.name, arguments=json.loads(checked.call.arguments), result=told)
        context = ToolContext[None](workspace=self.folder, state=None)
        done = self._loop.run_until_complete(
            execute(checked.call, checked.tool, checked.value, context, spill_dir=None)
        )  # fmt: skip
        return Call(name=name, arguments=arguments, result=done.result.content)

    def verification(self, attempt: int) -> str:
        """Run the hidden tests, and word their failure as a run does."""
        hidden = self._runner.folder / "hidden"
        hidden.mkdir(exist_ok=True)
        for path, text in self._project.hidden.items():
            (hidden / path).write_text(text, encoding="utf-8")
        printed, code = self._runner.pytest(hidden, beside=self.folder)
        for path in self._project.hidden:
            (hidden / path).unlink()
        assert code == 1, "there is something to tell"
        found = Verification(
            command=VERIFY, ok=False, exit_code=code, output=printed.rstrip(), elapsed_s=0.3
        )  # fmt: skip
        return verify_feedback(found, attempt=attempt, attempts=3)

    def summary(self, calls: Sequence[Call], reason: str) -> str:
        """Tell a fresh start what these calls tried."""
        messages: list[Message] = []
        for number, call in enumerate(calls):
            made = ToolCall(id=f"call{number:05d}", name=call.name, arguments=json.dumps(call.arguments))
            messages.append(AssistantMessage(content="", tool_calls=(made,)))
            status = "error" if call.result.startswith("Error: ") else "ok"
            messages.append(ToolResult(tool_call_id=made.id, name=call.name, content=call.result, status=status))
        return summary(messages, reason=reason, restored=True)


VERIFY = 'cd "$AGENT_TASK_DIR/hidden" && PYTHONPATH="$OLDPWD" python -m pytest -q'
"""How a task checks the work with tests that the model is not shown."""


def definitions() -> Mapping[str, Arguments]:
    """Return the definitions of the project's tools by name, in their usual order."""
    return {tool.name: tool.definition() for tool in OWN_TOOLS}


def _shown(printed: str, code: int) -> str:
    # As tools.shell words it; the fork runs pytest in its place, to spare the start of an interpreter each time.
    return printed if code == 0 else f"{printed}{'' if printed.endswith(chr(10)) else chr(10)}exit code {code}"
