"""The conversation of a run, always legal for the model family; each message is serialised once, when it is added."""

from __future__ import annotations

from collections.abc import Sequence

from ..messages import AssistantMessage, Image, Message, SystemMessage, ToolResult, UserMessage
from .wire import ReasoningField, encode_message

# A picture is scaled down to the model's largest, then a token stands for a patch, so its bytes say nothing.
# Taken for 1540 pixels in patches of 28 (an assumption, not read for Medium 3.5): 55 x 55 tokens, some 3,100.
_PICTURE_BYTES = 6_200
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def call_id(number: int) -> str:
    """Return the id of a run's nth call: exactly 9 of [A-Za-z0-9], as mistral_common below 1.12 insists.

    The server's ids are not used: they may be longer, doubled or missing, and they are not part of the prompt anyway.
    """
    digits = ""
    for _ in range(5):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return f"call{digits}"


class History:
    """An append-only list of messages and its wire form.

    Legal means: a system message only at the start; as many results as calls, in call order, right after them; no
    assistant message without text and calls; ids unique. A violation is our own mistake and fails an assertion.
    """

    def __init__(self, *, replay_reasoning: bool) -> None:
        self._replay_reasoning = replay_reasoning
        self._messages: list[Message] = []
        self._wire: list[bytes] = []
        self._wire_bytes = 0
        self._ids: set[str] = set()

    @property
    def messages(self) -> Sequence[Message]:
        return self._messages

    @property
    def wire(self) -> Sequence[bytes]:
        """The messages as JSON, one bytes object each."""
        return self._wire

    def wire_without_pictures(self) -> Sequence[bytes]:
        """The same for a model that sees none: it is told where one was."""
        return [
            encode_message(_blind(message), reasoning_field=None)
            if isinstance(message, UserMessage) and message.images
            else wire
            for message, wire in zip(self._messages, self._wire, strict=True)
        ]

    @property
    def wire_bytes(self) -> int:
        """The size of `wire`, with what a picture costs in place of what it weighs, for estimates of tokens."""
        return self._wire_bytes

    @property
    def calls(self) -> int:
        """How many calls the run has made, those of a conversation that was forgotten too."""
        return len(self._ids)

    def add_system(self, content: str) -> None:
        """Add the instructions; only as the first message."""
        assert not self._messages, "a system message stands only at the start"
        self._append(SystemMessage(content=content), None)

    def add_user(self, message: UserMessage) -> None:
        """Add what the user, or the harness for them, says."""
        self._append(message, None)

    def add_turn(
        self, turn: AssistantMessage, results: Sequence[ToolResult], *, reasoning_field: ReasoningField
    ) -> None:
        """Add an accepted reply and the results of all its calls; pictures among them follow in a user message."""
        assert turn.content.strip() or turn.tool_calls, "an assistant message needs text or calls"
        assert [call.id for call in turn.tool_calls] == [result.tool_call_id for result in results], (
            "one result per call, in call order"
        )
        new_ids = {call.id for call in turn.tool_calls}
        assert len(new_ids) == len(turn.tool_calls), "ids are unique in their message"
        assert not new_ids & self._ids, "ids are unique in their run"
        self._ids |= new_ids
        self._append(turn, reasoning_field if self._replay_reasoning else None)
        for result in results:
            assert result.content, "a result is never empty"
            self._append(result, None)
        pictures = _pictures(results)
        if pictures is not None:
            self._append(pictures, None)

    def restart(self) -> None:
        """Forget the conversation, not the ids."""
        self._messages.clear()
        self._wire.clear()
        self._wire_bytes = 0

    def _append(self, message: Message, reasoning_field: ReasoningField | None) -> None:
        self._messages.append(message)
        self._wire.append(encode_message(message, reasoning_field=reasoning_field))
        self._wire_bytes += len(self._wire[-1])
        if isinstance(message, UserMessage):
            self._wire_bytes += sum(_PICTURE_BYTES - len(image.data) for image in message.images)


def _blind(message: UserMessage) -> UserMessage:
    told = "(not shown: this model does not see pictures; go on without them)"
    return UserMessage(content=f"{message.content}\n{told}")


def _pictures(results: Sequence[ToolResult]) -> UserMessage | None:
    """Tool messages hold text only on most servers, so pictures travel in a user message right after them."""
    images: list[Image] = [image for result in results for image in result.images]
    if not images:
        return None
    names = ", ".join(dict.fromkeys(result.name for result in results if result.images))
    return UserMessage(content=f"The pictures returned by {names}, in order:", images=tuple(images))
