"""Download of model folders from the Hugging Face Hub, or from its cache."""

from dataclasses import dataclass
from pathlib import Path

from unimask.errors import CheckpointError, SettingsError

PREPROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
TOKENIZER_FILES = ["tokenizer.json", "vocab.json", "merges.txt"]
CONFIG_FILES = ["config.json", *PREPROCESSOR_FILES, *TOKENIZER_FILES]
SAFETENSORS_FILES = ["model.safetensors", "model.safetensors.index.json", "model-*.safetensors"]
PYTORCH_FILES = ["pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*.bin"]
"""File names of weights, in one file or in several with an index."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HubAccess:
    """Access to the Hub; None means the defaults of huggingface_hub and its environment variables.

    Attributes:
        revision: Branch, tag or commit; the main branch by default.
        cache_dir: Folder of downloaded files (`HF_HOME`, `HF_HUB_CACHE`).
        token: Access token of a user who may read the model (`HF_TOKEN`, `hf auth login`).
    """

    revision: str | None = None
    cache_dir: str | Path | None = None
    token: str | None = None


def is_hub_id(name: str) -> bool:
    """Return whether a name has the form of a Hub id, "owner/model"."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def split_revision(name: str, access: HubAccess) -> tuple[str, str | None]:
    """Split a name into Hub id and revision; the revision follows an @ or is in `access`.

    Raises:
        SettingsError: Both revisions are given, and differ.
    """
    repository, _, revision = name.partition("@")
    if revision and access.revision is not None and revision != access.revision:
        raise SettingsError(f"{name} and revision {access.revision!r}: pass one revision")
    return repository, revision or access.revision


def download(name: str, access: HubAccess) -> Path:
    """Download a model folder from the Hub, or find it in the cache.

    Endpoint and offline mode are those of huggingface_hub (`HF_ENDPOINT`, `HF_HUB_OFFLINE`).

    Args:
        name: Hub id, optionally followed by @ and a branch, a tag or a commit.
        access: Revision, cache and token.

    Raises:
        CheckpointError: The model does not exist, or cannot be downloaded.
        SettingsError: Two different revisions are given.
    """
    # Imported here because only the Hub needs it: bundled models and folders load faster.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository, revision = split_revision(name, access)
    cache = None if access.cache_dir is None else Path(access.cache_dir).expanduser()

    def fetch(files: list[str]) -> Path:
        folder = snapshot_download(
            repository,
            revision=revision,
            cache_dir=cache,
            token=access.token,
            allow_patterns=files,
        )
        return Path(folder)

    try:
        folder = fetch([*CONFIG_FILES, *SAFETENSORS_FILES])
        has_weights = any((folder / name).is_file() for name in SAFETENSORS_FILES)
        return folder if has_weights else fetch([*CONFIG_FILES, *PYTORCH_FILES])
    except LocalEntryNotFoundError:
        reason = "it is not in the cache, and the Hub cannot be reached: check path and network"
    except GatedRepoError:
        reason = f"the Hub asks for consent first: see huggingface.co/{name}, then `hf auth login`"
    except RevisionNotFoundError:
        reason = f"the Hub has that model, but no revision {revision!r} of it"
    except RepositoryNotFoundError:
        reason = "the Hub has no such model (or it is private: `hf auth login`): check the name"
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        message = str(error).strip() or type(error).__name__
        reason = f"it cannot be fetched: {message.splitlines()[0]}"
    raise CheckpointError(f"{name} is no folder here; {reason}")
