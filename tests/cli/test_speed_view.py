"""The speeds of a plan as people read them."""

from agent.cli.speed_view import speed_line, speed_table, speeds_object
from serving.capacity.notes import notes_on_speed
from serving.capacity.planner import plan
from serving.capacity.sizing import PlanOptions

MEASURED = plan(PlanOptions(gpus="h200:2", max_model_len=65536))
ESTIMATED = plan(PlanOptions(gpus="l40s:8", max_model_len=8192, draft="eagle", enforce_eager=True))


def test_measured_speeds_are_single_numbers_with_their_machine():
    assert speed_table(MEASURED, 100) == (
        "Speed, measured on 2 x H200\n"
        "  decode, tokens/s  1 request: 51, 8 together: 405, 32 together: 1,210, 64 together: 2,800, 1 with a\n"
        "                    full context: 44\n"
        "  prompt, seconds   1k: 0.1, 4k: 0.5, 8k: 1.0, 16k: 2.2, 32k: 5.2, 64k: 13.9\n"
        "  effort switch     2.9 s after 20,000 tokens, which are read again"
    )


def test_estimated_speeds_are_ranges():
    lines = speed_table(ESTIMATED, 200).splitlines()
    assert lines[0] == "Speed, estimated, with the efficiencies of H200s"
    assert lines[1].startswith("  decode, tokens/s  1 request: 15.7 to 77, 8 together: ")
    assert lines[3] == "  effort switch     2.8 to 5.9 s after 8,192 tokens, which are read again"


def test_a_start_names_the_speed_in_one_sentence():
    assert speed_line(MEASURED) == (
        "One request decodes 51 tokens/s (measured); an effort switch after 20,000 tokens takes 2.9 s."
    )
    assert speed_line(plan(PlanOptions(gpus="2x96GiB@1TB/s", max_model_len=8192))) == (
        "One request decodes 7.0 to 14.7 tokens/s (estimated)."
    )


def test_without_speeds_nothing_is_said():
    silent = plan(PlanOptions(model="pocket", gpus="cpu", max_model_len=8192))
    assert (speed_table(silent, 80), speed_line(silent), speeds_object(silent.speeds)) == ("", "", None)
    assert notes_on_speed(silent) == ()


def test_a_plan_that_does_not_start_has_no_speeds_to_show():
    assert speed_table(plan(PlanOptions(gpus="l40s:2", max_model_len=8192)), 80) == ""


def test_options_that_cost_speed_say_how_much():
    draft, eager = notes_on_speed(ESTIMATED)
    assert draft.startswith("EAGLE costs 13% of the speed if no proposal is accepted")
    assert eager.startswith("--enforce-eager costs ")
    assert notes_on_speed(MEASURED) == ()
