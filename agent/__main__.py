"""Run the `agent` command as `python -m agent`; imports nothing from the current folder, where a run may write.

Python itself has imported `runpy` and what that needs from there before; `python -P -m agent` and the installed
command `agent` never do.
"""

import os
import sys


def _leave_current_folder() -> None:
    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib would be imported from the current folder
    except OSError:  # it was removed
        return
    if sys.flags.safe_path or sys.path[0] != here:
        return
    del sys.path[0]
    if __file__ == f"{here}/{__package__}/__main__.py":
        sys.path.append(here)  # a checkout that is not installed


def _run() -> int:
    _leave_current_folder()
    from .cli import main

    return main()


sys.exit(_run())
