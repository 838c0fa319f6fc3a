"""A pytest plugin for a debugged test run: stops the debugger where a test fails; imports nothing of ours.

The exceptions that a test, pytest or a library handles do not count: pytest has them reported as failures first.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import pluggy


@pytest.hookimpl(hookwrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Turn pytest-cov off, whose tracing replaces the debugger's."""
    options = early_config.known_args_namespace
    if hasattr(options, "no_cov"):
        options.no_cov = True
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Iterator[None]:
    """Run the tests in this process also with pytest-xdist: the debugger does not follow to others."""
    if hasattr(config.option, "numprocesses"):
        config.option.numprocesses = 0
        config.option.dist = "no"
    yield


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[object],
) -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    """Stop at a failure of a test, a subtest or a fixture, before it is printed and with its frames still alive."""
    outcome = yield
    if outcome.get_result().failed and call.excinfo is not None:
        _stop_at(call.excinfo.value)


def pytest_exception_interact(call: pytest.CallInfo[object], report: pytest.CollectReport | pytest.TestReport) -> None:
    """Stop at the error of a file that cannot be imported."""
    if report.when == "collect" and call.excinfo is not None:
        error = call.excinfo.value
        if isinstance(error, pytest.Collector.CollectError):
            error = error.__cause__ or error  # pytest wraps the errors of an import
        _stop_at(error)


def _stop_at(error: BaseException) -> None:
    excinfo = (type(error), error, error.__traceback__)
    debugger = sys.modules["pydevd"].get_global_debugger()
    if hasattr(debugger, "trigger_exception_handler"):
        debugger.trigger_exception_handler(excinfo)
        return
    # debugpy before 1.8.22
    thread = threading.current_thread()
    info = debugger.set_additional_thread_info(thread)
    info.is_tracing += 1
    try:
        debugger.stop_on_unhandled_exception(debugger, thread, info, excinfo)
    finally:
        info.is_tracing -= 1
