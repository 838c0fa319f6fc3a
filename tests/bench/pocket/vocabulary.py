"""Generate words, paths and commands; the caller passes the random generator."""

from random import Random

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_VOWELS = "aeiouy"
_WORDS = (
    "hello world word file test main index data config parser server client result report notes todo list value name "
    "key table user admin login token cache queue event log error trace debug build deploy release version change fix "
    "merge branch commit apple banana cherry lemon orange river mountain forest ocean island winter summer spring "
    "autumn red green blue yellow black white silver golden quick brown lazy fox dog cat bird fish horse tiger lion "
    "house garden window door kitchen table chair paper pencil music song dance story book page letter number "
    "alpha beta gamma delta omega north south east west morning evening night today tomorrow yesterday coffee tea "
    "bread butter cheese sugar salt pepper water fire earth wind stone metal wood glass cotton engine motor wheel "
    "bridge street city village country planet star moon sun light shadow dream memory secret answer question "
    "tramontane pocket agent tool model harness run step verify done ready works finished begin start stop open close"
)
_ENDINGS = "txt txt txt md py py json csv log cfg toml yaml html js sh ini"
_FOLDERS = "src tests docs out out build data lib app tools examples notes logs"
_COMMANDS = (
    "ls|pwd|git status|git log|git diff|make|make test|pytest|pytest -q|python --version|ls -la|date|whoami|env|uname"
)
_PATTERNS = (
    "cat {p}|python {p}|wc -l {p}|grep {w} {p}|pytest -q {p}|echo {w}|make {w}|ls {w}|rm {p}|git checkout {w}|sh {p}|"
    "head -n 5 {p}|cp {p} {q}|mv {p} {q}|{w} {v}|{w} --{v}|touch {p}|mkdir {w}"
)


def word(rng: Random) -> str:
    """Generate a word: a common one, a pronounceable one, or random letters."""
    kind = rng.random()
    if kind < 0.25:
        return rng.choice(_WORDS.split())
    length = rng.randint(2, 10)
    if kind < 0.55:
        odd = rng.randint(0, 1)
        return "".join(rng.choice(_VOWELS if place % 2 == odd else _LETTERS) for place in range(length))
    made = "".join(rng.choice(_LETTERS) for _ in range(length))
    return f"{made}{rng.randint(0, 99)}" if kind > 0.95 else made


def some_path(rng: Random) -> str:
    """Generate the path of a file, up to two folders deep."""
    folders = [
        rng.choice(_FOLDERS.split()) if rng.random() < 0.6 else word(rng) for _ in range(rng.choice([0, 1, 1, 1, 2]))
    ]
    name = word(rng) if rng.random() < 0.85 else f"{word(rng)}{rng.choice('_-')}{word(rng)}"
    ending = rng.choice(_ENDINGS.split()) if rng.random() < 0.9 else "".join(rng.choice(_LETTERS) for _ in range(3))
    return "/".join([*folders, f"{name}.{ending}"])


def some_text(rng: Random) -> str:
    """Generate a line of one to four words."""
    text = " ".join(word(rng) for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4])))
    return text if rng.random() < 0.9 else text.capitalize() + "."


def command(rng: Random) -> str:
    """Generate a one-line shell command."""
    if rng.random() < 0.35:
        return rng.choice(_COMMANDS.split("|"))
    pattern = rng.choice(_PATTERNS.split("|"))
    return pattern.format(p=some_path(rng), q=some_path(rng), w=word(rng), v=word(rng))
