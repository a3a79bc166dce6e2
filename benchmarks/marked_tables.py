"""Tables in documents, between two marks, so that scripts can renew them."""

import re


def with_table(text: str, name: str, table: str) -> str:
    """Give a document with another table between the marks of a name.

    Raises:
        SystemExit: The marks do not stand there exactly once.
    """
    start, end = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
    pattern = re.escape(start) + r".*?" + re.escape(end)
    body = f"{start}\n\n{table}\n\n{end}"
    text, count = re.subn(pattern, lambda _: body, text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"the marks of {name!r} stand {count} times in the document")
    return text
