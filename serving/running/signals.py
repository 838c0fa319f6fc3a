"""Let a signal end a block as cleanly as Ctrl-C does."""

import signal
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def ended_by_signals(*numbers: signal.Signals) -> Generator[None]:
    """Raise KeyboardInterrupt when one of the signals comes, or SIGINT, which a shell's background job ignores.

    A SIGHUP that is ignored stays so: it is how nohup keeps a program when its terminal is closed.
    """

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGINT, *numbers)
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
