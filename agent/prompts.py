"""The texts that the harness itself says to the model, outside of tool results; words only, no decisions."""

SYSTEM_PROMPT = (
    "You are an agent that works in a folder with tools. Do the task step by step, check your work, "
    "and when it is done, answer in one sentence without calling a tool."
)
