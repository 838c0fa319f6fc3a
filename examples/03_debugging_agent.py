"""A debugging agent: it stops a program where it fails and looks at the values. It changes nothing.

Run: python examples/03_debugging_agent.py FOLDER "python program.py" [URL]. Needs the extra `coding`.
"""

import sys

from pydantic import BaseModel

from agent import Agent, ready_tools


class Cause(BaseModel):
    """Why the program fails."""

    file: str
    line: int
    explanation: str


def main(folder: str, command: str, url: str = "http://127.0.0.1:8000/v1") -> int:
    """Find out why a command fails; return an exit code."""
    agent = Agent(
        url,
        tools=[
            ready_tools.read_file, ready_tools.search, ready_tools.run_shell, ready_tools.debug_start,
            ready_tools.debug_resume, ready_tools.debug_look, ready_tools.debug_evaluate, ready_tools.debug_stop,
        ],
        output_type=Cause,
        workspace=folder,
        workspace_mode="copy",
    )  # fmt: skip
    outcome = agent.run_sync(f"`{command}` fails. Find the cause with the debugger; do not fix it.")
    if not outcome.ok:
        print(f"{outcome.status}: {outcome.reason}")
        return outcome.exit_code
    cause = outcome.output
    print(f"{cause.file}:{cause.line}: {cause.explanation}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
