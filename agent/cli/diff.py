"""`agent diff`: show everything that a run changed in its workspace."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping

from .runs_option import add_runs_option, chosen_runs

_HOLDS_SECRETS = re.compile(
    r"(?:.*/)?(?:[^/]*\.env|\.env\.(?!example|sample|template|dist)[\w-]+|\.envrc|\.netrc|\.pgpass|\.pypirc|\.npmrc"
    r"|credentials(?:\.json)?|secrets?\.(?:ya?ml|json|toml|env))"
)
"""Paths of files whose values are not shown, whether or not a task lists them as secret."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent diff`."""
    parser.add_argument("run", help="The run's name, a prefix of it, or `last`.")
    add_runs_option(parser)
    parser.add_argument("--names", action="store_true", help="Print only the paths, each with the kind of change.")
    parser.add_argument(
        "--raw",
        action="store_true",
        help="Print secrets, and characters that could control a terminal, as they are, so that the patch applies.",
    )


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    import os
    import sys

    from ..journal.runs import first_event
    from ..task.recorded import recorded_secrets
    from ..tooling.redaction import redacted
    from ..view.clean_output import unclean
    from ..view.text import visible
    from ..workspace.recorded_run import in_patch_order, recorded_run

    changed = recorded_run(chosen_runs(args), args.run)
    changes = changed.workspace.diff(changed.snapshot, max_chars=0 if args.names else sys.maxsize)
    first = first_event(changed.folder)
    known = recorded_secrets({} if first is None else first.task, os.environ)
    # What a run wrote must not control a terminal, which may also be the other end of a pipe.
    clean = visible if sys.stdout.isatty() else _visible_patch

    def shown(text: str, path: str) -> str:
        return text if args.raw else clean(redacted(text, {**known, **_values(text, path)}))

    replaced = False
    for change in in_patch_order(changes):
        text = change.line if args.names else change.text
        as_shown = shown(text, change.path)
        replaced = replaced or as_shown != text
        print(as_shown, file=unclean(sys.stdout))  # --raw is exact
    if replaced and not args.names:
        note = (
            "Secrets are shown as [secret NAME], and characters that could control a terminal as \ufffd. For a patch: "
            f"agent diff {args.run} --raw"
        )
        print(note, file=sys.stderr)
    if not changes:
        print(f"The workspace is the same as before run {changed.run}.")
    return 0


def _values(diff: str, path: str) -> Mapping[str, str]:
    """Return the values by name that the diff of a file such as .env shows. Empty for other files."""
    from ..tooling.redaction import secrets_of_file

    if not _HOLDS_SECRETS.fullmatch(path):
        return {}
    _, _, lines = diff.partition("\n@@")
    return secrets_of_file("\n".join(line[1:] for line in lines.split("\n")[1:]), path)


def _visible_patch(text: str) -> str:
    """Return the text without characters that control a terminal; the line ends of Windows stay, as git needs them."""
    from ..view.text import visible

    return "\r\n".join(map(visible, text.split("\r\n")))
