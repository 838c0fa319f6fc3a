"""The pocket model's files agree with each other, and it was taught calls that the shipped tools accept."""

import json
import struct
from random import Random

import jsonschema
from pocket.dataset import Sample, sample
from pocket.exchange import Call, Exchange, Turn
from pocket.scenarios import KINDS, exchange, summarised, verification_failed, without_tools

from serving.pocket import MAX_MODEL_LEN, MODEL_NAME, model_dir
from tools import files, search, shell

OWN = (files.list_files, files.read_file, files.write_file, files.edit_file, search.search, shell.run_shell)


def test_the_checkpoint_fits_its_params_and_its_vocabulary():
    params = json.loads((model_dir() / "params.json").read_text())
    tekken = json.loads((model_dir() / "tekken.json").read_text())
    with (model_dir() / "consolidated.safetensors").open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        tensors = json.loads(file.read(size))
    tensors.pop("__metadata__")

    assert tensors["tok_embeddings.weight"]["shape"] == [params["vocab_size"], params["dim"]]
    assert {tensor["dtype"] for tensor in tensors.values()} == {"BF16"}
    assert len(tensors) == 3 + 9 * params["n_layers"]
    assert params["vocab_size"] == tekken["config"]["default_vocab_size"]
    assert tekken["config"]["num_vocab_tokens"] == len(tekken["vocab"])
    assert params["max_position_embeddings"] >= MAX_MODEL_LEN
    assert MODEL_NAME == "pocket"


def test_the_model_is_a_few_megabytes():
    assert sum(file.stat().st_size for file in model_dir().iterdir()) < 14_000_000


def test_every_call_that_is_taught_fits_the_schema_of_the_tool():
    schemas = {tool.name: tool.parameters for tool in OWN}
    rng = Random(7)
    called = set[str]()

    for asked in (exchange(rng) for _ in range(400)):
        theirs = {tool["function"]["name"]: tool["function"]["parameters"] for tool in asked.needs}
        for call in (call for turn in asked.turns if turn.learned for call in turn.calls):
            jsonschema.validate(call.arguments, {**schemas, **theirs}[call.name])
            called.add(call.name)

    assert called >= set(schemas)


def test_every_exchange_ends_with_a_text_after_all_calls_have_their_results():
    rng = Random(8)
    for make, _ in KINDS:
        for asked in (make(rng) for _ in range(50)):
            assert asked.user
            assert all(turn.calls and not turn.text for turn in asked.turns[:-1])
            assert asked.turns[-1].text
            assert not asked.turns[-1].calls
            assert all(call.result for turn in asked.turns for call in turn.calls)


def test_a_sample_is_the_same_for_the_same_chance():
    one, two = (sample(Random(3), [tool.definition() for tool in OWN], "You are an agent.") for _ in range(2))

    assert one == two


def test_a_sample_offers_every_tool_that_is_called_and_says_which_replies_are_learned():
    rng = Random(4)
    own = [tool.definition() for tool in OWN]
    for made in (sample(rng, own, "You are an agent.") for _ in range(300)):
        replies = [message for message in made.messages if message["role"] == "assistant"]
        assert len(replies) == len(made.learned)
        for reply, learned in zip(replies, made.learned, strict=True):
            if learned:
                assert _called(reply) <= _offered(made)


def test_a_failed_verification_asks_for_the_same_write_again():
    write = Call(name="write_file", arguments={"path": "a.txt", "content": "hello"}, result="Wrote 5 bytes to a.txt.")
    done = Exchange(user="Write hello to a.txt", turns=(Turn(think="", calls=(write,)), Turn(think="", text="Done.")))

    again = verification_failed(Random(1), done)

    assert again is not None
    assert again.user.startswith("Verification failed (attempt ")
    assert (again.turns[0].calls[0].name, again.turns[0].calls[0].arguments) == (write.name, write.arguments)


def test_a_fresh_start_keeps_the_request_and_tells_what_was_tried():
    write = Call(name="write_file", arguments={"path": "a.txt", "content": "hello"}, result="Wrote 5 bytes to a.txt.")
    done = Exchange(user="Write hello to a.txt", turns=(Turn(think="", calls=(write,)), Turn(think="", text="Done.")))

    afresh = summarised(Random(1), done)

    assert afresh.turns == done.turns
    assert afresh.user.startswith("Write hello to a.txt\n\nAn earlier attempt at this task failed: ")
    assert '- write_file {"path": "a.txt", "content": "hello"} -> ' in afresh.user


def test_without_tools_the_model_says_that_it_has_none():
    rng = Random(5)
    answers = {without_tools(exchange(rng)).turns[-1].text for _ in range(100)}

    assert "I have no tool for that." in answers


def _called(reply: dict) -> set[str]:
    return {call["function"]["name"] for call in reply.get("tool_calls", [])}


def _offered(made: Sample) -> set[str]:
    return {tool["function"]["name"] for tool in made.tools or []}
