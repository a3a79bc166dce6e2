"""Initial network of a run: which architecture, classes and settings of prediction it has."""

from dataclasses import dataclass, replace

from unimask.checkpoints import IMAGENET, Checkpoint, ModelDescription
from unimask.checkpoints.channels import with_channels
from unimask.config import (
    BackboneConfig,
    EfficientNetLiteConfig,
    MaskedDecoderConfig,
    PerPixelPlusConfig,
    PreprocessingConfig,
    SegmenterConfig,
    TextConfig,
)
from unimask.errors import SettingsError
from unimask.inference.untrained import describe_untrained, normalised_for
from unimask.labels import TASKS, LabelSet, Task, adds_background
from unimask.presets import IMAGENET_PRESETS, PRESETS, family_tasks
from unimask.published.publication import CLIP_TOP_K
from unimask.text.tokenizers import open_tokenizer
from unimask.training.plan.facts import (
    ChannelsChanged,
    Fact,
    HeadReplaced,
    TextBranchReplaced,
    TrainedNetwork,
    UntrainedNetwork,
)
from unimask.training.plan.first_loss import new_head_loss
from unimask.training.plan.queries import add_queries, max_queries, with_queries
from unimask.training.plan.thresholds import choose_thresholds
from unimask.training.settings import NO_WEIGHTS, TrainingSettings

CLASS_HEADS = ("transformer_decoder.head.class_embed.", "transformer_decoder.classify.")
"""Prefixes of the class head's tensors."""

CLASS_QUERIES = ("transformer_decoder.query_positions.",)
"""Prefix of the class head of networks whose queries each stand for one class."""

TEXT_BRANCH = ("text_mapper.",)
"""Prefix of the tensors of OneFormer's text branch."""

PRESET_OPTIONS = ("backbone", "pixel_decoder", "backbone_weights")
"""Settings that change the parts of an untrained network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InitialNetwork:
    """Network that a run starts from, before it is built.

    Attributes:
        description: Architecture, classes, tasks and settings of prediction.
        facts: Facts about the network.
        trained: Trained model whose weights are kept; None for random weights.
        new_parts: Prefixes of the tensors that are new in a trained network.
        backbone_weights: File of the backbone's trained weights; None for random weights.
    """

    description: ModelDescription
    facts: tuple[Fact, ...]
    trained: Checkpoint | None = None
    new_parts: tuple[str, ...] = ()
    backbone_weights: str | None = None

    @property
    def pretrained(self) -> bool:
        """Whether the network or its backbone starts from trained weights."""
        return self.trained is not None or self.backbone_weights is not None

    @property
    def has_new_head(self) -> bool:
        """Whether a trained network gets a new class head."""
        return any(isinstance(fact, HeadReplaced) for fact in self.facts)


def choose_network(
    model: str,
    trained: Checkpoint | None,
    labels: LabelSet,
    tasks: tuple[Task, ...],
    requested: TrainingSettings,
    crop: int,
) -> InitialNetwork:
    """Choose the network that training starts from.

    Args:
        model: Name of a preset or of a published configuration, or the source of `trained`.
        trained: Trained model; None for an untrained one.
        labels: Label set of the data.
        tasks: Tasks to train for.
        requested: Settings that were given, with defaults for all others.
        crop: Side of the training crop in pixels, at which a preset predicts.

    Raises:
        CheckpointError: Trained weights cannot be adapted to the number of channels.
        SettingsError: The network cannot learn the task, several tasks are given for a network
            without task token, or parts are given for a trained network.
    """
    if trained is None:
        network = untrained_network(model, labels, requested, crop)
    else:
        network = trained_network(model, trained, labels, tasks, requested)
    if requested.clips:
        network = replace(network, description=with_clips(model, network.description))
    description = network.description
    check_tasks(model, description.config, tasks)
    if description.config.task_queries is not None:
        network = with_text_branch(network, requested.tokenizer)
    trained_tasks = tasks_of_weights(description.config, tasks)
    preprocessing, postprocessing = description.preprocessing, description.postprocessing
    if requested.window is not None:
        preprocessing = replace(preprocessing, window=requested.window)
    check_channels(description.config, preprocessing)
    if trained_tasks != ("semantic",):  # only semantic networks are enlarged by their scores
        postprocessing = replace(postprocessing, resize="masks")
    description = replace(
        network.description,
        tasks=trained_tasks,
        preprocessing=preprocessing,
        postprocessing=postprocessing,
    )
    return replace(network, description=description)


def untrained_network(
    model: str, labels: LabelSet, requested: TrainingSettings, crop: int
) -> InitialNetwork:
    """Choose an untrained network, whose backbone may have weights from a file.

    A preset predicts at the crop size of training, a published configuration at its test size.
    """
    description = describe_untrained(
        model,
        labels,
        backbone=requested.backbone,
        pixel_decoder=requested.pixel_decoder,
        channels=requested.channels,
    )
    weights = choose_backbone_weights(model, requested)
    config = with_queries(model, description.config, requested.num_queries)
    config = replace(config, backbone=with_trainable_norm(config.backbone, weights))
    preprocessing, postprocessing = description.preprocessing, description.postprocessing
    if model in PRESETS:
        own = PreprocessingConfig(shortest_edge=crop, longest_edge=2 * crop)
        preprocessing = normalised_for(config, own)
    if model in PRESETS or requested.num_queries is not None:
        postprocessing = replace(postprocessing, top_k=max_queries(config))
    fact = UntrainedNetwork(
        model=model,
        backbone=requested.backbone,
        pixel_decoder=requested.pixel_decoder,
        backbone_weights=weights,
    )
    return InitialNetwork(
        description=replace(
            description,
            config=config,
            preprocessing=requested.preprocessing or preprocessing,
            postprocessing=postprocessing,
        ),
        facts=(fact,),
        backbone_weights=weights,
    )


def with_clips(model: str, description: ModelDescription) -> ModelDescription:
    """Return the description of a network for images as that of one for clips, of equal weights.

    Raises:
        SettingsError: The network is no Mask2Former.
    """
    decoder = description.config.transformer_decoder
    if not isinstance(decoder, MaskedDecoderConfig) or (
        decoder.task_queries or decoder.proposals or decoder.local_positions
    ):
        raise SettingsError(f"{model} cannot segment clips: only Mask2Formers can, so omit clips")
    config = replace(description.config, transformer_decoder=replace(decoder, clips=True))
    rules = replace(description.postprocessing, top_k=CLIP_TOP_K)
    return replace(description, config=config, postprocessing=rules)


def choose_backbone_weights(model: str, requested: TrainingSettings) -> str | None:
    """Return the file of a backbone's weights: the given one, or a preset's; None for none."""
    if requested.backbone_weights == NO_WEIGHTS:
        return None
    if requested.backbone_weights is None and requested.backbone is None:
        return IMAGENET if model in IMAGENET_PRESETS else None
    return requested.backbone_weights


def with_trainable_norm(backbone: BackboneConfig, weights: str | None) -> BackboneConfig:
    """Return an EfficientNet-Lite without weights with group norm; any other backbone unchanged.

    Frozen batch norm without statistics would not normalise.
    """
    if isinstance(backbone, EfficientNetLiteConfig) and weights is None:
        return replace(backbone, norm="group")
    return backbone


def trained_network(
    model: str,
    trained: Checkpoint,
    labels: LabelSet,
    tasks: tuple[Task, ...],
    requested: TrainingSettings,
) -> InitialNetwork:
    """Choose what of a trained network is kept for other classes, queries and channels."""
    for name in PRESET_OPTIONS:
        value = getattr(requested, name)
        if value is not None:
            raise SettingsError(f"{model} is trained: {name} {value} goes with a preset")
    own = trained.description
    labels = match_labels(own.labels, labels, tasks)
    postprocessing, thresholds = choose_thresholds(own, labels, tasks)
    config, head = replace_head(own, labels)
    config, queries = add_queries(model, config, requested.num_queries)
    if queries is not None:
        # Keep at least as many pairs of query and class as before, and at least one per query.
        top_k = max(postprocessing.top_k, max_queries(config))
        postprocessing = replace(postprocessing, top_k=top_k)
    description = replace(own, config=config, labels=labels, postprocessing=postprocessing)
    description = with_channels(model, description, requested.channels)
    channels = description.config.backbone.in_channels
    adapted = None
    if channels != own.config.backbone.in_channels:
        adapted = ChannelsChanged(channels=channels)
    if requested.preprocessing is not None:
        description = replace(description, preprocessing=requested.preprocessing)
    facts = (TrainedNetwork(model=model), head, thresholds, queries, adapted)
    return InitialNetwork(
        description=description,
        facts=tuple(fact for fact in facts if fact is not None),
        trained=trained,
        new_parts=() if head is None else class_head(config),
    )


def match_labels(own: LabelSet, labels: LabelSet, tasks: tuple[Task, ...]) -> LabelSet:
    """Return a trained network's own label set where it serves for the data, else the data's.

    Results use the category ids of the data, which may differ for the same classes.
    """
    serves = own == labels or (tasks == ("instance",) and adds_background(labels, own))
    if not serves:
        return labels
    ids = labels.category_ids
    return replace(own, category_ids=ids[: len(own)]) if ids else own


def replace_head(
    own: ModelDescription, labels: LabelSet
) -> tuple[SegmenterConfig, HeadReplaced | None]:
    """Replace the class head of a trained network if its classes differ from `labels`."""
    if own.labels == labels:
        return own.config, None
    config = replace(own.config, num_classes=len(labels))
    fact = HeadReplaced(
        old_classes=len(own.labels),
        new_classes=len(labels),
        first_class_loss=new_head_loss(config),
    )
    return config, fact


def class_head(config: SegmenterConfig) -> tuple[str, ...]:
    """Return the prefixes of the class head's tensors."""
    per_class = isinstance(config.transformer_decoder, PerPixelPlusConfig)
    return CLASS_QUERIES if per_class else CLASS_HEADS


def with_text_branch(network: InitialNetwork, tokenizer: str) -> InitialNetwork:
    """Replace the text branch of a OneFormer that has none for this tokenizer."""
    vocabulary = open_tokenizer(tokenizer).vocabulary
    config = network.description.config
    if config.text is not None and config.text.vocabulary == vocabulary:
        return network
    config = replace(config, text=replace(config.text or TextConfig(), vocabulary=vocabulary))
    return replace(
        network,
        description=replace(network.description, config=config),
        facts=(*network.facts, TextBranchReplaced(tokenizer=tokenizer)),
        new_parts=network.new_parts + TEXT_BRANCH,
    )


def check_tasks(model: str, config: SegmenterConfig, tasks: tuple[Task, ...]) -> None:
    """Raise SettingsError if the network cannot learn the tasks.

    Raises:
        SettingsError: The network classifies pixels and a task has objects, or there are several
            tasks and the network has no task token.
    """
    possible = family_tasks(config)
    for task in tasks:
        if task not in possible:
            raise SettingsError(
                f"{model} cannot learn {task}, only {', '.join(possible)}: choose that"
            )
    if config.task_queries is None and len(tasks) > 1:
        raise SettingsError(
            f"{model} has no task input: train it for panoptic, which serves all three tasks"
        )


def check_channels(config: SegmenterConfig, preprocessing: PreprocessingConfig) -> None:
    """Raise SettingsError unless the normalisation has the network's number of channels.

    Raises:
        SettingsError: The number of means or deviations differs.
    """
    channels, means, deviations = (
        config.backbone.in_channels,
        len(preprocessing.mean),
        len(preprocessing.std),
    )
    if (means, deviations) != (channels, channels):
        raise SettingsError(
            f"preprocessing has {means} means and {deviations} deviations, but the network reads "
            f"{channels} channels: pass as many (PreprocessingConfig.with_channels)"
        )


def tasks_of_weights(config: SegmenterConfig, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """Return the tasks of trained weights, the most general first; panoptic includes all three."""
    has_task_token = config.task_queries is not None
    trained_tasks = TASKS if tasks == ("panoptic",) and not has_task_token else tasks
    return tuple(task for task in reversed(TASKS) if task in trained_tasks)
