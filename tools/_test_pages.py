"""Split a test report into pages that a result has room for; pure."""

from __future__ import annotations

from collections.abc import Sequence

PAGE_CHARS = 12_000
"""Below the default limit at which a tool's result is cut; a third more has room for what stands around a page."""
PAGE_FAILURES = 8
_LEAST_NAMES_CHARS = 300
_PAGE_LINE_CHARS = 200


def around_first_page(head: Sequence[str], page_chars: int) -> tuple[int, int]:
    """Return how many characters the blocks of the first page may take, and the names of what is on the others.

    Args:
        head: the lines above the blocks; the longer they are, the less room is left.
        page_chars: of the other pages.
    """
    left = page_chars // 3 - sum(len(line) + 1 for line in head) - _PAGE_LINE_CHARS
    return page_chars - max(0, _LEAST_NAMES_CHARS - left), max(_LEAST_NAMES_CHARS, left)


def split_blocks(blocks: Sequence[str], *, first_chars: int, page_chars: int) -> list[list[str]]:
    """Return the pages of a list of blocks; each has one at least, however long it is.

    Args:
        blocks: texts that stay whole.
        first_chars: bound of the first page.
        page_chars: bound of the others.
    """
    pages: list[list[str]] = [[]]
    for block in blocks:
        page, most = pages[-1], page_chars if len(pages) > 1 else first_chars
        if page and (len(page) == PAGE_FAILURES or sum(map(len, page)) + len(block) > most):
            pages.append([])
        pages[-1].append(block)
    return pages


def split_lines(lines: Sequence[str], page_chars: int) -> list[str]:
    """Return the pages of a long text; only a line that is longer than a page is cut."""
    pages, size = [""], 0
    for line in lines:
        for part in [line[at : at + page_chars] for at in range(0, len(line), page_chars)] or [""]:
            if size + len(part) > page_chars and size:
                pages.append("")
                size = 0
            pages[-1] += f"\n{part}" if size else part
            size += len(part) + 1
    return pages
