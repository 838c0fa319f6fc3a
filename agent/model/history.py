"""The conversation of a run, always valid for the model family; each message is encoded once, when it is added."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..messages import AssistantMessage, Image, Message, SystemMessage, ToolResult, UserMessage
from .image_tokens import image_tokens
from .wire import encode_message

_IMAGE_TOKEN_BYTES = 2
"""Bytes that a token of an image counts as; what an image costs does not depend on the size of its file."""
_CALL_ID = re.compile(r"call([0-9A-Za-z]{5})")
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def call_id(number: int) -> str:
    """Return the id of a run's nth call: exactly 9 of [A-Za-z0-9], which mistral_common below 1.12 requires.

    The server's ids are not used: they may be too long, duplicated or missing, and the prompt does not contain them.
    """
    digits = ""
    for _ in range(5):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return f"call{digits}"


def call_number(identifier: str) -> int:
    """Return the number that `call_id` made an id of; -1 if it made none."""
    found = _CALL_ID.fullmatch(identifier)
    if found is None:
        return -1
    number = 0
    for digit in found[1]:
        number = 62 * number + _BASE62.index(digit)
    return number


class History:
    """The messages and their wire form; only appended to, but for what is folded or restarted.

    A valid history has a system message only at the start, one result per call, in call order, right after the calls,
    no assistant message without text or calls, and unique call ids. A violation is a bug and fails an assertion.
    """

    def __init__(self, *, replay_reasoning: bool) -> None:
        self._replay_reasoning = replay_reasoning
        self._messages: list[Message] = []
        self._wire: list[bytes] = []
        self._sizes: list[int] = []
        self._wire_bytes = 0
        self._ids: set[str] = set()
        self._next_call = 0
        self._hash, self._hashed = hashlib.blake2b(digest_size=8), 0
        """Messages that the hash has seen; a request does not go through the whole history again."""

    @property
    def messages(self) -> Sequence[Message]:
        return self._messages

    @property
    def wire(self) -> Sequence[bytes]:
        """The messages as JSON, one bytes object each."""
        return self._wire

    def wire_without_images(self) -> Sequence[bytes]:
        """Return the messages as JSON, with a note in place of images, for a model without vision."""
        return [
            encode_message(_without_images(message), with_reasoning=False)
            if isinstance(message, UserMessage) and message.images
            else wire
            for message, wire in zip(self._messages, self._wire, strict=True)
        ]

    @property
    def wire_bytes(self) -> int:
        """Size of `wire` for token estimates; an image counts by its token cost, not by its bytes."""
        return self._wire_bytes

    @property
    def sizes(self) -> Sequence[int]:
        """Size of each message, as `wire_bytes` counts it."""
        return self._sizes

    def digest(self) -> str:
        """Return a checksum of `wire`, 16 hexadecimal digits."""
        for wire in self._wire[self._hashed :]:
            self._hash.update(wire)
            self._hash.update(b"\n")
        self._hashed = len(self._wire)
        return self._hash.hexdigest()

    def turns(self) -> Sequence[tuple[int, int]]:
        """Return where each turn begins, its assistant message, and where it ends, after its results and images."""
        found: list[tuple[int, int]] = []
        for index, message in enumerate(self._messages):
            if isinstance(message, AssistantMessage):
                found.append((index, index + 1))
            elif found and found[-1][1] == index and (isinstance(message, ToolResult) or self._holds_results(index)):
                found[-1] = (found[-1][0], index + 1)
        return found

    @property
    def next_call(self) -> int:
        """The number for `call_id` of the next call; no call of the run, nor of what it continues, has a later one."""
        return self._next_call

    def last_text(self, *, after: int) -> str:
        """Return the last text of the model in the messages from index `after`, or empty."""
        texts = [m.content for m in self._messages[after:] if isinstance(m, AssistantMessage) and m.content.strip()]
        return texts[-1].strip() if texts else ""

    def add_system(self, content: str) -> None:
        """Add the system message; it must be the first message."""
        assert not self._messages, "a system message is only allowed at the start"
        self._append(SystemMessage(content=content))

    def add_user(self, message: UserMessage) -> None:
        """Add a message of the user, or of the harness as the user."""
        self._append(message)

    def add_earlier(self, messages: Sequence[Message]) -> None:
        """Add the messages of an earlier conversation, without a system message; `check_conversation` has checked them.

        Its call ids stay as they are, so that the server finds the same prefix in its cache.
        """
        for message in messages:
            if isinstance(message, AssistantMessage):
                self._reserve(message)
            self._append(message)

    def start(self, system: str, earlier: Sequence[Message], prompt: UserMessage) -> int:
        """Begin a conversation, perhaps after an earlier one; return how many messages come before the prompt."""
        self.add_system(system)
        self.add_earlier(earlier)
        count = len(self._messages)
        self.add_user(prompt)
        return count

    def add_turn(self, turn: AssistantMessage, results: Sequence[ToolResult]) -> None:
        """Add an accepted reply and the results of all its calls; their images follow in a user message."""
        assert turn.content.strip() or turn.tool_calls, "an assistant message needs text or calls"
        assert [call.id for call in turn.tool_calls] == [result.tool_call_id for result in results], (
            "one result per call, in call order"
        )
        self._reserve(turn)
        self._append(turn)
        for result in results:
            assert result.content, "a result is never empty"
            self._append(result)
        images = _image_message(results)
        if images is not None:
            self._append(images)

    def reasoning_bytes(self, index: int) -> int:
        """Return how many bytes of a message of the model are its reasoning; 0 if none is sent."""
        message = self._messages[index]
        assert isinstance(message, AssistantMessage), "only the model reasons"
        if not self._replay_reasoning or not message.reasoning:
            return 0
        return self._sizes[index] - len(encode_message(message, with_reasoning=False))

    def fold(self, lines: Mapping[str, str], images: str, reasoning_before: int = 0) -> int:
        """Write lines in place of results, and a text in place of their images; return how many bytes that frees.

        Args:
            lines: by call id.
            images: the text for images, if all results that returned some in their turn are folded.
            reasoning_before: the reasoning of turns before this index is dropped.
        """
        before = self._wire_bytes
        for start, end in self.turns():
            turn = self._messages[start]
            if start < reasoning_before and isinstance(turn, AssistantMessage) and turn.reasoning:
                self._replace(start, replace(turn, reasoning=""))
            results = self._messages[start + 1 : end]
            with_images = {found.tool_call_id for found in results if isinstance(found, ToolResult) and found.images}
            for index, message in enumerate(results, start + 1):
                if isinstance(message, ToolResult) and message.tool_call_id in lines:
                    self._replace(index, replace(message, content=lines[message.tool_call_id], images=()))
                elif isinstance(message, UserMessage) and with_images <= lines.keys():
                    self._replace(index, UserMessage(content=images))
        return before - self._wire_bytes

    def restart(self) -> None:
        """Remove all messages. Call ids stay reserved."""
        self._messages.clear()
        self._wire.clear()
        self._sizes.clear()
        self._wire_bytes = 0
        self._forget_hash()

    def _reserve(self, turn: AssistantMessage) -> None:
        new_ids = {call.id for call in turn.tool_calls}
        assert len(new_ids) == len(turn.tool_calls), "call ids are unique in a message"
        assert not new_ids & self._ids, "call ids are unique in a run"
        self._ids |= new_ids
        self._next_call = max([self._next_call, *(number + 1 for number in map(call_number, new_ids))])

    def _append(self, message: Message) -> None:
        self._messages.append(message)
        self._wire.append(b"")
        self._sizes.append(0)
        self._replace(len(self._messages) - 1, message)

    def _forget_hash(self) -> None:
        self._hash, self._hashed = hashlib.blake2b(digest_size=8), 0

    def _replace(self, index: int, message: Message) -> None:
        if index < self._hashed:
            self._forget_hash()
        self._messages[index] = message
        self._wire[index] = encode_message(message, with_reasoning=self._replay_reasoning)
        size = len(self._wire[index])
        if isinstance(message, UserMessage):
            size += sum(_IMAGE_TOKEN_BYTES * image_tokens(image) - len(image.data) for image in message.images)
        self._wire_bytes += size - self._sizes[index]
        self._sizes[index] = size

    def _holds_results(self, index: int) -> bool:
        """Return whether a message holds the images of the results before it."""
        message, before = self._messages[index], self._messages[index - 1]
        return isinstance(message, UserMessage) and bool(message.images) and isinstance(before, ToolResult)


def _without_images(message: UserMessage) -> UserMessage:
    note = "(Not shown: you cannot see images. Continue without them.)"
    return UserMessage(content=f"{message.content}\n{note}")


def _image_message(results: Sequence[ToolResult]) -> UserMessage | None:
    """Return a user message with the images of the results; most servers allow only text in tool messages."""
    images: list[Image] = [image for result in results for image in result.images]
    if not images:
        return None
    names = ", ".join(dict.fromkeys(result.name for result in results if result.images))
    return UserMessage(content=f"Images returned by {names}, in order:", images=tuple(images))
