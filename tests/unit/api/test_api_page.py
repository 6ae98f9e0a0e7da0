"""The reference page of the Python face is that of the docstrings."""

from python_page import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "docs/reference/python.md is stale; write it again with: python tests/python_page.py"
    )
