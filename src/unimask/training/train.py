"""Training of a network on a folder of labelled images."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from unimask.datasets.windows import check_value_ranges, set_window, warn_about_ranges
from unimask.errors import SettingsError
from unimask.formats.terminal import Terminal
from unimask.inference import Predictor, load
from unimask.losses import PixelCriterion, build_criterion
from unimask.losses.matched import MatchedCriterion
from unimask.modeling.build import build_segmenter
from unimask.processing.value_ranges import ignore_range_warnings
from unimask.text.tokenizers import open_tokenizer
from unimask.training.average import WeightAverage
from unimask.training.balance import class_weights, count_objects, repeat_factors
from unimask.training.fingerprint import take_fingerprint
from unimask.training.loggers import open_loggers
from unimask.training.new_folder import claim_folder
from unimask.training.optimizer import build_optimizer
from unimask.training.plan import Plan, new_plan
from unimask.training.processes import is_first_process, launch
from unimask.training.recompute import recompute_layers
from unimask.training.request import Request, chosen_tasks, open_splits
from unimask.training.resume import is_over, resumed_plan
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
            source of `load`, to train its weights further.
        task: "semantic", "instance" or "panoptic", which serves all three tasks in MaskFormer and
            Mask2Former; "all" trains a OneFormer, which gets the task of each image as input. By
            default a published configuration's own, else the most general task of the labels.
        out: Folder of the run; `runs/TASK` by default.
        resume: Whether to continue the run in `out` with its own arguments. Only the settings in
            `resume.MAY_CHANGE` may differ; other contradictions raise an error.
        names: Class names, as for `open_dataset`.
        format: Format of the labels, as for `open_dataset`.
        masks: Label maps to read, as for `open_dataset`.
        split: Split to train on; by default "train", or all images if there are no splits.
        val_split: Split to validate on; by default "val", or images set aside from training.
        settings: All other settings. None chooses them from the data and the hardware
            (`unimask.training.choices`) and prints them.
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
        settings=settings,
        device=device,
        changes=changes,
    )
    request.check(resume=resume)
    end_with_launcher()
    return continue_run(request, quiet=quiet) if resume else start_run(request, quiet=quiet)


def start_run(request: Request, *, quiet: bool) -> Run:
    """Train in a new folder."""
    splits = open_splits(request)
    task, tasks = chosen_tasks(request.task, str(request.model), splits[0])
    path = request.out or Path("runs") / task
    if is_first_process():
        claim_folder(path)
    folder = RunFolder(path)
    with lock_folder(folder.path):
        refuse_run(folder)
        return execute(new_plan(request, splits, task, tasks), folder, quiet=quiet)


def refuse_run(folder: RunFolder) -> None:
    """Raise SettingsError if a folder already holds a run.

    Raises:
        SettingsError: It holds a run.
    """
    if folder.state_path.exists():
        raise SettingsError(f"{folder.path} already holds a run: resume it, or give another folder")


def continue_run(request: Request, *, quiet: bool) -> Run:
    """Continue the run of a folder."""
    assert request.out is not None
    folder = RunFolder.existing(request.out)
    with lock_folder(folder.path):
        plan = resumed_plan(request, folder)
        if over := is_over(plan):
            if not quiet and is_first_process():
                Terminal().print(over, soft_wrap=True)
            return Run(folder.path, {"best": plan.best}, finished=True)
        return execute(plan, folder, quiet=quiet)


def execute(plan: Plan, folder: RunFolder, *, quiet: bool) -> Run:
    """Run the training of a plan."""
    fabric = launch(plan.device, plan.settings.precision)
    loop = assemble(fabric, plan, folder)
    begin(loop, plan)
    if not quiet and fabric.is_global_zero:
        Terminal().print(plan.words, soft_wrap=True)
    with ignore_range_warnings():  # warned of when they were read first
        loop.run(quiet=quiet)
    return Run(folder.path, {"best": loop.best}, loop.finished)


def begin(loop: "Loop", plan: Plan) -> None:
    """Restore the state of a resumed run, and write the files of the run's start."""
    folder, state = loop.folder, plan.state
    if state is not None:
        loop.restore(state)
    if not loop.fabric.is_global_zero:
        return
    folder.forget_after(loop.step)  # raises an error for damaged lines before anything is written
    loop.loggers = open_loggers(loop.settings.loggers, folder.path, plan.record.summary())
    place = Path(str(plan.record.data))
    folder.write_fingerprint(take_fingerprint(plan.dataset, plan.validation, place))
    if plan.checkpoint.description.config.text is not None and state is None:
        folder.keep_tokenizer(plan.settings.tokenizer)
    folder.write_settings(loop.settings, plan.record.to_json())
    if state is None:
        loop.save()  # so that the run can be resumed at any time, and a full disk is noticed now


def assemble(fabric: "Fabric", plan: Plan, folder: RunFolder) -> "Loop":
    """Build network, optimizer, losses and examples of a run."""
    for images in (plan.dataset, plan.validation):
        set_window(images, plan.checkpoint.description.preprocessing.window)
    ranges = check_value_ranges(plan.dataset)
    if fabric.is_global_zero:
        warn_about_ranges(ranges)
    from unimask.training.batches import Examples
    from unimask.training.loop import Loop
    from unimask.training.steps import Trainee
    from unimask.training.texts import ImageTexts

    checkpoint, settings, dataset = plan.checkpoint, plan.settings, plan.dataset
    network = build_segmenter(checkpoint.description.config)
    network.load_state_dict(checkpoint.state)
    optimizer = build_optimizer(network, settings, pretrained=plan.pretrained)
    average = WeightAverage(network.to(fabric.device), settings.ema_decay)
    if settings.recompute:
        recompute_layers(network)
    network, optimizer = fabric.setup(network, optimizer)
    place = folder.tokenizer(settings.tokenizer)
    tokenizer = open_tokenizer(place) if checkpoint.description.config.text else None
    texts = ImageTexts.of(checkpoint.description.config, tokenizer, dataset.labels)
    criterion = build_criterion(checkpoint.description.config, settings.criterion)
    factors = balance(criterion, folder, plan)
    return Loop(
        fabric=fabric,
        trainee=Trainee(network, optimizer, average, criterion.to(fabric.device)),
        examples=Examples(
            dataset, plan.tasks, settings, checkpoint.description.preprocessing, texts, factors
        ),
        validation=plan.validation,
        description=checkpoint.description,
        folder=folder,
        settings=settings,
    )


def balance(
    criterion: MatchedCriterion | PixelCriterion,
    folder: RunFolder,
    plan: Plan,
) -> Float[np.ndarray, " n"] | None:
    """Set the class weights of the loss if requested; return the images' repeat factors.

    Raises:
        SettingsError: The network classifies pixels, whose loss has no class weights.
    """
    settings, dataset = plan.settings, plan.dataset
    if not settings.repeat_rare and not settings.weigh_classes:
        return None
    shape = len(dataset), len(dataset.labels)
    with ignore_range_warnings():
        counts = folder.class_counts(lambda: count_objects(dataset), shape, new=plan.state is None)
    if settings.weigh_classes:
        if not isinstance(criterion, MatchedCriterion):
            raise SettingsError("weigh_classes goes with networks of queries, not of pixels")
        classes = len(criterion.class_weights) - 1  # without a background that the network lacks
        criterion.set_class_weights(class_weights(counts)[:classes].tolist())
    return repeat_factors(counts, settings.repeat_rare) if settings.repeat_rare else None
