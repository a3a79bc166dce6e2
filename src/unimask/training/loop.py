"""The loop: steps, lines, validations and saved states, until the end or an interruption."""

import signal
import time
from dataclasses import dataclass, replace
from types import FrameType

import torch
from lightning_fabric import Fabric

from unimask.checkpoints import Checkpoint
from unimask.datasets import Dataset
from unimask.errors import TrainingError
from unimask.labels import Task, widest
from unimask.training.batches import Examples, batches
from unimask.training.curves import draw_curves
from unimask.training.report import Reporter
from unimask.training.run_folder import RunFolder
from unimask.training.schedule import rate_at
from unimask.training.settings import TrainingSettings
from unimask.training.steps import Trainee, update
from unimask.training.validation import draw_samples, predictor_of, validate

LEAST_STRETCH = 20
"""Steps that a line sums up at least, where an epoch is shorter."""


@dataclass(eq=False)
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
        asked_to_stop: A signal reached this process.
        interrupted: A signal reached one of the processes, and all know it.
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
    asked_to_stop: bool = False
    interrupted: bool = False

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
                    told = f"interrupted after step {self.step}; continue with --resume --out"
                    reporter.say(f"{told} {self.folder.path}")
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Ask the loop to end after the current step."""
        self.asked_to_stop = True

    def agree_to_stop(self) -> None:
        """Let all processes end after the same step, whichever of them was asked."""
        asked = torch.tensor(float(self.asked_to_stop), device=self.fabric.device)
        self.interrupted = bool(self.fabric.all_reduce(asked, reduce_op="sum"))

    def stretches(self, stream, reporter: Reporter) -> None:
        """Take steps; sum them up once an epoch."""
        self.trainee.network.train()
        sums: dict[str, float] = {}
        taken, start = 0, time.perf_counter()
        while self.step < self.settings.steps and not self.interrupted:
            losses = update(self.fabric, self.trainee, stream, self.step, self.settings)
            self.agree_to_stop()
            self.step += 1
            taken += 1
            sums = {name: sums.get(name, 0.0) + value for name, value in losses.items()}
            reporter.step(losses["loss"])
            length = max(LEAST_STRETCH, round(self.step / self.epoch))
            due = self.step % length == 0 or self.step == self.settings.steps
            judged = self.judged_now()
            if due or judged:
                seconds = (time.perf_counter() - start) / taken
                row = self.row({n: v / taken for n, v in sums.items()}, seconds)
                self.finish_stretch(row, judged, reporter)
                sums, taken, start = {}, 0, time.perf_counter()
            elif self.step % self.settings.save_every == 0 or self.interrupted:
                self.save()
        if self.interrupted:
            self.save()

    def judged_now(self) -> bool:
        """Say whether this step is followed by a validation."""
        every = self.settings.evaluate_every
        return self.step == self.settings.steps or bool(every and self.step % every == 0)

    def row(self, means: dict[str, float], seconds: float) -> dict[str, object]:
        """Sum up a stretch of steps."""
        return {
            "step": self.step,
            "epoch": round(self.epoch, 3),
            "learning_rate": self.settings.learning_rate * rate_at(self.step - 1, self.settings),
            **{name: round(value, 6) for name, value in means.items()},
            "seconds_per_step": round(seconds, 4),
            "skipped": self.trainee.bad_steps,
        }

    def finish_stretch(self, row: dict[str, object], judged: bool, reporter: Reporter) -> None:
        """Validate if it is time; log, print, draw and save."""
        if not self.fabric.is_global_zero:
            return
        if judged:
            row |= self.judge()
        self.folder.log(row)
        reporter.row(row)
        draw_curves(self.folder.rows(), self.folder.path / "curves.png")
        self.save()

    def judge(self) -> dict[str, object]:
        """Score the averaged weights, and keep them if they are the best."""
        state = self.trainee.average.state
        predictor = predictor_of(self.checkpoint, state, self.fabric.device, str(self.folder.path))
        metric, score = validate(predictor, self.validation, self.task)
        draw_samples(predictor, self.validation, self.task, self.folder, self.step)
        if score > self.best:
            self.best = score
            self.folder.write_weights("best", self.averaged())
        return {"metric": metric, "score": score}

    def averaged(self) -> Checkpoint:
        """Give the averaged weights as a checkpoint."""
        state = {name: tensor.cpu() for name, tensor in self.trainee.average.state.items()}
        return replace(self.checkpoint, state=state)

    def save(self) -> None:
        """Write the state that resumes the run, and the last weights."""
        if not self.fabric.is_global_zero:
            return
        network = getattr(self.trainee.network, "module", self.trainee.network)
        self.folder.save_state(
            {
                "step": self.step,
                "best": self.best,
                "bad_steps": self.trainee.bad_steps,
                "network": network.state_dict(),
                "optimizer": self.trainee.optimizer.state_dict(),
                "average": self.trainee.average.state_dict(),
            }
        )
        self.folder.write_weights("last", self.averaged())

    def restore(self, state: dict) -> None:
        """Continue where a saved state left off.

        Raises:
            TrainingError: It is of another network, or damaged.
        """
        try:
            self.step, self.best = state["step"], state["best"]
            self.trainee.bad_steps = state["bad_steps"]
            network = getattr(self.trainee.network, "module", self.trainee.network)
            network.load_state_dict(state["network"])
            self.trainee.optimizer.load_state_dict(state["optimizer"])
            self.trainee.average.load_state_dict(state["average"])
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            told = " ".join(str(error).split())[:120]
            where = self.folder.state_path
            raise TrainingError(f"{where} is of another network, or damaged ({told})") from error
