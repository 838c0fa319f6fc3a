"""Texts that the loop sends to the model, and notices for the user; constants only."""

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

DUPLICATE_CALL = "This call is the same as an earlier one of the same reply, which was run once. See its result."

INTERRUPTED = (
    "Interrupted: the run was stopped while this call was under way, so its effect is unknown. "
    "Check the state before you call it again."
)

SAME_AGAIN = (
    "(You made this very call before, and its result is the same. Calling it once more will not change it: do "
    "something else.)"
)

CONTEXT_FULL = "the conversation filled the context window before the task was done"

# Notices for the user, shown at most once per run.

CALL_WAS_RESCUED = (
    "The server left a tool call in the reply's {where} instead of tool_calls; it was extracted and used. The server's "
    "tool parser does not match the model: for Mistral on vLLM, start it with --tool-call-parser mistral "
    "--enable-auto-tool-choice --tokenizer-mode mistral."
)

REASK_REFUSED = (
    "The server cannot constrain a reply to a tool's schema, so an invalid call gets feedback but no constrained "
    "re-ask: {reason}"
)

# SGLang's Mistral reasoning parser does this if the model does not reason again after a tool result (SGLang PR 26716).
ANSWER_TAKEN_FROM_REASONING = (
    "The server put the answer into the reasoning field twice in a row, so the answer was taken from there. The "
    "server's reasoning parser does not match the model: check the answer."
)
