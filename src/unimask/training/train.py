"""Training of a network on a folder of labelled images."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from unimask.datasets.windows import warn_about_ranges
from unimask.errors import SettingsError
from unimask.formats.terminal import Terminal
from unimask.inference import Predictor, load
from unimask.losses import PixelCriterion, build_criterion
from unimask.losses.matched import MatchedCriterion
from unimask.processing.value_ranges import ignore_range_warnings
from unimask.text.tokenizers import open_tokenizer
from unimask.training.average import WeightAverage
from unimask.training.balance import class_weights, count_objects, repeat_factors
from unimask.training.fingerprint import take_fingerprint
from unimask.training.loggers import open_loggers
from unimask.training.new_folder import claim_folder
from unimask.training.optimizer import build_optimizer
from unimask.training.plan.plan import Plan, plan_run
from unimask.training.plan.resume import plan_resumed_run
from unimask.training.plan.words import describe
from unimask.training.processes import is_first_process, launch
from unimask.training.recompute import recompute_layers
from unimask.training.request import Request
from unimask.training.run_folder import RunFolder
from unimask.training.run_lock import end_with_launcher, lock_folder
from unimask.training.settings import TrainingSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from unimask.training.loop import Loop


@dataclass(frozen=True)
class Run:
    """Finished or interrupted run.

    Attributes:
        folder: Folder with all files of the run.
        metrics: Best value of the main metric in percent, by name.
        finished: Whether the run is complete; an interrupted one can be resumed.
    """

    folder: Path
    metrics: dict[str, float]
    finished: bool

    @property
    def predictor(self) -> Predictor:
        """Predictor with the best weights."""
        return load(self.folder)


def train(
    data: str | Path | None = None,
    model: str | None = None,
    *,
    task: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    names: tuple[str, ...] | None = None,
    format: str | None = None,
    masks: str | None = None,
    split: str | None = None,
    val_split: str | None = None,
    bands: tuple[int, ...] | None = None,
    chip: int | None = None,
    slices: int | None = None,
    settings: TrainingSettings | None = None,
    device: str | None = None,
    quiet: bool = False,
    **changes: Any,
) -> Run:
    """Train a network on a folder of labelled images.

    The run's folder holds settings, metrics, curves, samples, `weights/best` and `weights/last`
    (averaged, loadable), and `state.pt`, from which an interrupted run continues with the same
    result as an uninterrupted one: `train(resume=True, out=FOLDER)` needs no other argument. Only
    one process at a time can train in a folder.

    Args:
        data: Dataset folder, or name of a dataset on the Hub. A resumed run accepts a moved copy.
        model: Name of a preset or of a published configuration, to train from scratch; or any
            source of `load`, to train its weights further. By default "mask2former-lite0" from
            ImageNet weights if the extra `lite` is installed, else "mask2former-nano"; for 20
            objects per image or more, "unimask-lite0" or "unimask-nano", whose queries are
            selected from the image; "oneformer-lite0" or "oneformer-nano" for `task="all"`.
        task: "semantic", "instance" or "panoptic", which serves all three tasks in MaskFormer and
            Mask2Former; "all" trains a OneFormer, which gets the task of each image as input. By
            default a published configuration's own, else the most general task of the labels.
        out: Folder of the run; `runs/TASK` by default.
        resume: Whether to continue the run in `out` with its own arguments. Only the settings in
            `plan.changes.MAY_CHANGE` may differ; other contradictions raise an error.
        names: Class names, as for `open_dataset`.
        format: Format of the labels, as for `open_dataset`.
        masks: Label maps to read, as for `open_dataset`.
        split: Split to train on; by default "train", or all images if there are no splits.
        val_split: Split to validate on; by default "val", or images set aside from training.
        bands: Scenes: band of each channel, counted from 1, as for `open_dataset`.
        chip: Scenes: side in pixels of the chips they are cut into; 512 by default.
        slices: Volumes: number of neighbouring slices that are channels, as for `open_dataset`.
        settings: All other settings. None chooses them from the data and the hardware
            (`unimask.training.plan`) and prints them.
        changes: Fields of `TrainingSettings` by name, which override `settings` or the choices;
            also `size`, the side of the training crop in pixels, and `epochs` instead of `steps`.
        device: "auto" (default, except for resumed runs), "cpu", "cuda", "cuda:1" or "mps".
        quiet: Whether nothing is printed.

    Raises:
        DataError, TaskError: The dataset cannot be read, or does not match the task.
        MissingExtraError: The extra `train` is not installed.
        SettingsError: The folder already holds a run, an argument does not apply or contradicts
            the resumed run, or the model is unknown.
        TrainingError: The run cannot be resumed, another process uses the folder, or the losses
            stay non-finite.

    Example:
        >>> import unimask
        >>> unimask.train("cells", model="mask2former-nano", out="runs/cells")  # doctest: +SKIP
    """
    request = Request(
        data=data,
        model=model,
        task=task,
        out=None if out is None else Path(out),
        names=names,
        format=format,
        masks=masks,
        split=split,
        val_split=val_split,
        bands=bands,
        chip=chip,
        slices=slices,
        settings=settings,
        device=device,
        changes=changes,
    )
    request.check(resume=resume)
    end_with_launcher()
    if resume:
        return continue_run(request, quiet=quiet)
    plan = plan_run(request)
    with new_folder(request.out or Path("runs") / str(plan.record.task)) as folder:
        report(plan, quiet=quiet)
        return run(plan, folder, quiet=quiet)


def continue_run(request: Request, *, quiet: bool) -> Run:
    """Continue the run of a folder."""
    assert request.out is not None
    folder = RunFolder.existing(request.out)
    with lock_folder(folder.path):
        plan = plan_resumed_run(request, folder)
        report(plan, quiet=quiet)
        if plan.finished and plan.state is not None:
            return Run(folder.path, {"best": plan.state.progress.best}, finished=True)
        return run(plan, folder, quiet=quiet)


@contextmanager
def new_folder(path: Path) -> Iterator[RunFolder]:
    """Create and lock the folder of a new run.

    Raises:
        OutputError: It holds other files, or cannot be created.
        SettingsError: It holds a run.
    """
    if is_first_process():
        claim_folder(path)
    folder = RunFolder(path)
    with lock_folder(path):
        if folder.state_path.exists():
            raise SettingsError(f"{path} already holds a run: resume it, or choose another folder")
        yield folder


def report(plan: Plan, *, quiet: bool) -> None:
    """Print what a run will do, and warn about images that lose most of their values."""
    if not is_first_process():
        return
    warn_about_ranges(plan.range_warnings)
    if not quiet:
        Terminal().print(describe(plan.facts), soft_wrap=True)


def run(plan: Plan, folder: RunFolder, *, quiet: bool) -> Run:
    """Run the training of a plan."""
    fabric = launch(plan.device, plan.settings.precision)
    loop = assemble(fabric, plan, folder)
    begin(loop, plan)
    with ignore_range_warnings():  # warned of by `report`
        loop.run(quiet=quiet)
    return Run(folder.path, {"best": loop.progress.best}, loop.finished)


def begin(loop: "Loop", plan: Plan) -> None:
    """Restore the state of a resumed run, and write the files of the run's start."""
    folder, state = loop.folder, plan.state
    if state is not None:
        loop.restore(state)
    if not loop.fabric.is_global_zero:
        return
    # Raises an error for damaged lines before anything is written.
    folder.remove_rows_after(loop.progress.step)
    loop.loggers = open_loggers(loop.settings.loggers, folder.path, plan.record.summary())
    place = Path(str(plan.record.data))
    folder.write_fingerprint(take_fingerprint(plan.dataset, plan.validation, place))
    if plan.description.config.text is not None and state is None:
        folder.keep_tokenizer(plan.settings.tokenizer)
    folder.write_settings(loop.settings, plan.record.to_json())
    if state is None:
        loop.save()  # so that the run can be resumed at any time, and a full disk is noticed now


def assemble(fabric: "Fabric", plan: Plan, folder: RunFolder) -> "Loop":
    """Build optimizer, losses and examples of a run around its network."""
    from unimask.training.batches import Examples
    from unimask.training.loop import Loop
    from unimask.training.steps import TrainState
    from unimask.training.texts import ImageTexts

    description, settings, dataset = plan.description, plan.settings, plan.dataset
    network = plan.network
    if settings.freeze == "backbone":
        network.backbone.requires_grad_(False)
    optimizer = build_optimizer(network, settings, pretrained=plan.record.pretrained)
    average = WeightAverage(network.to(fabric.device), settings.ema_decay)
    if settings.recompute:
        recompute_layers(network)
    network, optimizer = fabric.setup(network, optimizer)
    place = folder.tokenizer(settings.tokenizer)
    tokenizer = open_tokenizer(place) if description.config.text else None
    texts = ImageTexts.of(description.config, tokenizer, dataset.labels)
    criterion = build_criterion(description.config, settings.criterion)
    factors = balance(criterion, folder, plan)
    return Loop(
        fabric=fabric,
        state=TrainState(network, optimizer, average, criterion.to(fabric.device)),
        examples=Examples(
            dataset,
            plan.tasks,
            settings,
            description.preprocessing,
            texts,
            factors,
            clips=description.config.clips,
        ),
        validation=plan.validation,
        description=description,
        folder=folder,
        settings=settings,
    )


def balance(
    criterion: MatchedCriterion | PixelCriterion,
    folder: RunFolder,
    plan: Plan,
) -> Float[np.ndarray, " n"] | None:
    """Set the class weights of the loss if requested; return the images' repeat factors."""
    settings, dataset = plan.settings, plan.dataset
    if not settings.repeat_rare and not settings.weigh_classes:
        return None
    shape = len(dataset), len(dataset.labels)
    with ignore_range_warnings():
        counts = folder.class_counts(lambda: count_objects(dataset), shape, new=plan.state is None)
    if settings.weigh_classes:
        assert isinstance(criterion, MatchedCriterion)  # ensured by the plan
        classes = len(criterion.class_weights) - 1  # without a background that the network lacks
        criterion.set_class_weights(class_weights(counts)[:classes].tolist())
    return repeat_factors(counts, settings.repeat_rare) if settings.repeat_rare else None
