"""Make up names for functions, variables and modules from two vocabularies that share nothing; all chance is given."""

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
# Letters are names of the training only: a test's variables are words, which share no token with them.
_LETTERS = "a b c d g h k m p q s t u v w x y z n i j e f r"


class Names:
    """The names of one project; no word comes twice, so that none is a part of another."""

    def __init__(self, rng: Random, split: Split) -> None:
        self._rng = rng
        self._made_up = split == "train"
        self._given: set[str] = set()
        words = _WORDS[split].split()
        rng.shuffle(words)
        # A folder `trace` would lose to the standard library's module, and a module `queue` would win over it.
        self._words = [word for word in words if word not in sys.stdlib_module_names]
        self._letters = _LETTERS.split() if split == "train" else []
        rng.shuffle(self._letters)

    def function(self) -> str:
        """Name a function: one to three words."""
        return self._compound([3, 6, 1])

    def module(self) -> str:
        """Name a module: one or two words."""
        return self._compound([5, 2])

    def variable(self) -> str:
        """Name a variable: a letter where the vocabulary has letters, or a word or two."""
        if self._letters and self._rng.random() < 0.35:
            return self._letters.pop()
        return self._compound([7, 1])

    def folder(self) -> str:
        """Name a folder."""
        return self._word()

    def copy(self) -> Self:
        """Return names that go on from here, for an attempt that may fail."""
        other = copy(self)
        other._words, other._letters, other._given = list(self._words), list(self._letters), set(self._given)
        return other

    def _compound(self, weights: list[int]) -> str:
        count = self._rng.choices(range(1, len(weights) + 1), weights=weights)[0]
        return "_".join(self._word() for _ in range(count))

    def _word(self) -> str:
        # A hundred words are soon known by heart. Only names that are new each time teach to copy any name.
        while self._made_up and self._rng.random() < 0.75:
            word = _pronounceable(self._rng) if self._rng.random() < 0.4 else _blended(self._rng)
            if word not in _TAKEN and word not in self._given:
                self._given.add(word)
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
    """Join the beginning of a word with the end of another: its tokens are those of real words."""
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
"""Words with a meaning, those of the tests, and those that come from the list."""


def shared_words() -> set[str]:
    """Return the words that both vocabularies have: none."""
    return set(_WORDS["train"].split()) & set(_WORDS["test"].split())
