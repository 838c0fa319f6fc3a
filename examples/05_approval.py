"""A person approves what changes something; rules decide, never the model.

Run: python examples/05_approval.py [URL].
"""

import sys

from agent import Agent, ApprovalRequest, Permission, tool

BALANCE = {"savings": 500, "current": 20}


@tool(read_only=True)
def balance(account: str) -> int:
    """Return the balance of an account."""
    return BALANCE[account]


@tool
def transfer(source: str, target: str, amount: int) -> str:
    """Move money between two accounts."""
    BALANCE[source] -= amount
    BALANCE[target] += amount
    return f"moved {amount}"


RULES = [
    Permission(tool="transfer", match={"source": "savings"}, do="ask", why="it takes from the savings"),
    Permission(tool="transfer", do="allow"),
]


def ask(request: ApprovalRequest) -> bool:
    """Ask at the terminal; may also be async."""
    arguments = ", ".join(f"{name}={value}" for name, value in request.arguments.items())
    return input(f"{request.tool}({arguments}): {request.why}. Allow? [y/N] ").strip().lower() == "y"


def main(url: str) -> int:
    """Fill one account from another; return an exit code."""
    agent = Agent(url, tools=[balance, transfer], permissions=RULES, approve=ask)
    outcome = agent.run_sync("Fill the current account up to 100 from the savings.")
    print(f"{outcome.status}: {outcome.answer}\n{BALANCE}")
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ["http://127.0.0.1:8000/v1"]))
