"""Writing of models: as checkpoints, to folders and to the Hugging Face Hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # predictors of exported files need none of these
    from unimask.checkpoints import Checkpoint, ModelDescription
    from unimask.modeling.segmenter import Segmenter


def to_checkpoint(network: "Segmenter", description: "ModelDescription") -> "Checkpoint":
    """Return a model with float32 weights on the CPU, from any device and dtype."""
    from unimask.checkpoints import Checkpoint

    state = {
        name: (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu()
        for name, tensor in network.state_dict().items()
    }
    return Checkpoint(description, state)


class SaveMixin:
    """Methods that write a predictor's model."""

    network: "Segmenter"
    description: "ModelDescription"
    name: str

    def save(self, folder: str | Path) -> None:
        """Write the model in the Hugging Face schema, which unimask and transformers load.

        A network that transformers does not have loads in unimask only.

        Raises:
            OutputError: The folder cannot be written.
        """
        from unimask.checkpoints import write_huggingface

        write_huggingface(Path(folder), to_checkpoint(self.network, self.description))

    def push_to_hub(
        self,
        repository: str,
        *,
        private: bool | None = None,
        revision: str | None = None,
        licence: str | None = None,
        examples: Sequence[str | Path] = (),
        token: str | None = None,
    ) -> str:
        """Upload the model and a model card to the Hugging Face Hub, in one commit.

        The repository is created if it does not exist. A README.md that unimask did not write is
        not replaced.

        Args:
            repository: Hub id, "owner/name".
            private: Whether a new repository is private; None for the owner's default.
            revision: Branch, created if it does not exist; the main branch by default.
            licence: Identifier of the licence, such as "apache-2.0"; by default the published one,
                if the weights are published ones.
            examples: Image files for the widget of the model's page, uploaded with the model.
            token: Access token; huggingface_hub's default if None.

        Returns:
            URL of the commit.

        Raises:
            ImageError: An example cannot be read.
            OutputError: The Hub cannot be reached, or refuses the upload.
            SettingsError: The id is invalid, or there is no token.

        Example:
            >>> import unimask
            >>> model = unimask.load("runs/train")  # doctest: +SKIP
            >>> model.push_to_hub("owner/model", private=True)  # doctest: +SKIP
        """
        from unimask.inference.upload import PushSettings, Upload

        settings = PushSettings(
            repository=repository,
            private=private,
            revision=revision,
            licence=licence,
            examples=tuple(Path(example) for example in examples),
            token=token,
        )
        upload = Upload(settings)
        return upload.push(to_checkpoint(self.network, self.description), self.name)
