"""A coding agent on a repository: it works in a copy, is verified by the tests, and shows its diff.

Run: python examples/02_coding_agent.py FOLDER [URL].
"""

import sys

from agent import Agent, Verify, runs_folder

TOOLS = ["list_files", "read_file", "search", "edit_file", "apply_diff", "run_tests", "run_shell", "diff"]


def main(folder: str, url: str = "http://127.0.0.1:8000/v1") -> int:
    """Make the tests of a folder pass; return an exit code."""
    agent = Agent(
        url,
        tools=TOOLS,
        workspace=folder,
        workspace_mode="copy",  # the folder itself stays as it is; `in_place` would change it
        verify=Verify(command="python -m pytest -q"),  # decides whether the work is done, not the model
        runs=runs_folder(),  # the journal: `agent show`, `agent diff` and `agent undo` find the run
    )
    outcome = agent.run_sync("The tests fail. Find the bug and fix it; do not change the tests.")
    print(f"{outcome.status} after {outcome.steps} steps: {outcome.answer}")
    print(outcome.diff())
    print(f"The changed copy: {outcome.workspace}")
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
