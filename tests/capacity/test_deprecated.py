"""The old form of plan(); delete together with serving/capacity/deprecated.py."""

import re
from typing import Any

import pytest

from serving import PlanOptions, plan
from serving.capacity.planner import find_model

# Type checkers accept only the new form.
OLD_PLAN: Any = plan
POCKET = find_model("pocket")


def nothing_measured(_: object) -> None:
    return None


@pytest.mark.parametrize(
    ("model", "options", "shown"),
    [
        (
            ("pocket",),
            {"gpus": "cpu", "max_model_len": 4096, "draft": None, "enforce_eager": True},
            "PlanOptions(model='pocket', gpus='cpu', max_model_len=4096, draft=None, enforce_eager=True)",
        ),
        ((), {"model": POCKET, "gpus": "cpu"}, "PlanOptions(model=..., gpus='cpu')"),
        (
            (),
            {"gpus": "h100:4", "gpu_memory_utilization": 0.9, "measured": nothing_measured},
            "PlanOptions(gpus='h100:4', gpu_memory_utilization=0.9), measured=...",
        ),
    ],
)
def test_the_old_form_gives_the_same_plan_and_a_warning_with_the_new_form(
    model: tuple[str, ...], options: dict[str, Any], shown: str
):
    message = (
        "plan() with one argument per option is deprecated and will be removed in the next release. "
        f"Write: from serving import PlanOptions, plan; plan({shown})"
    )
    with pytest.warns(DeprecationWarning, match=f"^{re.escape(message)}$") as caught:
        found = OLD_PLAN(*model, **options)

    fields = dict(zip(["model"], model, strict=False)) | {k: v for k, v in options.items() if k != "measured"}
    assert found == plan(PlanOptions(**fields))
    assert [warning.filename for warning in caught] == [__file__]
