"""Settings of a resumed run: which may change, and contradictions that are refused."""

import os
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from unimask.errors import SettingsError
from unimask.training.plan.choices import count_steps
from unimask.training.plan.facts import SettingChanged
from unimask.training.plan.hardware import find_machine
from unimask.training.plan.plan import Plan
from unimask.training.plan.words import as_given, option
from unimask.training.request import Request
from unimask.training.run_record import RunRecord
from unimask.training.settings import SHORTHANDS, TrainingSettings
from unimask.training.texts import AUTO

MAY_CHANGE = {
    "device": "Steps give the same results on another device, up to rounding.",
    "steps": "A run may be longer or shorter; the rest follows the schedule of the new length.",
    "epochs": "Another unit for the number of steps.",
    "learning_rate": "A diverging run needs a lower one; it applies from the saved step on.",
    "precision": "A diverging run may need float32; it applies from the saved step on.",
    "batch_size": "An update has as many images as before if --accumulate changes accordingly.",
    "accumulate": "An update has as many images as before if --batch-size changes accordingly.",
    "recompute": "Gradients are the same with less memory.",
    "workers": "The images of a step do not depend on the process that reads them.",
    "evaluate_every": "Validation does not change the weights.",
    "patience": "Early stopping does not change the weights.",
    "save_every": "Saving does not change the weights.",
    "loggers": "Logging does not change the weights.",
    "on_bad_image": "Readable images are not affected.",
    "max_bad_steps": "Steps with finite losses are not affected.",
}
"""Settings that may change when a run is resumed, and the reason; all others are fixed."""

RECORDED = (
    "model",
    "task",
    "names",
    "format",
    "masks",
    "split",
    "val_split",
    "bands",
    "chip",
    "slices",
)
"""Arguments besides settings that are recorded at the start of a run, and are fixed."""

PYTHON_ONLY = frozenset({"save_every", "max_bad_steps"})
"""Settings that the command line has no option for."""


def refuse_contradictions(
    record: RunRecord, settings: TrainingSettings, request: Request, folder: Path
) -> None:
    """Raise SettingsError if a given argument differs from that of the run.

    Raises:
        SettingsError: There is one; the message has both values.
    """
    for name, value, own in contradictions(record, settings, request):
        allowed = ", ".join(option(each) for each in MAY_CHANGE if each not in PYTHON_ONLY)
        raise SettingsError(
            f"{option(name)} {value} contradicts the run in {folder}, "
            f"which has {own}: leave it out, or start a new run in another --out (a resumed run "
            f"may change {allowed}, and where DATA lies)"
        )


def contradictions(
    record: RunRecord, settings: TrainingSettings, request: Request
) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, given value and run's value of each contradicting argument."""
    old = record.network is None
    for name in RECORDED:
        value, own = getattr(request, name), getattr(record, name)
        unknown = old and own is None  # not recorded by an earlier release
        if value is not None and not unknown and not same_place(value, own):
            yield name, as_given(value), as_given(own)
    for name, value in given_settings(request).items():
        if name in MAY_CHANGE:
            continue
        size = name == "size"
        own = settings.augmentation.crop if size else getattr(settings, name)
        automatic = name == "tokenizer" and value == AUTO
        if not automatic and not same_place(value, own):
            yield name, as_given(value), as_given(own)


def given_settings(request: Request) -> dict[str, Any]:
    """Return the given settings by name."""
    field_names = {field.name for field in fields(TrainingSettings)}
    for name in request.changes:
        if name not in field_names | set(SHORTHANDS):
            raise SettingsError(f"{name!r} is no setting: see TrainingSettings")
    whole = request.settings
    values = {} if whole is None else {name: getattr(whole, name) for name in sorted(field_names)}
    return values | dict(request.changes)


def same_place(given: Any, own: Any) -> bool:
    """Return whether two values are equal, or paths of the same file."""
    if isinstance(given, str) and isinstance(own, str):
        given, own = (os.path.abspath(os.path.expanduser(name)) for name in (given, own))
    return given == own


def change_settings(plan: Plan, request: Request, folder: Path) -> TrainingSettings:
    """Return the run's settings with the changes that were given.

    Raises:
        SettingsError: The number of images per step would change.
    """
    changes = {k: v for k, v in given_settings(request).items() if k in MAY_CHANGE}
    epochs = changes.pop("epochs", None)
    if epochs is not None and "steps" in request.changes:
        raise SettingsError("pass --steps or --epochs, not both")
    changed = replace(plan.settings, **changes)
    machine = find_machine(plan.device)
    processes = machine.processes
    images = changed.batch_size * changed.accumulate * processes
    before = plan.settings.batch_size * plan.settings.accumulate
    before *= plan.record.processes or processes
    if images != before:
        passes = before / (changed.batch_size * processes)
        advice = f"--accumulate {passes:g}" if passes.is_integer() else "another --batch-size"
        raise SettingsError(
            f"an update of the run in {folder} takes {before} images, this would take {images} "
            f"({changed.batch_size} at a time, {changed.accumulate} passes, {processes} "
            f"processes): pass {advice}"
        )
    if epochs is not None:
        steps = count_steps(len(plan.dataset), images, epochs, machine)
        changed = replace(changed, steps=steps)
    return changed


def find_changes(before: TrainingSettings, now: TrainingSettings) -> tuple[SettingChanged, ...]:
    """List the settings that differ."""
    pairs = ((name, getattr(before, name, None), getattr(now, name, None)) for name in MAY_CHANGE)
    return tuple(SettingChanged(name=n, old=old, new=new) for n, old, new in pairs if old != new)
