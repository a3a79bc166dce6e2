"""Renaming of tensors in both directions by a table of pairs (ours, theirs).

In a pattern, `*` matches one dotted part of a name and a final `**` everything that follows. If
`theirs` is a tuple, our tensor is theirs concatenated along the first axis (fused q, k, v). The
first pair that matches one of our names applies.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from unimask.errors import CheckpointError

Theirs = str | tuple[str, ...]
Rules = Sequence[tuple[str, Theirs]]


def compile_rule(ours: str) -> re.Pattern[str]:
    """Compile a pattern to a regular expression with one group per star."""
    expression = re.escape(ours).replace(r"\*\*", "(.+)").replace(r"\*", r"([^.]+)")
    return re.compile(expression)


def their_names(name: str, rules: Sequence[tuple[re.Pattern[str], Theirs]]) -> tuple[str, ...]:
    """Return the other side's names of our tensor `name`.

    Raises:
        CheckpointError: No rule matches.
    """
    for pattern, theirs in rules:
        match = pattern.fullmatch(name)
        if match:
            forms = (theirs,) if isinstance(theirs, str) else theirs
            return tuple(
                form.replace("**", "*").replace("*", "{}").format(*match.groups()) for form in forms
            )
    raise CheckpointError(f"no rule renames {name!r}")


def to_ours(
    state: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    rules: Rules,
    *,
    ignored: Iterable[str] = (),
) -> dict[str, Tensor]:
    """Rename a state dict to our names and check it against the network's own.

    Double precision, which some files contain in places, is converted to single precision.

    Args:
        state: Tensors under their names.
        expected: Our names with tensors of the expected shapes (on any device).
        rules: Pairs of our and their names.
        ignored: Regular expressions for their names that are no weights of the network.

    Raises:
        CheckpointError: Tensors are missing, unknown, or have another shape; the message lists
            them.
    """
    compiled = [(compile_rule(ours), theirs) for ours, theirs in rules]
    renamed, missing, used = {}, [], set()
    for name in expected:
        sources = their_names(name, compiled)
        absent = [source for source in sources if source not in state]
        used.update(sources)
        if absent:
            missing += absent
            continue
        parts = [state[source] for source in sources]
        value = parts[0] if len(parts) == 1 else torch.cat(parts)
        renamed[name] = value.float() if value.dtype == torch.float64 else value
    skip = [re.compile(expression) for expression in ignored]
    unknown = [n for n in state if n not in used and not any(s.fullmatch(n) for s in skip)]
    shapes = [
        f"{name} is {tuple(value.shape)} instead of {tuple(expected[name].shape)}"
        for name, value in renamed.items()
        if value.shape != expected[name].shape
    ]
    raise_for_names("missing", missing)
    raise_for_names("unknown", unknown)
    raise_for_names("of another shape", shapes)
    return renamed


def to_theirs(state: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """Rename our tensors to their names, and split those that are fused here."""
    compiled = [(compile_rule(ours), theirs) for ours, theirs in rules]
    renamed = {}
    for name, value in state.items():
        names = their_names(name, compiled)
        parts = (value,) if len(names) == 1 else value.chunk(len(names))
        for target, part in zip(names, parts, strict=True):
            renamed[target] = part.contiguous()
    return renamed


def raise_for_names(problem: str, names: list[str]) -> None:
    """Raise an error that lists the first of the names, if there are any."""
    if names:
        listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise CheckpointError(f"{len(names)} tensors are {problem}: {listed}")
