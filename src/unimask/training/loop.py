"""The loop: steps, lines, validations and saved states, until the end or an interruption."""

import signal
import time
from dataclasses import dataclass, field, replace
from types import FrameType

import msgspec
import torch
from lightning_fabric import Fabric

from unimask.checkpoints import Checkpoint
from unimask.datasets import Dataset
from unimask.errors import TrainingError
from unimask.inference import Predictor
from unimask.labels import Task, widest
from unimask.processing.postprocess import NonFiniteLogitsError
from unimask.training.batches import Examples, batches
from unimask.training.curves import draw_curves
from unimask.training.failures import told_in_one_line
from unimask.training.loggers import Logger, numbers_of
from unimask.training.processes import resume_command
from unimask.training.remaining_time import RemainingTime
from unimask.training.report import Reporter
from unimask.training.run_folder import RunFolder, one_line
from unimask.training.saved_state import SavedState
from unimask.training.schedule import rate_at
from unimask.training.settings import TrainingSettings
from unimask.training.steps import Trainee, update
from unimask.training.unreadable import UNREADABLE, Unreadable, readable
from unimask.training.validation import draw_samples, predictor_of, validate
from unimask.training.waiting import DONE, ENOUGH, LEFT, AskedToStop, FirstProcessWorks

LEAST_STRETCH, STRETCHES = 20, 15
"""Steps that a line sums up at least, where an epoch is shorter; lines of a run whose epochs are
longer than that many parts of it."""


@dataclass(eq=False, repr=False)  # `signal` formats its handler, and with it all weights
class Loop:
    """A run in progress.

    Attributes:
        fabric: Devices, processes and precision.
        trainee: What changes while training.
        examples: The training data in their random order.
        validation: Pictures to judge by.
        checkpoint: All but the weights.
        folder: Where everything is written.
        settings: What the run was told.
        step: Steps taken.
        best: The best score so far.
        sums: Of the losses of the stretch that the next line sums up.
        taken: Its steps so far.
        spent: Seconds that they took.
        unjudged: The validation of the last step is still to come.
        worse: Validations since it.
        had_enough: The score stopped rising.
        asked_to_stop: A signal reached this process.
        interrupted: A signal reached one of the processes, and all know it.
        loggers: Where curves go beside the folder.
        remaining: Estimates the time that remains.
        drawn: Whether curves can be drawn, which a damaged metrics.csv prevents.
    """

    fabric: Fabric
    trainee: Trainee
    examples: Examples
    validation: Dataset
    checkpoint: Checkpoint
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
        """Begin to measure."""
        settings = self.settings
        self.remaining = RemainingTime(
            steps=settings.steps,
            every=settings.evaluate_every,
            images_per_step=settings.batch_size * settings.accumulate,
            images_per_validation=len(self.validation),
        )

    @property
    def task(self) -> Task:
        """What is judged: the widest of what is trained."""
        return widest(self.examples.tasks)

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""
        settings = self.settings
        pictures = settings.batch_size * settings.accumulate * self.fabric.world_size
        return self.step * pictures / len(self.examples.dataset)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.had_enough or (self.step == self.settings.steps and not self.unjudged)

    def run(self, *, quiet: bool) -> None:
        """Train from the current step to the end, or until a signal asks to stop."""
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
        """Ask the loop to end after the current step, or in the middle of a validation."""
        self.asked_to_stop = True

    def agree_to_stop(self) -> None:
        """Let all processes end after the same step, whichever of them was asked."""
        asked = torch.tensor(float(self.asked_to_stop), device=self.fabric.device)
        self.interrupted = bool(self.fabric.all_reduce(asked, reduce_op="sum"))

    def stretches(self, stream, reporter: Reporter) -> None:
        """Take steps, and sum them up from time to time."""
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
        """Change the weights once, and note what it cost."""
        start, known = time.perf_counter(), len(self.trainee.unreadable.told)
        with told_in_one_line(self.step + 1, self.settings):
            losses = update(self.fabric, self.trainee, stream, self.step, self.settings)
        self.tell_skipped(known, reporter)
        self.agree_to_stop()
        self.step += 1
        self.taken += 1
        seconds = time.perf_counter() - start
        self.spent += seconds
        self.remaining.add_step(seconds)
        self.sums = {name: self.sums.get(name, 0.0) + v for name, v in losses.items()}
        reporter.step(losses["loss"])

    def tell_skipped(self, known: int, reporter: Reporter) -> None:
        """Say which pictures could not be read, after the `known` ones, and which step was bad."""
        for reason in self.trainee.unreadable.told[known:]:
            reporter.say(f"skipped: {reason}")
        if self.trainee.last_bad:
            reporter.say(f"skipped: {self.trainee.last_bad}")
            self.trainee.last_bad = ""

    def told_now(self) -> bool:
        """Say whether a line follows: of the first step, where the run begins, or of a stretch."""
        length = min(round(self.step / self.epoch), self.settings.steps // STRETCHES)
        regular = self.step % max(LEAST_STRETCH, length) == 0
        return regular or self.step in (1, self.settings.steps)

    def judged_now(self) -> bool:
        """Say whether this step is followed by a validation."""
        every = self.settings.evaluate_every
        return self.step == self.settings.steps or bool(every and self.step % every == 0)

    def row(self) -> dict[str, object]:
        """Sum up a stretch of steps."""
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
        """Log, print and draw a stretch, and begin the next one."""
        if self.fabric.is_global_zero:
            row = self.row() | judgement
            self.folder.log(row)
            for logger in self.loggers:
                logger.log(numbers_of(row), self.step)
            reporter.row(row, self.remaining.describe(self.step))
            self.draw(reporter)
        self.sums, self.taken, self.spent = {}, 0, 0.0

    def draw(self, reporter: Reporter) -> None:
        """Draw the curves; leave them as they are once metrics.csv was changed by others."""
        try:
            rows = self.folder.rows()
        except TrainingError as error:
            if self.drawn:
                reporter.say(f"curves are not drawn any more: {error}")
            self.drawn = False
            return
        draw_curves(rows, self.folder.path / "curves.png")

    def judge(self, reporter: Reporter) -> None:
        """Let the first process judge, and tell the stretch; a stop leaves both for later."""
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
        """Score the averaged weights, keep them if they are the best, and say if it is enough."""
        state = self.trainee.average.state
        predictor = predictor_of(self.checkpoint, state, self.fabric.device, str(self.folder.path))
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
        """Score on the pictures that can be read; go without the others, if that is asked."""
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
            if self.settings.on_bad_picture == "stop":
                raise
            self.validation, reasons = readable(self.validation, first.tick)
            if not reasons:  # the fault is not a picture's
                raise
            for reason in reasons:
                reporter.say(f"not judged by: {reason}")
            return validate(predictor, self.validation, self.task, first.tick)

    def averaged(self) -> Checkpoint:
        """Give the averaged weights as a checkpoint."""
        state = {name: tensor.cpu() for name, tensor in self.trainee.average.state.items()}
        return replace(self.checkpoint, state=state)

    def save(self) -> None:
        """Write the state that resumes the run, and the last weights.

        Raises:
            OutputError: They cannot be written; the state before is still there.
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
        """Continue where a saved state left off.

        Raises:
            TrainingError: It is of another network.
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
    """Return the largest absolute value of weights; NaN if one is."""
    sizes = [tensor.abs().amax() for tensor in state.values() if tensor.is_floating_point()]
    return float(torch.stack([size.float().cpu() for size in sizes]).amax())
