"""Accept the old form of plan(), one argument per option, for one more release; then delete this file."""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

from .sizing import Plan, PlanOptions

_Planner = TypeVar("_Planner", bound=Callable[..., Plan])


def accept_old_form(plan: _Planner) -> _Planner:
    """Build `PlanOptions` from the arguments of an old call, with a DeprecationWarning at the caller's line.

    Type checkers accept only the new form.
    """
    build = cast("Callable[..., PlanOptions]", PlanOptions)

    @wraps(plan)
    def accept_both(options: object = None, *, measured: object = None, **given: object) -> Plan:
        if isinstance(options, PlanOptions):
            return plan(options, measured=measured, **given)
        made = build(**given) if options is None else build(model=options, **given)
        named = given if options is None else {"model": options, **given}
        warnings.warn(_message(named, measured), DeprecationWarning, stacklevel=2)
        return plan(made, measured=measured)

    return cast("_Planner", accept_both)


def _message(given: dict[str, object], measured: object) -> str:
    fields = ", ".join(f"{name}={_shown(value)}" for name, value in given.items())
    look_up = "" if measured is None else ", measured=..."
    return (
        "plan() with one argument per option is deprecated and will be removed in the next release. Write: "
        f"from serving import PlanOptions, plan; plan(PlanOptions({fields}){look_up})"
    )


def _shown(value: object) -> str:
    """Format a value as source text; a record, which would fill a screen, becomes `...`."""
    return repr(value) if value is None or isinstance(value, str | int | float) else "..."
