"""Training loop: steps, logs, validations and saved states until the end or an interruption."""

import signal
import time
from dataclasses import dataclass, field
from types import FrameType

import msgspec
import torch
from lightning_fabric import Fabric

from unimask.checkpoints import Checkpoint, ModelDescription
from unimask.datasets import Dataset
from unimask.errors import TrainingError, one_line
from unimask.inference import Predictor
from unimask.labels import Task, most_demanding_task
from unimask.processing.postprocess import NonFiniteLogitsError
from unimask.training.batches import Examples, batches
from unimask.training.curves import draw_curves
from unimask.training.failures import one_line_memory_errors
from unimask.training.loggers import Logger, numbers_of
from unimask.training.processes import resume_command
from unimask.training.progress import Progress
from unimask.training.remaining_time import RemainingTime
from unimask.training.report import Reporter
from unimask.training.run_folder import RunFolder
from unimask.training.saved_state import SavedState
from unimask.training.schedule import rate_at
from unimask.training.settings import TrainingSettings
from unimask.training.steps import TrainState, update
from unimask.training.unreadable import UNREADABLE, select_readable
from unimask.training.validation import build_predictor, draw_samples, validate
from unimask.training.waiting import DONE, END, POSTPONED, FirstProcessWorks, StopRequested

MIN_STEPS_PER_LOG, LOGS_PER_RUN = 20, 15
"""Minimum number of steps per log interval, and minimum number of log intervals per run; within
these limits an interval is one epoch.
"""


@dataclass(eq=False, repr=False)  # `signal` formats its handler, and with it all weights
class Loop:
    """State of a run in progress.

    Attributes:
        fabric: Devices, processes and precision.
        state: Network, optimizer, progress and other state that changes during training.
        examples: Training examples in random order.
        validation: Validation images.
        description: Architecture, labels, tasks and settings of predictions.
        folder: Folder of the run.
        settings: Settings of the run.
        stopped_early: Whether early stopping has ended the run.
        stop_requested: Whether this process received a signal.
        interrupted: Whether any process received a signal; equal in all processes.
        loggers: Loggers in addition to the folder.
        remaining: Estimate of the remaining time.
        can_draw_curves: Whether curves can be drawn, which a damaged metrics.csv prevents.
    """

    fabric: Fabric
    state: TrainState
    examples: Examples
    validation: Dataset
    description: ModelDescription
    folder: RunFolder
    settings: TrainingSettings
    stopped_early: bool = False
    stop_requested: bool = False
    interrupted: bool = False
    loggers: list[Logger] = field(default_factory=list)
    can_draw_curves: bool = True
    remaining: RemainingTime = field(init=False)

    def __post_init__(self) -> None:
        """Set up the estimate of the remaining time."""
        settings = self.settings
        self.remaining = RemainingTime(
            steps=settings.steps,
            every=settings.evaluate_every,
            images_per_step=settings.batch_size * settings.accumulate,
            images_per_validation=len(self.validation),
        )

    @property
    def progress(self) -> Progress:
        """Counters of the run."""
        return self.state.progress

    @property
    def task(self) -> Task:
        """Task that is validated: the most general of those trained for."""
        return most_demanding_task(self.examples.tasks)

    @property
    def epoch(self) -> float:
        """Number of passes over the data so far."""
        settings = self.settings
        images = settings.batch_size * settings.accumulate * self.fabric.world_size
        return self.progress.step * images / len(self.examples.dataset)

    @property
    def finished(self) -> bool:
        """Whether no step and no validation is left."""
        done = self.progress.step == self.settings.steps
        return self.stopped_early or (done and not self.progress.validation_pending)

    def run(self, *, quiet: bool) -> None:
        """Train from the current step to the end, or until a signal interrupts the run."""
        stream = batches(
            self.examples,
            self.settings,
            first_step=self.progress.step,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
        )
        quiet = quiet or not self.fabric.is_global_zero
        handlers = {s: signal.signal(s, self.stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            with Reporter(self.settings.steps, self.progress.step, quiet=quiet) as reporter:
                self.run_steps(stream, reporter)
                if self.interrupted:
                    step, command = self.progress.step, resume_command(self.folder.path)
                    reporter.print(f"interrupted after step {step}; continue with: {command}")
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for logger in self.loggers:
                logger.close()

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: request a stop after the current step, or during a validation."""
        self.stop_requested = True

    def agree_to_stop(self) -> None:
        """Share the stop requests, so that all processes stop after the same step."""
        requests = torch.tensor(float(self.stop_requested), device=self.fabric.device)
        self.interrupted = bool(self.fabric.all_reduce(requests, reduce_op="sum"))

    def run_steps(self, stream, reporter: Reporter) -> None:
        """Run steps; log, validate and save in between."""
        progress, save_every = self.progress, self.settings.save_every
        self.state.network.train()
        while not (self.interrupted or self.finished):
            if not progress.validation_pending:
                self.take_step(stream, reporter)
            progress.validation_pending = self.validation_due()
            if not progress.validation_pending and self.log_due():
                self.log({}, reporter)
            elif progress.validation_pending and not self.interrupted:
                self.validate(reporter)
            if self.interrupted or self.validation_due() or progress.step % save_every == 0:
                self.save()

    def take_step(self, stream, reporter: Reporter) -> None:
        """Run one step, and record its losses and time."""
        progress, start = self.progress, time.perf_counter()
        known_reasons = len(progress.unreadable_reasons)
        with one_line_memory_errors(progress.step + 1, self.settings):
            losses = update(self.fabric, self.state, stream, progress.step, self.settings)
        self.report_skipped(known_reasons, reporter)
        self.agree_to_stop()
        seconds = time.perf_counter() - start
        progress.add_step(losses, seconds)
        self.remaining.add_step(seconds)
        reporter.step(losses["loss"])

    def report_skipped(self, known_reasons: int, reporter: Reporter) -> None:
        """Print the unreadable images after the first `known_reasons`, and a skipped step."""
        for reason in self.progress.unreadable_reasons[known_reasons:]:
            reporter.print(f"skipped: {reason}")
        if self.state.skip_message:
            reporter.print(f"skipped: {self.state.skip_message}")
            self.state.skip_message = ""

    def log_due(self) -> bool:
        """Return whether a log line follows this step: the first, last, or an interval's end."""
        step, steps = self.progress.step, self.settings.steps
        interval = max(MIN_STEPS_PER_LOG, min(round(step / self.epoch), steps // LOGS_PER_RUN))
        return step % interval == 0 or step in (1, steps)

    def validation_due(self) -> bool:
        """Return whether a validation follows this step."""
        step, every = self.progress.step, self.settings.evaluate_every
        return step == self.settings.steps or bool(every and step % every == 0)

    def row(self) -> dict[str, object]:
        """Compute the row of metrics of the current log interval."""
        progress = self.progress
        steps = progress.interval_steps
        return {
            "step": progress.step,
            "epoch": round(self.epoch, 3),
            "learning_rate": self.settings.learning_rate
            * rate_at(progress.step - 1, self.settings),
            **{name: round(total / steps, 6) for name, total in progress.loss_sums.items()},
            "seconds_per_step": round(progress.interval_seconds / steps, 4),
            "skipped": progress.skipped_steps,
            "unreadable": progress.unreadable_images,
        }

    def log(self, scores: dict[str, object], reporter: Reporter) -> None:
        """Log and print the current log interval, draw the curves, and start a new interval."""
        step = self.progress.step
        if self.fabric.is_global_zero:
            row = self.row() | scores
            self.folder.log(row)
            for logger in self.loggers:
                logger.log(numbers_of(row), step)
            reporter.row(row, self.remaining.describe(step))
            self.draw(reporter)
        self.progress.start_interval()

    def draw(self, reporter: Reporter) -> None:
        """Draw the curves; stop drawing them if metrics.csv was damaged from outside."""
        try:
            rows = self.folder.rows()
        except TrainingError as error:
            if self.can_draw_curves:
                reporter.print(f"curves are not drawn any more: {error}")
            self.can_draw_curves = False
            return
        draw_curves(rows, self.folder.path / "curves.png")

    def validate(self, reporter: Reporter) -> None:
        """Validate in the first process and log; an interruption postpones both."""
        first = FirstProcessWorks(self.fabric, lambda: self.stop_requested)
        scores: dict[str, object] = {}
        if self.fabric.is_global_zero:
            start = time.perf_counter()
            try:
                scores = self.evaluate_average(first, reporter)
                self.remaining.add_validation(time.perf_counter() - start)
                message = first.broadcast(END if self.stopped_early else DONE)
            except StopRequested:
                message = first.broadcast(POSTPONED)
        else:
            message = first.wait()
        self.stopped_early, self.interrupted = message == END, message == POSTPONED
        if message != POSTPONED:
            self.progress.validation_pending = False
            self.log(scores, reporter)

    def evaluate_average(self, first: FirstProcessWorks, reporter: Reporter) -> dict[str, object]:
        """Score the averaged weights, save them if they are best, and check for early stopping."""
        progress, weights = self.progress, self.state.average.state
        name = str(self.folder.path)
        predictor = build_predictor(self.description, weights, self.fabric.device, name)
        metric, score = self.score(predictor, first, reporter)
        draw_samples(predictor, self.validation, self.task, self.folder, progress.step)
        progress.bad_validations += 1
        if score > progress.best:
            progress.best, progress.bad_validations = score, 0
            self.folder.write_weights("best", self.averaged_checkpoint())
        patience = self.settings.patience
        self.stopped_early = bool(patience) and progress.bad_validations >= patience
        return {"metric": metric, "score": score}

    def score(
        self, predictor: Predictor, first: FirstProcessWorks, reporter: Reporter
    ) -> tuple[str, float]:
        """Score on the validation images; without unreadable ones, if the settings allow."""
        try:
            return validate(predictor, self.validation, self.task, first.tick)
        except NonFiniteLogitsError as error:
            size, rate = largest_weight(self.state.average.state), self.settings.learning_rate
            raise TrainingError(
                f"the validation after step {self.progress.step} got NaN or infinity from the "
                f"network, in float32, its largest weight being {size:.3g}: the run has diverged; "
                f"start anew with a lower --learning-rate (now {rate:g})"
            ) from error
        except UNREADABLE:
            if self.settings.on_bad_image == "stop":
                raise
            self.validation, reasons = select_readable(self.validation, first.tick)
            if not reasons:  # the error is not due to an image
                raise
            for reason in reasons:
                reporter.print(f"left out of the validation: {reason}")
            return validate(predictor, self.validation, self.task, first.tick)

    def averaged_checkpoint(self) -> Checkpoint:
        """Return the averaged weights as a checkpoint."""
        state = {name: tensor.cpu() for name, tensor in self.state.average.state.items()}
        return Checkpoint(self.description, state)

    def save(self) -> None:
        """Write the state from which the run can be resumed, and the latest weights.

        Raises:
            OutputError: They cannot be written; the previous state is kept.
        """
        if not self.fabric.is_global_zero:
            return
        network = getattr(self.state.network, "module", self.state.network)
        self.folder.save_state(
            {
                "progress": msgspec.structs.asdict(self.progress),
                "network": network.state_dict(),
                "optimizer": self.state.optimizer.state_dict(),
                "average": self.state.average.state_dict(),
            }
        )
        self.folder.write_weights("last", self.averaged_checkpoint())

    def restore(self, saved: SavedState) -> None:
        """Restore progress, optimizer and average; the network already has the saved weights.

        Raises:
            TrainingError: The state belongs to another network.
        """
        state, patience = self.state, self.settings.patience
        state.progress = saved.progress
        self.stopped_early = bool(patience) and saved.progress.bad_validations >= patience
        try:
            saved.restore_optimizer(state.optimizer)
            state.average.load_state_dict(msgspec.structs.asdict(saved.average))
        except (ValueError, RuntimeError) as error:
            raise TrainingError(
                f"{self.folder.state_path} is of another network, or damaged ({one_line(error)}): "
                "start anew"
            ) from error


def largest_weight(state: dict[str, torch.Tensor]) -> float:
    """Return the largest absolute value of weights; NaN if one is NaN."""
    sizes = [tensor.abs().amax() for tensor in state.values() if tensor.is_floating_point()]
    return float(torch.stack([size.float().cpu() for size in sizes]).amax())
