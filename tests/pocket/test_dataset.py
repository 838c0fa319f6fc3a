"""Tests that the pocket model's files agree and that its training data calls the shipped tools correctly."""

import json
import struct
from random import Random

import jsonschema
from pocket.dataset import Sample, generate_sample
from pocket.exchange import Call, Exchange, Turn
from pocket.scenarios import KINDS, make_exchange, summarised, verification_failed, without_tools

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


def test_every_learned_call_fits_the_schema_of_its_tool():
    schemas = {tool.name: tool.parameters for tool in OWN}
    rng = Random(7)
    called = set[str]()

    for exchange in (make_exchange(rng) for _ in range(400)):
        extra = {tool["function"]["name"]: tool["function"]["parameters"] for tool in exchange.needs}
        for call in (call for turn in exchange.turns if turn.learned for call in turn.calls):
            jsonschema.validate(call.arguments, {**schemas, **extra}[call.name])
            called.add(call.name)

    assert called >= set(schemas)


def test_every_exchange_ends_with_a_text_after_the_results_of_all_calls():
    rng = Random(8)
    for make, _ in KINDS:
        for exchange in (make(rng) for _ in range(50)):
            assert exchange.user
            assert all(turn.calls and not turn.text for turn in exchange.turns[:-1])
            assert exchange.turns[-1].text
            assert not exchange.turns[-1].calls
            assert all(call.result for turn in exchange.turns for call in turn.calls)


def test_samples_are_equal_for_equal_seeds():
    one, two = (generate_sample(Random(3), [tool.definition() for tool in OWN], "You are an agent.") for _ in range(2))

    assert one == two


def test_a_sample_offers_every_called_tool_and_marks_the_learned_replies():
    rng = Random(4)
    own = [tool.definition() for tool in OWN]
    for sample in (generate_sample(rng, own, "You are an agent.") for _ in range(300)):
        replies = [message for message in sample.messages if message["role"] == "assistant"]
        assert len(replies) == len(sample.learned)
        for reply, learned in zip(replies, sample.learned, strict=True):
            if learned:
                assert _called(reply) <= _offered(sample)


def test_a_failed_verification_is_answered_with_the_same_write_again():
    write = Call(name="write_file", arguments={"path": "a.txt", "content": "hello"}, result="Wrote 5 bytes to a.txt.")
    done = Exchange(user="Write hello to a.txt", turns=(Turn(think="", calls=(write,)), Turn(think="", text="Done.")))

    again = verification_failed(Random(1), done)

    assert again is not None
    assert again.user.startswith("Verification failed (attempt ")
    assert (again.turns[0].calls[0].name, again.turns[0].calls[0].arguments) == (write.name, write.arguments)


def test_a_fresh_start_keeps_the_request_and_adds_what_was_tried():
    write = Call(name="write_file", arguments={"path": "a.txt", "content": "hello"}, result="Wrote 5 bytes to a.txt.")
    done = Exchange(user="Write hello to a.txt", turns=(Turn(think="", calls=(write,)), Turn(think="", text="Done.")))

    restarted = summarised(Random(1), done)

    assert restarted.turns == done.turns
    assert restarted.user.startswith("Write hello to a.txt\n\nAn earlier attempt at this task failed: ")
    assert '- write_file {"path": "a.txt", "content": "hello"} -> ' in restarted.user


def test_without_tools_the_model_answers_that_it_has_none():
    rng = Random(5)
    answers = {without_tools(make_exchange(rng)).turns[-1].text for _ in range(100)}

    assert "I have no tool for that." in answers


def _called(reply: dict) -> set[str]:
    return {call["function"]["name"] for call in reply.get("tool_calls", [])}


def _offered(sample: Sample) -> set[str]:
    return {tool["function"]["name"] for tool in sample.tools or []}
