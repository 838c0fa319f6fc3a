"""Generate conversations in parallel processes and provide them to the training as batches on its device."""

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pocket.corpus import write_tokens
from pocket.network import PARAMS, Module, Tensor

_HELD_OUT = 64
"""One in this many conversations is held out of the training, for measurement."""
_ROUND = 128
"""Batch width is the length of the longest conversation, rounded up to a multiple of this many tokens."""


def start_workers(vocabulary: Path, folder: Path, *, workers: int, per_shard: int, seed: int) -> list[Any]:
    """Start processes that write shards into a folder until they are terminated."""
    context = multiprocessing.get_context("spawn")
    started: list[Any] = []
    for number in range(workers):
        worker = context.Process(target=_work, args=(vocabulary, folder, per_shard, seed, number), daemon=True)
        worker.start()
        started.append(worker)
    return started


def _work(vocabulary: Path, folder: Path, per_shard: int, seed: int, number: int) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    for turn in range(10_000):
        half = folder / f"{number:02d}-{turn:04d}.half.npz"
        count = per_shard // 4 if turn == 0 else per_shard  # small first shards, so that the training can begin early
        shard_seed = (seed * 1_000 + number) * 10_000 + turn
        write_tokens(vocabulary, half, count=count, seed=shard_seed)
        half.rename(folder / f"{number:02d}-{turn:04d}.npz")


class Pool:
    """All conversations so far, on the training's device."""

    def __init__(self, torch: Module, device: str, folder: Path, pieces: Path, *, batch_tokens: int, seed: int) -> None:
        import numpy as np

        self._np, self._torch, self._device = np, torch, device
        self._folder, self._batch_tokens = folder, batch_tokens
        self._rng = np.random.default_rng(seed)
        self._read: set[str] = set()
        self._shards: list[tuple[Any, Any, Any]] = []
        """Per shard: tokens, training mask, and where each conversation begins."""
        self._index: list[tuple[int, int, int, bool]] = []
        """Per conversation: shard, number in the shard, length in tokens, whether it holds code."""
        self._held: list[int] = []
        """Indices of the conversations held out of the training."""
        self._queue: list[list[int]] = []
        known = np.load(pieces)
        self._pieces, self._movable = (torch.from_numpy(known[key]).to(device) for key in ("pieces", "movable"))

    def __len__(self) -> int:
        return len(self._index)

    @property
    def tokens(self) -> int:
        """Return the total number of tokens."""
        return sum(size for _, _, size, _ in self._index)

    def refresh(self) -> int:
        """Load new shards; return the number of new conversations."""
        before = len(self._index)
        for file in sorted(self._folder.glob("*.npz")):
            if file.name in self._read or ".half." in file.name:
                continue
            self._read.add(file.name)
            self._load(file)
        new = range(before, len(self._index))
        self._held += [at for at in new if at % _HELD_OUT == 0]
        fresh = [at for at in new if at % _HELD_OUT]
        if fresh:
            # Train on the new conversations next, together with as many older ones.
            old: list[int] = self._rng.integers(0, before, len(fresh)).tolist() if before else []
            old = [at for at in old if at % _HELD_OUT]
            self._queue = self._batches([*fresh, *old])
        return len(new)

    def held(self, most: int) -> Iterator[tuple[Any, Any]]:
        """Yield batches of up to `most` held-out conversations, without exchanging pieces."""
        for batch in self._batches(self._held[:most]):
            yield self._fetch(batch, vary=False)

    def batches(self) -> Iterator[tuple[Any, Any]]:
        """Yield tokens and training mask, both (rows, columns), endlessly; word pieces are exchanged at random."""
        while True:
            if not self._queue:
                drawn = self._rng.permutation(len(self._index))[:4096].tolist()
                self._queue = self._batches([at for at in drawn if at % _HELD_OUT])
            yield self._fetch(self._queue.pop(), vary=True)

    def _load(self, file: Path) -> None:
        np, torch = self._np, self._torch
        part = np.load(file)
        lengths = part["lengths"].astype(np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        bits = np.concatenate([[0], np.cumsum((lengths + 7) // 8)])
        packed = part["learn"]
        learn = [np.unpackbits(packed[bits[at] : bits[at + 1]])[: lengths[at]] for at in range(len(lengths))]
        tokens = torch.from_numpy(part["tokens"].astype(np.int16)).to(self._device)  # 2048 ranks fit below the sign bit
        self._shards.append(
            (tokens, torch.from_numpy(np.concatenate(learn).astype(bool)).to(self._device), starts.tolist())
        )
        shard = len(self._shards) - 1
        self._index += [
            (shard, at, int(size), bool(code))
            for at, (size, code) in enumerate(zip(lengths, part["code"], strict=True))
        ]

    def _batches(self, chosen: list[int]) -> list[list[int]]:
        """Group conversations of similar length, as many per batch as fit when padded to the longest."""
        jitter = self._rng.integers(0, 64, len(chosen)).tolist()
        pairs = sorted(zip(chosen, jitter, strict=True), key=lambda pair: self._index[pair[0]][2] + pair[1])
        found: list[list[int]] = []
        batch: list[int] = []
        for at, _ in pairs:
            if batch and self._width([*batch, at]) * (len(batch) + 1) > self._batch_tokens:
                found.append(batch)
                batch = []
            batch.append(at)
        found.append(batch)
        self._rng.shuffle(found)
        return found

    def _width(self, batch: list[int]) -> int:
        longest = max(self._index[batch[0]][2], self._index[batch[-1]][2])
        return -(-longest // _ROUND) * _ROUND

    def _fetch(self, batch: list[int], *, vary: bool) -> tuple[Any, Any]:
        torch = self._torch
        width = -(-max(self._index[at][2] for at in batch) // _ROUND) * _ROUND
        x = torch.zeros(len(batch), width, dtype=torch.long, device=self._device)
        learn = torch.zeros(len(batch), width, dtype=torch.bool, device=self._device)
        for row, at in enumerate(batch):
            shard, number, size, _ = self._index[at]
            tokens, learned, starts = self._shards[shard]
            x[row, :size] = tokens[starts[number] : starts[number] + size]
            learn[row, :size] = learned[starts[number] : starts[number] + size]
        if vary:
            code = torch.tensor([self._index[at][3] for at in batch], device=self._device)
            x = self._exchange_pieces(x, code)
        return x, learn

    def _exchange_pieces(self, x: Tensor, code: Tensor) -> Tensor:
        """Exchange pieces of invented words for others, consistently within a conversation.

        Without this the model can copy only the names it was trained on. In conversations with code the exchange is
        one-to-one, so that two names never become the same; elsewhere any piece may replace another.
        """
        torch, rows, count = self._torch, len(x), len(self._movable)
        table = torch.arange(PARAMS["vocab_size"], device=self._device).repeat(rows, 1)
        here = torch.rand(rows, 1, device=self._device) < 0.75
        any_piece = self._pieces[torch.randint(len(self._pieces), (rows, count), device=self._device)]
        swapped = torch.where(torch.rand(rows, count, device=self._device) < 0.5, any_piece, self._movable[None])
        distinct = self._pieces[torch.rand(rows, len(self._pieces), device=self._device).argsort(1)[:, :count]]
        other = torch.where(code[:, None], distinct, swapped)
        table[:, self._movable] = torch.where(here, other, self._movable[None])
        return table.gather(1, x)
