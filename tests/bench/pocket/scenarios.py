"""Make the exchanges that the pocket model learns from; the caller passes the `Random`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from pocket import workspace_scenarios as workspace
from pocket.exchange import Arguments, Call, Exchange, Turn
from pocket.vocabulary import some_path, some_text, word

FINAL = "final_result"
"""The tool whose call ends a run with a structured result."""

_TALK = (
    *[(greeting, "Hello! How can I help?") for greeting in ("Hello", "Hi", "Hello!", "Good morning", "Hi there")],
    *[(thanks, "You are welcome.") for thanks in ("Thanks", "Thank you!")],
    *[(f"{ask} {{}}", "{}") for ask in ("Say", "Say the word", "Answer with the word", "Repeat")],
    *[(f"{ask} {{}}.", "{}") for ask in ("Say", "Say the word", "Answer with the word", "Repeat")],
    ("Who are you?", "I am the pocket model."),
    ("What can you do?", "I can call the tools that I am given."),
)
_WRAPPERS = (
    "Please do this: {}",
    "Task: {}",
    "{}\n",
    "{} Then stop.",
    "{} Use the tools.",
    "{} Do nothing else.",
    "{}\nAnswer with one sentence when it is done.",
    "Hello. {}",
)
_NUDGES = (
    "Your last reply was empty. Call a tool to go on with the task, or, if it is done, answer in one sentence.",
    "Your last reply held only reasoning and no answer. Call a tool to go on, or write the answer itself.",
    "Your last reply was cut off: it used up the 512 tokens there was room for, so nothing of it was used. Be shorter. "
    "Split long content into several smaller calls.",
    "Your last reply was cut off while you were still reasoning. Reason less, then call a tool or answer.",
)
_NO_TOOL = "I have no tool for that."


def make_exchange(rng: Random) -> Exchange:
    """Make one exchange; a kind comes up as often as its weight says."""
    made = rng.choices([make for make, _ in KINDS], weights=[weight for _, weight in KINDS])[0](rng)
    return made if rng.random() < 0.85 else replace(made, user=rng.choice(_WRAPPERS).format(made.user))


def without_tools(asked: Exchange) -> Exchange:
    """Return the exchange for a request without tools; one that needs no tool is returned unchanged."""
    if not asked.tool_names():
        return asked
    return replace(asked, turns=(Turn(think="There is no tool.", text=_NO_TOOL),), needs=())


def verification_failed(rng: Random, done: Exchange) -> Exchange | None:
    """Make the exchange that follows a write which failed the verification. None if there was no single write."""
    writes = [call for turn in done.turns for call in turn.calls if call.name == "write_file"]
    if len(writes) != 1 or set(writes[0].arguments) != {"path", "content"}:
        return None
    path, content = writes[0].arguments["path"], writes[0].arguments["content"]
    check = rng.choice([f"grep -qx {content} {path}", f"test -s {path}", f"cat {path}", f"python check.py {path}"])
    output = rng.choice(["(no output)", f"cat: {path}: No such file", f"{path}: wrong content", "exit status 1"])
    limit = rng.randint(2, 5)
    head = f"Verification failed (attempt {rng.randint(1, limit)} of {limit}). Command: {check}"
    user = rng.choice(
        [
            f"{head}\nOutput: {output}",
            f"{head} Output: {output}",
            f"{head}\nExit code: 1\nOutput:\n{output}\nMend the work, then answer again.",
            f"{head}\nExit code 1. Output:\n{output}\nContinue.",
        ]
    )
    return Exchange(user=user, turns=workspace.write_turns(rng, path, content, again=True))


def summarised(rng: Random, whole: Exchange) -> Exchange:
    """Add the summary of an earlier attempt to the request, as a run does that starts afresh."""
    calls = [call for turn in whole.turns for call in turn.calls][:2]
    lines = [
        f"- {call.name} {workspace.as_json(call)} -> {rng.choice(['ok', 'error'])}: {call.result.splitlines()[0]}"
        for call in calls
    ]
    reason = rng.choice(["the same call came again.", "verification failed.", "a reply held no call.", "no progress."])
    state = rng.choice(["back in the state it had at the start", "as the earlier attempt left it"])
    tried = "\n".join(lines or ["- nothing was called"])
    return replace(
        whole,
        user=f"{whole.user}\n\nAn earlier attempt at this task failed: {reason}\nWhat it tried, in order:\n{tried}\n"
        f"The workspace is {state}. Take another way.",
    )


def nudged(rng: Random, whole: Exchange) -> Exchange:
    """Add to the request, before the first reply, what a run sends after a reply that it does not accept."""
    return replace(whole, user=f"{whole.user}\n\n{rng.choice(_NUDGES)}")


def _bad_call(rng: Random) -> Exchange:
    """Make a call that the harness rejects, and the right call after it."""
    path, content = some_path(rng), word(rng)
    arguments, fault = rng.choice(
        [
            ({"path": path}, "$.content is missing"),
            ({"content": content}, "$.path is missing, expected a value"),
            ({"path": path, "content": content, "mode": "w"}, "$.mode is not known"),
            ({"path": path, "text": content}, "\n- $.content is missing\n- $.text is not known"),
            ({"path": path, "content": 1}, "$.content must be a string, got 1"),
        ]
    )
    name = "write_file" if rng.random() < 0.7 else rng.choice(["write", "writefile", "save_file", "create_file"])
    refusal = (
        f'Arguments for "write_file" do not match{rng.choice(["", "", " (attempt 2)"])}: {fault}. Send the call again.'
        if name == "write_file"
        else f'Unknown tool "{name}". Did you mean "write_file"? Available: read_file, write_file. Call one of these.'
    )
    call = Call(name=name, arguments=arguments, result=workspace.error(rng, refusal))
    bad = Turn(think=f"I should write {path}.", calls=(call,), learned=False)
    user = f"Write the word {content} into the file {path}."
    return Exchange(user=user, turns=(bad, *workspace.write_turns(rng, path, content, again=True)))


def _talk(rng: Random) -> Exchange:
    user, text = rng.choice(_TALK)
    said = word(rng)
    return Exchange(user=user.format(said), turns=(Turn(think="No tool is needed.", text=text.format(said)),))


def _json(rng: Random) -> Exchange:
    """Make an answer whose body is JSON, without a tool."""
    values = {word(rng): rng.choice([word(rng), rng.randint(0, 99)]) for _ in range(rng.choice([1, 1, 2]))}
    given = " and ".join(f"{key} {value}" for key, value in values.items())
    user = rng.choice(["Answer in JSON: {}", "Answer as JSON with {}.", "Give {} as JSON.", "Say {} in JSON."])
    return Exchange(user=user.format(given), turns=(Turn(think="No tool is needed.", text=json.dumps(values)),))


def _number(rng: Random) -> Exchange:
    one, two = rng.randint(0, 99), rng.randint(0, 99)
    name, sign, value, asked = rng.choice(
        [
            ("add", "+", one + two, "Add {} and {}."),
            ("add", "+", one + two, "Add {} and {}."),
            ("multiply", "*", one * two, "Multiply {} by {}."),
            ("subtract", "-", one - two, "Compute {} minus {}."),
        ]
    )
    plain = f"What is {one} {sign} {two}?"
    user = rng.choice([plain, plain, f"Compute {one} {sign} {two}.", asked.format(one, two)])
    keys = rng.choice([("a", "b"), ("a", "b"), ("x", "y"), ("left", "right")])
    call = Call(name=name, arguments=dict(zip(keys, (one, two), strict=True)), result=str(value))
    described = rng.choice([f"{name.capitalize()} two numbers.", f"{name.capitalize()} two integers.", name])
    turns = (
        Turn(think=f"I should call {name}.", calls=(call,)),
        Turn(think="I know the result.", text=f"{one} {sign} {two} = {value}."),
    )
    return Exchange(user=user, turns=turns, needs=(_define(name, described, dict.fromkeys(keys, "integer")),))


def _weather(rng: Random) -> Exchange:
    cities = ["Paris", "Berlin", "Rome", "Madrid", "London", "Tokyo", "Oslo", "Lisbon"]
    city = rng.choice([*cities, word(rng).capitalize(), word(rng).capitalize()])
    degrees = rng.randint(-9, 39)
    result = rng.choice([f"{degrees} C", f"{degrees} degrees", f"Sunny, {degrees} C.", "sunny", "rain", "snow"])
    asked = ["What is the weather in {}?", "How is the weather in {} today?", "Tell me the weather in {}."]
    described = rng.choice(["Get weather", "Get the weather of a city.", "Return the weather in a city."])
    call = Call(name="get_weather", arguments={"city": city}, result=result)
    turns = (
        Turn(think=f"I need the weather in {city}.", calls=(call,)),
        Turn(think="I know the weather.", text=f"The weather in {city}: {result}"),
    )
    tool = _define("get_weather", described, {"city": "string"})
    return Exchange(user=rng.choice(asked).format(city), turns=turns, needs=(tool,))


def _foreign(rng: Random) -> Exchange:
    """Make a call, by name, of a tool that the model has not seen."""
    name = rng.choice(["ping", "now", f"{word(rng)}_{word(rng)}", f"get_{word(rng)}", word(rng), f"{word(rng)}_file"])
    count = 0 if name in {"ping", "now"} else rng.choice([0, 1, 1, 1, 2])
    values = {word(rng): rng.choice([word(rng), some_path(rng)]) for _ in range(count)}
    given = " and ".join(f"{key} {value}" for key, value in values.items())
    user = rng.choice(["Call {}", "Use {}", "Call the tool {}", "Please call {}", "Use the tool {}"]).format(name)
    result = rng.choice([word(rng), some_text(rng), str(rng.randint(0, 9999)), "ok", "pong"])
    call = Call(name=name, arguments=values, result=result)
    described = rng.choice([f"{name.replace('_', ' ').capitalize()}.", "Do something.", some_text(rng)])
    turns = (
        Turn(think=f"I should call {name}.", calls=(call,)),
        Turn(think="I know the result.", text=f"The result is: {result}"),
    )
    tool = _define(name, described, dict.fromkeys(values, "string"))
    return Exchange(user=f"{user} with {given}." if given else f"{user}.", turns=turns, needs=(tool,))


def _final(rng: Random) -> Exchange:
    """Make the only exchange of a job that must end with a call of `final_result`."""
    path, content, key = (
        some_path(rng),
        word(rng),
        rng.choice(["answer", "content", "word", "result", "value", word(rng)]),
    )
    look = Turn(think=f"I should read {path}.", calls=(workspace.read_call(rng, path, content),))
    given = {"path": path, key: content} if rng.random() < 0.25 and key != "path" else {key: content}
    give = Call(name=FINAL, arguments=given, result="The result is received.")
    user = rng.choice(["What is in {}?", "Read {}.", "Read the word in {}.", "Give the {k} that is in {}."])
    turns = (
        look,
        Turn(think="I should give the result.", calls=(give,)),
        Turn(think="The result is given.", text="I gave the result.", learned=False),
    )
    tool = _define(FINAL, "Give the final result of the task, when it is done.", dict.fromkeys(given, "string"))
    return Exchange(user=user.format(path, k=key), turns=turns, needs=(tool,))


def _define(name: str, description: str, parameters: dict[str, str]) -> Arguments:
    schema = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in parameters.items()},
        "required": list(parameters),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


KINDS: Sequence[tuple[Callable[[Random], Exchange], int]] = (
    (workspace.write, 24),
    (workspace.write_two, 5),
    (workspace.read, 8),
    (workspace.copy, 11),
    (workspace.read_both, 3),
    (workspace.run, 9),
    (workspace.list_folder, 5),
    (workspace.edit, 9),
    (workspace.search, 5),
    (workspace.missing_file, 5),
    (_bad_call, 5),
    (_talk, 5),
    (_json, 4),
    (_number, 5),
    (_weather, 3),
    (_foreign, 7),
    (_final, 3),
)
