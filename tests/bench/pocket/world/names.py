"""Generate names of functions, variables and modules, from one of two disjoint vocabularies."""

import builtins
import keyword
import sys
from copy import copy
from random import Random
from typing import Literal, Self

Split = Literal["train", "test"]

_WORDS: dict[Split, str] = {
    "train": (
        "account amount angle apple area banana basket batch beam bird boat bonus border bottle branch bread bridge "
        "budget cabin cake camera candle card cargo carrot castle cell chain chair charge circle city clock cloud coin "
        "color column cost count crate credit crop crown curve dance debt degree delay demand depth desk distance "
        "dollar door dose drum edge engine entry error event factor farm fee field finger flame floor flower forest "
        "fuel gain garden gate glass goal grain grade grid group guest hall hand harbor heat height hill horse hotel "
        "house index inner island item joint journey kernel kettle key ladder lake lamp layer leaf lemon length level "
        "limit loan lock loss lower machine margin market mass meal measure member metal minute mirror model month "
        "motor mountain music needle net noise north number ocean offer orange order outer owner packet page paint"
    ),
    "test": (
        "paper parcel part past path peak pencil person piece pipe pixel planet plant plate point pole pond portion "
        "pressure price prize profit pupil quarter queue radius rain rank rate ratio record refund rent reserve reward "
        "ribbon ring river road rock roof room root rope round salary sample score season second sector shape share "
        "sheet shelf ship side signal silver size slope smoke snow song span speed spoon spring square stage stamp "
        "star station steam stock stone storm street summer supply surplus table tank target tax team temple tent "
        "ticket tide timber token tool tower town trace track trade train treaty tree tunnel turn upper user valley "
        "value vector village voltage volume wage wagon wall water wave weight wheel width wind window winter yard year"
    ),
}
# Only the training uses letters as names: variables of the test split are words, which share no token with letters.
_LETTERS = "a b c d g h k m p q s t u v w x y z n i j e f r"


class Names:
    """The names of one project; no word is used twice, so that no name contains another."""

    def __init__(self, rng: Random, split: Split) -> None:
        self._rng = rng
        self._invents = split == "train"
        self._used: set[str] = set()
        words = _WORDS[split].split()
        rng.shuffle(words)
        # A folder `trace` would be shadowed by the standard library's module, and a module `queue` would shadow it.
        self._words = [word for word in words if word not in sys.stdlib_module_names]
        self._letters = _LETTERS.split() if split == "train" else []
        rng.shuffle(self._letters)

    def function(self) -> str:
        """Return a new function name of one to three words."""
        return self._compound([3, 6, 1])

    def module(self) -> str:
        """Return a new module name of one or two words."""
        return self._compound([5, 2])

    def variable(self) -> str:
        """Return a new variable name: a letter, if the vocabulary has letters, or one or two words."""
        if self._letters and self._rng.random() < 0.35:
            return self._letters.pop()
        return self._compound([7, 1])

    def folder(self) -> str:
        """Return a new folder name."""
        return self._word()

    def copy(self) -> Self:
        """Return an independent copy with the same state, for an attempt that may fail."""
        other = copy(self)
        other._words, other._letters, other._used = list(self._words), list(self._letters), set(self._used)
        return other

    def _compound(self, weights: list[int]) -> str:
        count = self._rng.choices(range(1, len(weights) + 1), weights=weights)[0]
        return "_".join(self._word() for _ in range(count))

    def _word(self) -> str:
        # The model would memorise a hundred words. Only new names each time teach it to copy any name.
        while self._invents and self._rng.random() < 0.75:
            word = _pronounceable(self._rng) if self._rng.random() < 0.4 else _blended(self._rng)
            if word not in _TAKEN and word not in self._used:
                self._used.add(word)
                return word
        return self._words.pop()


def _pronounceable(rng: Random) -> str:
    if rng.random() < 0.2:
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 7)))
    odd = rng.randint(0, 1)
    letters = [
        rng.choice("aeiou" if place % 2 == odd else "bcdfghklmnprstvwzbdlmnrst") for place in range(rng.randint(3, 8))
    ]
    if rng.random() < 0.4:
        letters.insert(rng.randrange(len(letters)), rng.choice("lnrst"))
    return "".join(letters)


def _blended(rng: Random) -> str:
    """Join the beginning of one word and the end of another, so that the tokens are those of real words."""
    one, two = rng.choice(_TRAINING), rng.choice(_TRAINING)
    return one[: rng.randint(2, len(one))] + two[rng.randint(1, len(two) - 2) :]


_TRAINING = _WORDS["train"].split()
_TAKEN = (
    frozenset(keyword.kwlist)
    | sys.stdlib_module_names
    | set(dir(builtins))
    | set(_WORDS["test"].split())
    | set(_TRAINING)
)
"""Words with a meaning in Python, those of the test split, and those of the training list."""


def shared_words() -> set[str]:
    """Return the words in both vocabularies; must be empty."""
    return set(_WORDS["train"].split()) & set(_WORDS["test"].split())
