"""Write generated projects with bugs as task folders, for examples and benchmarks; the output folder must be empty.

Run it in the repository's root with PYTHONPATH=tests/bench:

    python -m pocket.world.tasks OUT --count 300 --seed 7
"""

import argparse
import json
from pathlib import Path
from random import Random

from pocket.world.bugs import BUG_KINDS, HELD_OUT, BugKind
from pocket.world.live_project import VERIFY
from pocket.world.names import Split
from pocket.world.projects import Project, generate_project
from pocket.world.wording import prompt

_TASK = """\
name: {name}
prompt: {prompt}
model: pocket
workspace: {{path: project, copy: true}}       # the run works in a copy, so it can be run again
tools: [run_shell, read_file, edit_file, search]
env: {{PYTHONDONTWRITEBYTECODE: "1", PYTEST_DISABLE_PLUGIN_AUTOLOAD: "1", PYTEST_ADDOPTS: "-p no:cacheprovider"}}
verify: {verify}
limits: {{steps: 40}}
"""


def write_tasks(out: Path, *, count: int, seed: int, split: Split = "test") -> None:
    """Write `count` tasks, cycling through the kinds of bugs, and tasks.json with the parameters.

    Raises:
        FileExistsError: the folder is not empty.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        msg = f"{out} is not empty. Pass an empty or new folder."
        raise FileExistsError(msg)
    rng = Random(seed)
    kinds: list[BugKind] = [kind for kind in BUG_KINDS if split == "test" or kind not in HELD_OUT]
    for number in range(count):
        kind = kinds[number % len(kinds)]
        made = generate_project(rng, split, kind)
        write_task(out / f"{number + 1:04d}_{kind}", made, prompt(rng, "python -m pytest -q"))
    facts: dict[str, object] = {"seed": seed, "count": count, "split": split, "held_out_kinds": sorted(HELD_OUT)}
    (out / "tasks.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")


def write_task(folder: Path, made: Project, prompt_text: str) -> None:
    """Write one task: the project, the hidden tests and the task file."""
    for part, files in (("project", made.files), ("hidden", made.hidden)):
        for path, text in files.items():
            file = folder / part / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    # Stops pytest from searching parent folders for its settings.
    (folder / "hidden" / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    text = _TASK.format(name=folder.name.replace("_", "-"), prompt=json.dumps(prompt_text), verify=VERIFY)
    (folder / "task.yaml").write_text(text, encoding="utf-8")


def main() -> None:
    """Write the tasks to the folder given on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pocket.world.tasks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    write_tasks(args.out, count=args.count, seed=args.seed)


if __name__ == "__main__":
    main()
