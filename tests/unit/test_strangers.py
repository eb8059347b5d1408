"""The section of the fault matrix that is written from the marked tests."""

from __future__ import annotations

import strangers

PAGE = "# The fault matrix\n\ntext\n\n## On the VM\n\n| a |\n"


def test_the_section_is_written_behind_the_page_and_replaced() -> None:
    once = strangers.with_section(PAGE, {("15.10", "b <c>"): 1, ("15.2", "a | b"): 3})
    assert once.startswith(PAGE)
    assert once.endswith("| 15.2 | a \\| b | passed (3 tests) |\n| 15.10 | b &lt;c> | passed |\n")
    again = strangers.with_section(once, {("16.1", "d"): 1})
    assert again.startswith(PAGE)
    assert again.count(strangers.HEADING) == 1
    assert "15.2" not in again


def test_the_matrix_keeps_the_section() -> None:
    page = strangers.with_section(PAGE, {("16.1", "d"): 1})
    assert strangers.without_section(page) + strangers.section_of(page) == page
    assert strangers.section_of(PAGE) == ""
