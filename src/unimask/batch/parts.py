"""Parts of a run: which of them belong to a shard, and which are to be computed."""

import re
from dataclasses import dataclass

from unimask.batch.record import RunRecord
from unimask.batch.rows import count_errors
from unimask.errors import SettingsError

SHARD = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})")


@dataclass(frozen=True)
class Shard:
    """One of several processes that share the parts of a run.

    Attributes:
        number: Number of the shard, from 1.
        count: Number of shards.
    """

    number: int = 1
    count: int = 1

    def parts(self, num_parts: int) -> range:
        """Return the parts of the shard: every `count`-th of all."""
        return range(self.number - 1, num_parts, self.count)


def parse_shard(text: str | None) -> Shard:
    """Parse NUMBER/COUNT.

    Raises:
        SettingsError: The text has another form, or the number is out of range.
    """
    if text is None:
        return Shard()
    match = SHARD.fullmatch(text)
    if match is None or int(match[1]) > int(match[2]):
        raise SettingsError(f"--shard {text!r}: pass NUMBER/COUNT, such as 1/4 to 4/4")
    return Shard(int(match[1]), int(match[2]))


def pending_parts(record: RunRecord, shard: Shard, retry_errors: bool = False) -> list[int]:
    """Return the parts of a shard that are to be computed.

    Args:
        record: The run.
        shard: Shard of this process.
        retry_errors: Whether existing parts with failed images count as well.
    """
    pending = []
    for part in shard.parts(record.num_parts):
        path = record.part_path(part)
        if not path.exists() or (retry_errors and count_errors(path)):
            pending.append(part)
    return pending


def count_failed(record: RunRecord, shard: Shard) -> int:
    """Count the failed images of the complete parts of a shard."""
    paths = (record.part_path(part) for part in shard.parts(record.num_parts))
    return sum(count_errors(path) for path in paths if path.exists())
