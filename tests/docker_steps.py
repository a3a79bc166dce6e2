"""The instructions of docker/Dockerfile."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
DOCKER = REPOSITORY / "docker"


def instructions() -> list[tuple[str, str]]:
    """Return names and arguments of all instructions, in order."""
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage of the build."""
    starts = [i for i, (name, _) in enumerate(instructions()) if name == "FROM"]
    ends = [*starts[1:], len(instructions())]
    return [instructions()[start:end] for start, end in zip(starts, ends, strict=True)]
