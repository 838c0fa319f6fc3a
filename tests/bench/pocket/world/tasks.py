"""Write projects with unseen bugs as task folders, for examples and for measuring; refuses a folder that is not empty.

python -m serving.pocket.world.tasks OUT --count 300 --seed 7
"""

import argparse
import json
from pathlib import Path
from random import Random

from pocket.world.bugs import BUG_KINDS, HELD_OUT, BugKind
from pocket.world.desk import VERIFY
from pocket.world.names import Split
from pocket.world.projects import Project, project
from pocket.world.wording import prompt

_TASK = """\
name: {name}
prompt: {prompt}
model: pocket
workspace: {{path: project, copy: true}}       # the run works in a copy, so it can be run again
tools: [run_shell, read_file, edit_file, search]
env: {{PYTHONDONTWRITEBYTECODE: "1", PYTEST_DISABLE_PLUGIN_AUTOLOAD: "1", PYTEST_ADDOPTS: "-p no:cacheprovider"}}
verify: {verify}
budgets: {{steps: 40}}
"""


def write_tasks(out: Path, *, count: int, seed: int, split: Split = "test") -> None:
    """Write `count` tasks, every kind of bug equally often, and tasks.json that says how they were made.

    Raises:
        FileExistsError: the folder holds something already.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        msg = f"{out} is not empty. Name a folder that is empty or new."
        raise FileExistsError(msg)
    rng = Random(seed)
    kinds: list[BugKind] = [kind for kind in BUG_KINDS if split == "test" or kind not in HELD_OUT]
    for number in range(count):
        kind = kinds[number % len(kinds)]
        write_task(out / f"{number + 1:04d}_{kind}", project(rng, split, kind), prompt(rng, "python -m pytest -q"))
    facts: dict[str, object] = {"seed": seed, "count": count, "split": split, "held_out_kinds": sorted(HELD_OUT)}
    (out / "tasks.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")


def write_task(folder: Path, made: Project, asked: str) -> None:
    """Write one task: the project, the tests that the model is not shown, and the task file."""
    for part, files in (("project", made.files), ("hidden", made.hidden)):
        for path, text in files.items():
            file = folder / part / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    # So that pytest looks for its settings no further up.
    (folder / "hidden" / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    text = _TASK.format(name=folder.name.replace("_", "-"), prompt=json.dumps(asked), verify=VERIFY)
    (folder / "task.yaml").write_text(text, encoding="utf-8")


def main() -> None:
    """Write the folder that is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    write_tasks(given.out, count=given.count, seed=given.seed)


if __name__ == "__main__":
    main()
