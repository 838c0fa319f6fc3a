"""A line for each branch, when it begins, when it ends and when it is taken."""

import io

from agent.journal.branch_events import Branch, BranchEnded, BranchesStarted, BranchTaken
from agent.policy.branches import BranchPlan
from agent.policy.budget import Spent
from agent.view.live import LiveView

SPENT = Spent(prompt_tokens=12_000, output_tokens=345)


def test_the_view_has_a_line_per_branch():
    out = io.StringIO()
    view = LiveView(out, color=False)
    branches = (
        Branch(run="go-b1", plan=BranchPlan(effort="high", temperature=None, reads="nothing")),
        Branch(run="go-b2", plan=BranchPlan(effort=None, temperature=0.7, reads="tried")),
    )
    view.show(BranchesStarted(step=9, branches=branches, summary="..."))
    view.show(BranchEnded(run="go-b1", status="verified", reason="passed", steps=1, spent=SPENT))
    view.show(BranchEnded(run="go-b2", status="interrupted", reason="stopped", steps=12, spent=SPENT))
    view.show(BranchTaken(run="go-b1", changed=("a",), patch="p.diff", conflicts=("b",), answer="Done."))
    assert out.getvalue().splitlines() == [
        "  branch    2 new attempts at once, each from the start",
        "  branch    go-b1: effort high, knows only the task",
        "  branch    go-b2: temperature 0.7, knows what was tried",
        "  branch    go-b1 ended as verified after 1 step, 12,000 prompt and 345 output tokens",
        "  branch    go-b2 ended as interrupted after 12 steps, 12,000 prompt and 345 output tokens: stopped",
        "  branch    took go-b1: a; the changes before are in p.diff; not taken, as something else changed them: b",
    ]
