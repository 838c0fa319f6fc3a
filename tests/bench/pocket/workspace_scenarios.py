"""Make exchanges about the project's own tools; their results have the wording of tools/."""

import json
from random import Random

from pocket.exchange import Call, Exchange, Turn
from pocket.vocabulary import command, some_path, some_text, word

_WRITE = (
    *["Write the word {w} into the file {p}."] * 3,
    "Write the word {w} to {p}.",
    "Write {w} to {p}",
    "Write {w} into {p}.",
    "Write the text {w} into {p}.",
    "Put the word {w} into {p}.",
    "Please write {w} to the file {p}.",
    "Create {p} with the content {w}.",
    "Create the file {p} that holds the word {w}.",
    "Make a file {p} with {w} in it.",
    "The file {p} should contain the word {w}.",
    "Store {w} in {p}, please.",
    'Write "{w}" to "{p}".',
    "Write the word `{w}` into `{p}`.",
    "Write the word '{w}' into the file '{p}'.",
)
_COPY = (
    "Copy the word in {s} to {t}.",
    "Copy the word in {s} into the file {t}.",
    "Read {s} and write the same word to {t}.",
    "Copy {s} to {t}.",
    "Write what is in {s} into {t}.",
    "Put the word from {s} into the file {t}.",
)
_READ = ("Read {}.", "Read {}", "What is in {}?", "Show me {}.", "What does the file {} contain?", "Read the file {}.")
_RUN = ("Run {}", "Run the command {}", "Please run {}", "Run `{}`", "Execute {}", "Run `{}`.", "What does `{}` print?")
_REPLACE = (
    "Replace {o} with {n} in {p}.",
    "Replace the word {o} with {n} in the file {p}.",
    "Replace the word {o} by {n} in {p}.",
    "Change {o} to {n} in {p}.",
    "In {p}, replace {o} by {n}.",
)


def write(rng: Random) -> Exchange:
    """Write a word, or a short text, into a file."""
    path, content = some_path(rng), word(rng) if rng.random() < 0.8 else some_text(rng)
    content = content.capitalize() if rng.random() < 0.06 else content
    return Exchange(user=rng.choice(_WRITE).format(w=content, p=path), turns=write_turns(rng, path, content))


def write_two(rng: Random) -> Exchange:
    """Write two files, one call after the other."""
    one, two = some_path(rng), some_path(rng)
    first, second = word(rng), word(rng)
    user = rng.choice(
        [
            f"Write the word {first} into {one} and the word {second} into {two}.",
            f"Write {first} to {one}, then write {second} to {two}.",
            f"Write the word {first} into the file {one} and the word {second} into the file {two}.",
        ]
    )
    turns = (write_turns(rng, one, first)[0], write_turns(rng, two, second)[0])
    return Exchange(user=user, turns=(*turns, Turn(think="Both files are written.", text="I wrote both files.")))


def read(rng: Random) -> Exchange:
    """Read a file and answer with its content."""
    path, content = some_path(rng), some_text(rng)
    turns = (
        Turn(think=f"I should read {path}.", calls=(read_call(rng, path, content),)),
        Turn(think="I know the content.", text=f"{path} contains: {content}"),
    )
    return Exchange(user=rng.choice(_READ).format(path), turns=turns)


def copy(rng: Random) -> Exchange:
    """Read a word in one file and write it into another."""
    source, target, content = some_path(rng), some_path(rng), word(rng)
    read_first = Turn(think=f"I should read {source}.", calls=(read_call(rng, source, content),))
    user = rng.choice(_COPY).format(s=source, t=target)
    return Exchange(user=user, turns=(read_first, *write_turns(rng, target, content)))


def read_both(rng: Random) -> Exchange:
    """Read two files with two calls in one reply."""
    calls = [read_call(rng, some_path(rng), word(rng)) for _ in range(2)]
    first, second = (call.arguments["path"] for call in calls)
    user = rng.choice(["Read {} and {} at the same time.", "Read both {} and {} at once."]).format(first, second)
    turns = (
        Turn(think=f"I should read {first} and {second}.", calls=tuple(calls)),
        Turn(think="I know both files.", text="I read both files."),
    )
    return Exchange(user=user, turns=turns)


def run(rng: Random) -> Exchange:
    """Run a command and answer with its output or its failure."""
    line, output, status = command(rng), some_text(rng), rng.choice([0, 0, 0, 1, 2, 127])
    silent = rng.random() < 0.15
    if status:
        shown, said = f"{output}\nexit code {status}", f"It failed with exit code {status}: {output}"
    elif silent:
        shown, said = "(no output, exit code 0)", "It printed nothing."
    else:
        shown, said = output + rng.choice(["", "\n"]), f"It printed: {output}"
    turns = (
        Turn(think=f"I should run {line}.", calls=(Call(name="run_shell", arguments={"command": line}, result=shown),)),
        Turn(think="The command has ended.", text=said),
    )
    return Exchange(user=rng.choice(_RUN).format(line), turns=turns)


def list_folder(rng: Random) -> Exchange:
    """List the files of a folder."""
    folder = rng.choice([".", ".", word(rng), f"{word(rng)}/{word(rng)}"])
    asked = ["List the files.", "List the files here.", "Which files are there?", "What is in this folder?"]
    inside = ["List the files in {}.", "What is in the folder {}?", "Which files are in {}?"]
    names = sorted({some_path(rng).split("/")[-1] for _ in range(rng.randint(1, 4))})
    if folder != ".":
        names = [f"{folder}/{name}" for name in names]
    turns = (
        Turn(think="I should list the files.", calls=(list_call(rng, folder, names),)),
        Turn(think="I know the files.", text=f"The files are: {', '.join(names)}."),
    )
    return Exchange(user=rng.choice(asked if folder == "." else inside).format(folder), turns=turns)


def edit(rng: Random) -> Exchange:
    """Replace a word in a file; sometimes the file must be read first, sometimes the word differs in case."""
    path, old, new = some_path(rng), word(rng), word(rng)
    said = Turn(think="The file is changed.", text=f"I replaced {old} with {new} in {path}.")
    replace = Turn(think=f"I should replace {old} with {new}.", calls=(_edit_call(rng, path, old, new),))
    if rng.random() < 0.25:
        user = rng.choice(["Change the word in {p} to {n}.", "Replace the word that is in {p} by {n}."])
        look = Turn(think=f"I should read {path}.", calls=(read_call(rng, path, old),))
        return Exchange(user=user.format(p=path, n=new), turns=(look, replace, said))
    user = rng.choice(_REPLACE).format(o=old, n=new, p=path)
    if rng.random() < 0.25:
        return Exchange(user=user, turns=_edit_after_a_miss(rng, path, old, new))
    return Exchange(user=user, turns=(replace, said))


def search(rng: Random) -> Exchange:
    """Search for a word."""
    pattern, path, line = word(rng), some_path(rng), rng.randint(1, 99)
    user = rng.choice(["Find {} in the files.", "Search for {}.", "Where is {} used?", "Which file contains {}?"])
    found = rng.random() < 0.8
    shown = rng.choice([f"{path}:{line}: {pattern}", f"{path}:{line}: {some_text(rng)} {pattern}"])
    missed = f'No match for "{pattern}" in {rng.randint(1, 99)} files.'
    call = Call(name="search", arguments={"pattern": pattern}, result=shown if found else missed)
    said = f"{pattern} is in {path}, line {line}." if found else f"{pattern} is in no file."
    turns = (Turn(think=f"I should search for {pattern}.", calls=(call,)), Turn(think="I know the answer.", text=said))
    return Exchange(user=user.format(pattern), turns=turns)


def missing_file(rng: Random) -> Exchange:
    """Read a file that is missing, then the one that was meant."""
    path, content = some_path(rng), word(rng)
    wrong = path[:-1] if rng.random() < 0.5 else path.replace(".", "s.", 1)
    user = rng.choice(_READ).format(wrong)
    reason = f'There is no "{wrong}" in the workspace. '
    found = Turn(think=f"I should read {path}.", calls=(read_call(rng, path, content),))
    said = Turn(think="I know the content.", text=f"{path} contains: {content}")
    if rng.random() < 0.6:
        failed = _failed_read(rng, wrong, f'{reason}Did you mean "{path}"?')
        return Exchange(user=user, turns=(failed, found, said))
    failed = _failed_read(rng, wrong, f"{reason}Call list_files to see what there is.")
    look = Turn(think="I should list the files.", calls=(list_call(rng, ".", [path]),))
    return Exchange(user=user, turns=(failed, look, found, said))


def write_turns(rng: Random, path: str, content: str, *, again: bool = False) -> tuple[Turn, Turn]:
    """Return the turn that writes one file, and the answer after it."""
    size = f"{len(content)} {'byte' if len(content) == 1 else 'bytes'}"
    told = f"Wrote {size} to {path}." if rng.random() < 0.8 else rng.choice(["ok", "done", "", f"Wrote {path}."])
    call = Call(name="write_file", arguments={"path": path, "content": content}, result=told or "(empty)")
    think = f"I should write {path} again." if again else f"I should write {path}."
    return Turn(think=think, calls=(call,)), Turn(think="The file is written.", text=f"I wrote {content} to {path}.")


def read_call(rng: Random, path: str, content: str) -> Call:
    """Return a call of read_file for a file of one line."""
    shown = rng.choice([content, content, f"{content}\n", f"{content}\n", f"1\t{content}"])
    return Call(name="read_file", arguments={"path": path}, result=shown)


def list_call(rng: Random, folder: str, names: list[str]) -> Call:
    """Return a call of list_files."""
    shown = "\n".join(f"{name} ({rng.randint(1, 2000):,} bytes)" for name in names)
    return Call(name="list_files", arguments={"path": folder}, result=shown)


def error(rng: Random, reason: str) -> str:
    """Format a failure in one of the ways that a harness may use."""
    return rng.choice(["Error: ", "Error: ", "", ""]) + reason


def as_json(call: Call) -> str:
    """Format a call's arguments as they stand in the prompt."""
    return json.dumps(call.arguments)


def _failed_read(rng: Random, path: str, reason: str) -> Turn:
    call = Call(name="read_file", arguments={"path": path}, result=error(rng, reason))
    return Turn(think=f"I should read {path}.", calls=(call,))


def _edit_call(rng: Random, path: str, old: str, new: str) -> Call:
    told = f"Edited {path}: line {rng.choice([1, 1, rng.randint(2, 99)])}."
    return Call(name="edit_file", arguments={"path": path, "old": old, "new": new}, result=told)


def _edit_after_a_miss(rng: Random, path: str, old: str, new: str) -> tuple[Turn, ...]:
    now = old.capitalize()
    near = f"It differs only in upper and lower case. Copy the text exactly. The most similar lines there:\n1: {now}"
    reason = rng.choice([near, "and nothing there resembles it. Read the file and copy the text exactly."])
    refused = error(rng, f'old does not occur in "{path}"{". " if reason == near else ", "}{reason}')
    arguments = {"path": path, "old": old, "new": new}
    missed = Call(name="edit_file", arguments=arguments, result=refused)
    look = Turn(think=f"I should read {path}.", calls=(read_call(rng, path, now),))
    return (
        Turn(think=f"I should replace {old} with {new}.", calls=(missed,)),
        *(() if reason == near else (look,)),
        Turn(think=f"I should replace {now} with {new}.", calls=(_edit_call(rng, path, now, new),)),
        Turn(think="The file is changed.", text=f"I replaced {now} with {new} in {path}."),
    )
