"""The texts that the harness itself says to the model, outside of tool results; words only, no decisions."""

SYSTEM_PROMPT = (
    "You are an agent that works in a folder with tools. Do the task step by step, check your work, "
    "and when it is done, answer in one sentence without calling a tool."
)

EMPTY_REPLY = (
    "Your last reply was empty. Call a tool to go on with the task, or, if it is done, answer in one sentence."
)

ANSWER_IN_REASONING = (
    "Your last reply held only reasoning and no answer. Call a tool to go on, or write the answer itself."
)

CUT_OFF = (
    "Your last reply was cut off: it used up the {max_tokens} tokens there was room for, so nothing of it was used. "
    "Be shorter. Split long content into several smaller calls."
)

CUT_OFF_WHILE_REASONING = (
    "Your last reply was cut off while you were still reasoning: it used up the {max_tokens} tokens there was room "
    "for. Reason less, then call a tool or answer."
)

GIVE_FINAL_RESULT = "Give the result by calling final_result; text alone does not end this task."

TWIN = "This call is the same as an earlier one of the same reply, which was run once. See its result."

INTERRUPTED = (
    "Interrupted: the run was stopped while this call was under way, so its effect is unknown. "
    "Check the state before you call it again."
)

SAME_AGAIN = (
    "(You made this very call before, and its result is the same. Calling it once more will not change it: do "
    "something else.)"
)

CONTEXT_FULL = "the conversation filled the context window before the task was done"

# Said to the user, once a run.

CALL_WAS_RESCUED = (
    "The server left a tool call in its {where} instead of tool_calls; it was read there and used. Its tool parser "
    "does not fit the model: for Mistral on vLLM start it with --tool-call-parser mistral --enable-auto-tool-choice "
    "--tokenizer-mode mistral."
)

REASK_REFUSED = (
    "The server takes no request that holds the reply to a tool's schema, so a broken call is only answered, not asked "
    "for again: {reason}"
)

# SGLang's Mistral reasoning parser does this when the model does not reason anew after a tool result (its pull 26716).
ANSWER_WAS_REASONED = (
    "The server put the answer into the reasoning channel, twice in a row; it was taken from there. Its reasoning "
    "parser does not fit the model: read the answer with care."
)
