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
from unimask.training.failures import told_in_one_line
from unimask.training.loggers import Logger, numbers_of
from unimask.training.processes import resume_command
from unimask.training.remaining_time import RemainingTime
from unimask.training.report import Reporter
from unimask.training.run_folder import RunFolder
from unimask.training.saved_state import SavedState
from unimask.training.schedule import rate_at
from unimask.training.settings import TrainingSettings
from unimask.training.steps import Trainee, update
from unimask.training.unreadable import UNREADABLE, Unreadable, readable
from unimask.training.validation import draw_samples, predictor_of, validate
from unimask.training.waiting import DONE, ENOUGH, LEFT, AskedToStop, FirstProcessWorks

LEAST_STRETCH, STRETCHES = 20, 15
"""Minimum number of steps per log interval, and minimum number of log intervals per run; within
these limits an interval is one epoch.
"""


@dataclass(eq=False, repr=False)  # `signal` formats its handler, and with it all weights
class Loop:
    """State of a run in progress.

    Attributes:
        fabric: Devices, processes and precision.
        trainee: Network, optimizer and other state that changes during training.
        examples: Training examples in random order.
        validation: Validation images.
        description: Architecture, labels, tasks and settings of predictions.
        folder: Folder of the run.
        settings: Settings of the run.
        step: Number of steps taken.
        best: Best score so far.
        sums: Sums of the losses over the current log interval.
        taken: Number of steps in the current log interval.
        spent: Seconds of these steps.
        unjudged: Whether the validation after the last step is pending.
        worse: Number of validations since the best score.
        had_enough: Whether early stopping has ended the run.
        asked_to_stop: Whether this process received a signal.
        interrupted: Whether any process received a signal; equal in all processes.
        loggers: Loggers in addition to the folder.
        remaining: Estimate of the remaining time.
        drawn: Whether curves can be drawn, which a damaged metrics.csv prevents.
    """

    fabric: Fabric
    trainee: Trainee
    examples: Examples
    validation: Dataset
    description: ModelDescription
    folder: RunFolder
    settings: TrainingSettings
    step: int = 0
    best: float = -1.0
    sums: dict[str, float] = field(default_factory=dict)
    taken: int = 0
    spent: float = 0.0
    unjudged: bool = False
    worse: int = 0
    had_enough: bool = False
    asked_to_stop: bool = False
    interrupted: bool = False
    loggers: list[Logger] = field(default_factory=list)
    drawn: bool = True
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
    def task(self) -> Task:
        """Task that is validated: the most general of those trained for."""
        return most_demanding_task(self.examples.tasks)

    @property
    def epoch(self) -> float:
        """Number of passes over the data so far."""
        settings = self.settings
        images = settings.batch_size * settings.accumulate * self.fabric.world_size
        return self.step * images / len(self.examples.dataset)

    @property
    def finished(self) -> bool:
        """Whether no step and no validation is left."""
        return self.had_enough or (self.step == self.settings.steps and not self.unjudged)

    def run(self, *, quiet: bool) -> None:
        """Train from the current step to the end, or until a signal interrupts the run."""
        stream = batches(
            self.examples,
            self.settings,
            first_step=self.step,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
        )
        quiet = quiet or not self.fabric.is_global_zero
        handlers = {s: signal.signal(s, self.stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            with Reporter(self.settings.steps, self.step, quiet=quiet) as reporter:
                self.stretches(stream, reporter)
                if self.interrupted:
                    command = resume_command(self.folder.path)
                    reporter.say(f"interrupted after step {self.step}; continue with: {command}")
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for logger in self.loggers:
                logger.close()

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: request a stop after the current step, or during a validation."""
        self.asked_to_stop = True

    def agree_to_stop(self) -> None:
        """Share the stop requests, so that all processes stop after the same step."""
        asked = torch.tensor(float(self.asked_to_stop), device=self.fabric.device)
        self.interrupted = bool(self.fabric.all_reduce(asked, reduce_op="sum"))

    def stretches(self, stream, reporter: Reporter) -> None:
        """Run steps; log, validate and save in between."""
        self.trainee.network.train()
        while not (self.interrupted or self.finished):
            if not self.unjudged:
                self.take_step(stream, reporter)
            self.unjudged = self.judged_now()
            if not self.unjudged and self.told_now():
                self.tell({}, reporter)
            elif self.unjudged and not self.interrupted:
                self.judge(reporter)
            if self.interrupted or self.judged_now() or self.step % self.settings.save_every == 0:
                self.save()

    def take_step(self, stream, reporter: Reporter) -> None:
        """Run one step, and record its losses and time."""
        start, num_skipped = time.perf_counter(), len(self.trainee.unreadable.told)
        with told_in_one_line(self.step + 1, self.settings):
            losses = update(self.fabric, self.trainee, stream, self.step, self.settings)
        self.tell_skipped(num_skipped, reporter)
        self.agree_to_stop()
        self.step += 1
        self.taken += 1
        seconds = time.perf_counter() - start
        self.spent += seconds
        self.remaining.add_step(seconds)
        self.sums = {name: self.sums.get(name, 0.0) + v for name, v in losses.items()}
        reporter.step(losses["loss"])

    def tell_skipped(self, known: int, reporter: Reporter) -> None:
        """Print the unreadable images after the first `known` ones, and a skipped step."""
        for reason in self.trainee.unreadable.told[known:]:
            reporter.say(f"skipped: {reason}")
        if self.trainee.last_bad:
            reporter.say(f"skipped: {self.trainee.last_bad}")
            self.trainee.last_bad = ""

    def told_now(self) -> bool:
        """Return whether a log line follows this step: the first, last, or an interval's end."""
        length = min(round(self.step / self.epoch), self.settings.steps // STRETCHES)
        regular = self.step % max(LEAST_STRETCH, length) == 0
        return regular or self.step in (1, self.settings.steps)

    def judged_now(self) -> bool:
        """Return whether a validation follows this step."""
        every = self.settings.evaluate_every
        return self.step == self.settings.steps or bool(every and self.step % every == 0)

    def row(self) -> dict[str, object]:
        """Compute the row of metrics of the current log interval."""
        means = {name: value / self.taken for name, value in self.sums.items()}
        return {
            "step": self.step,
            "epoch": round(self.epoch, 3),
            "learning_rate": self.settings.learning_rate * rate_at(self.step - 1, self.settings),
            **{name: round(value, 6) for name, value in means.items()},
            "seconds_per_step": round(self.spent / self.taken, 4),
            "skipped": self.trainee.bad_steps,
            "unreadable": self.trainee.unreadable.times,
        }

    def tell(self, judgement: dict[str, object], reporter: Reporter) -> None:
        """Log and print the current log interval, draw the curves, and start a new interval."""
        if self.fabric.is_global_zero:
            row = self.row() | judgement
            self.folder.log(row)
            for logger in self.loggers:
                logger.log(numbers_of(row), self.step)
            reporter.row(row, self.remaining.describe(self.step))
            self.draw(reporter)
        self.sums, self.taken, self.spent = {}, 0, 0.0

    def draw(self, reporter: Reporter) -> None:
        """Draw the curves; stop drawing them if metrics.csv was damaged from outside."""
        try:
            rows = self.folder.rows()
        except TrainingError as error:
            if self.drawn:
                reporter.say(f"curves are not drawn any more: {error}")
            self.drawn = False
            return
        draw_curves(rows, self.folder.path / "curves.png")

    def judge(self, reporter: Reporter) -> None:
        """Validate in the first process and log; an interruption postpones both."""
        first = FirstProcessWorks(self.fabric, lambda: self.asked_to_stop)
        judgement: dict[str, object] = {}
        if self.fabric.is_global_zero:
            start = time.perf_counter()
            try:
                judgement = self.judgement(first, reporter)
                self.remaining.add_validation(time.perf_counter() - start)
                word = first.say(ENOUGH if self.had_enough else DONE)
            except AskedToStop:
                word = first.say(LEFT)
        else:
            word = first.wait()
        self.had_enough, self.interrupted = word == ENOUGH, word == LEFT
        if word != LEFT:
            self.unjudged = False
            self.tell(judgement, reporter)

    def judgement(self, first: FirstProcessWorks, reporter: Reporter) -> dict[str, object]:
        """Score the averaged weights, save them if they are best, and check for early stopping."""
        state = self.trainee.average.state
        predictor = predictor_of(self.description, state, self.fabric.device, str(self.folder.path))
        metric, score = self.score(predictor, first, reporter)
        draw_samples(predictor, self.validation, self.task, self.folder, self.step)
        self.worse += 1
        if score > self.best:
            self.best, self.worse = score, 0
            self.folder.write_weights("best", self.averaged())
        patience = self.settings.patience
        self.had_enough = bool(patience) and self.worse >= patience
        return {"metric": metric, "score": score}

    def score(
        self, predictor: Predictor, first: FirstProcessWorks, reporter: Reporter
    ) -> tuple[str, float]:
        """Score on the validation images; without unreadable ones, if the settings allow."""
        try:
            return validate(predictor, self.validation, self.task, first.tick)
        except NonFiniteLogitsError as error:
            size, rate = largest(self.trainee.average.state), self.settings.learning_rate
            raise TrainingError(
                f"the validation after step {self.step} got NaN or infinity from the network, in "
                f"float32, its largest weight being {size:.3g}: the run has diverged; start anew "
                f"with a lower --learning-rate (now {rate:g})"
            ) from error
        except UNREADABLE:
            if self.settings.on_bad_image == "stop":
                raise
            self.validation, reasons = readable(self.validation, first.tick)
            if not reasons:  # the error is not due to an image
                raise
            for reason in reasons:
                reporter.say(f"not judged by: {reason}")
            return validate(predictor, self.validation, self.task, first.tick)

    def averaged(self) -> Checkpoint:
        """Return the averaged weights as a checkpoint."""
        state = {name: tensor.cpu() for name, tensor in self.trainee.average.state.items()}
        return Checkpoint(self.description, state)

    def save(self) -> None:
        """Write the state from which the run can be resumed, and the latest weights.

        Raises:
            OutputError: They cannot be written; the previous state is kept.
        """
        if not self.fabric.is_global_zero:
            return
        network = getattr(self.trainee.network, "module", self.trainee.network)
        self.folder.save_state(
            {
                "step": self.step,
                "best": self.best,
                "bad_steps": self.trainee.bad_steps,
                "bad_in_a_row": self.trainee.bad_in_a_row,
                "unreadable": vars(self.trainee.unreadable),
                "worse": self.worse,
                "had_enough": self.had_enough,
                "sums": self.sums,
                "taken": self.taken,
                "spent": self.spent,
                "unjudged": self.unjudged,
                "network": network.state_dict(),
                "optimizer": self.trainee.optimizer.state_dict(),
                "average": self.trainee.average.state_dict(),
            }
        )
        self.folder.write_weights("last", self.averaged())

    def restore(self, state: SavedState) -> None:
        """Restore a saved state.

        Raises:
            TrainingError: The state belongs to another network.
        """
        trainee, patience = self.trainee, self.settings.patience
        self.step, self.best, self.worse = state.step, state.best, state.worse
        self.had_enough = bool(patience) and state.worse >= patience
        self.sums, self.taken, self.spent = dict(state.sums), state.taken, state.spent
        self.unjudged = state.unjudged
        trainee.bad_steps, trainee.bad_in_a_row = state.bad_steps, state.bad_in_a_row
        trainee.unreadable = Unreadable(state.unreadable.times, list(state.unreadable.told))
        try:
            network = getattr(trainee.network, "module", trainee.network)
            network.load_state_dict(state.network)
            state.restore_optimizer(trainee.optimizer)
            trainee.average.load_state_dict(msgspec.structs.asdict(state.average))
        except (ValueError, RuntimeError) as error:
            raise TrainingError(
                f"{self.folder.state_path} is of another network, or damaged ({one_line(error)}): "
                "start anew"
            ) from error


def largest(state: dict[str, torch.Tensor]) -> float:
    """Return the largest absolute value of weights; NaN if one is NaN."""
    sizes = [tensor.abs().amax() for tensor in state.values() if tensor.is_floating_point()]
    return float(torch.stack([size.float().cpu() for size in sizes]).amax())
