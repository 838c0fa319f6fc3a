"""Convert signals to KeyboardInterrupt for the duration of a block."""

import signal
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def interrupt_on(*numbers: signal.Signals) -> Generator[None]:
    """Raise KeyboardInterrupt on these signals and on SIGINT, which a shell's background jobs ignore by default.

    SIGHUP stays ignored if it was ignored: nohup relies on this.
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
