"""JSON files of other programs."""

import json
from pathlib import Path
from typing import Any

from unimask.errors import DataError


def read_json(path: Path) -> Any:
    """Read a whole JSON file.

    Raises:
        DataError: The file cannot be read, or is not valid JSON.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"it holds {constant}, which is not a JSON number")

    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=refuse)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({str(error)[:200]}): write it again") from None
