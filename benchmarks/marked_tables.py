"""Replacement of tables between markers in documents."""

import re


def replace_table(text: str, name: str, table: str) -> str:
    """Replace the table between a document's markers.

    Raises:
        SystemExit: The document does not have the markers exactly once.
    """
    start, end = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
    pattern = re.escape(start) + r".*?" + re.escape(end)
    body = f"{start}\n\n{table}\n\n{end}"
    text, count = re.subn(pattern, lambda _: body, text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"the document has the markers of {name!r} {count} times, not once")
    return text
