"""`agent diff`: show everything that a run changed in its workspace."""

from __future__ import annotations

import argparse

from .runs_option import add_runs_option, chosen_runs


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
    secrets = recorded_secrets({} if first is None else first.task, os.environ)
    # What a run wrote must not control a terminal, which may also be the other end of a pipe.
    clean = visible if sys.stdout.isatty() else _visible_patch

    def shown(text: str) -> str:
        return text if args.raw else clean(redacted(text, secrets))

    replaced = False
    for change in in_patch_order(changes):
        listed = f"{change.kind:8} {change.path}"
        text = listed if args.names else change.diff if change.has_text else f"{listed}  {change.diff}"
        replaced = replaced or shown(text) != text
        print(shown(text), file=unclean(sys.stdout))  # --raw is exact
    if replaced and not args.names:
        note = (
            "Secrets are shown as [secret NAME], and characters that could control a terminal as \ufffd. For a patch: "
            f"agent diff {args.run} --raw"
        )
        print(note, file=sys.stderr)
    if not changes:
        print(f"The workspace is the same as before run {changed.run}.")
    return 0


def _visible_patch(text: str) -> str:
    """Return the text without characters that control a terminal; the line ends of Windows stay, as git needs them."""
    from ..view.text import visible

    return "\r\n".join(map(visible, text.split("\r\n")))
