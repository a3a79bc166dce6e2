"""Upload of models to the Hugging Face Hub."""

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import quote

from unimask.checkpoints import Checkpoint, write_huggingface
from unimask.checkpoints.huggingface.folder import FILES
from unimask.errors import ImageError, OutputError, SettingsError, one_line
from unimask.inference.model_card import MARKER, write_card
from unimask.inference.provenance import find_provenance

CARD = "README.md"

WEB_FORMATS = ("JPEG", "PNG", "WEBP")
"""Image formats that every browser displays."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PushSettings:
    """Where and how a model is uploaded; see `Predictor.push_to_hub`.

    Attributes:
        repository: Hub id, "owner/name".
        private: Whether a new repository is private; None for the owner's default.
        revision: Branch, created if it does not exist; None for the main branch.
        licence: Identifier of the licence; None for the published one.
        examples: Image files for the widget.
        token: Access token; None for huggingface_hub's default.

    Raises:
        ImageError: An example cannot be read, or has a format that browsers do not display.
        SettingsError: The id is not of the form "owner/name", or two examples have one name.
    """

    repository: str
    private: bool | None = None
    revision: str | None = None
    licence: str | None = None
    examples: tuple[Path, ...] = ()
    token: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", self.repository, re.ASCII):
            raise SettingsError(f"{self.repository!r} is no Hub id: pass it as owner/name")
        for example in self.examples:
            check_example(example)
        names = [example.name for example in self.examples]
        if len(set(names)) < len(names):
            raise SettingsError("two examples have the same file name: rename one of them")


def check_example(path: Path) -> None:
    """Check that a file is an image that browsers display.

    Raises:
        ImageError: It is not.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            image_format = image.format
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path} cannot be read as an image: {one_line(error)}") from error
    if image_format not in WEB_FORMATS:
        raise ImageError(f"{path} is {image_format}: browsers display {', '.join(WEB_FORMATS)}")


class Upload:
    """An upload to the Hub, whose token is checked first, before a model is read.

    Args:
        settings: Repository, branch and options.

    Raises:
        OutputError: The Hub cannot be reached.
        SettingsError: There is no token, or the Hub does not know it.
    """

    def __init__(self, settings: PushSettings) -> None:
        # Imported here because only the Hub needs it.
        from huggingface_hub import HfApi, get_token

        token = settings.token or get_token()
        if token is None:
            raise SettingsError(
                f"no token to upload {settings.repository}: run `hf auth login`, set HF_TOKEN or "
                "pass a token"
            )
        self.settings, self.api = settings, HfApi(token=token)
        self.user: str | None = None
        with self.convert_errors("the token cannot be checked"):
            self.user = str(self.api.whoami()["name"])

    def push(self, checkpoint: Checkpoint, source: str) -> str:
        """Upload a model with its card in one commit, so that a failure leaves no part visible.

        Args:
            checkpoint: Model to upload.
            source: Argument of `unimask.load` that the model was loaded from.

        Returns:
            URL of the commit.

        Raises:
            OutputError: The Hub cannot be reached, or refuses the upload.
        """
        from huggingface_hub import CommitOperationAdd

        settings = self.settings
        with tempfile.TemporaryDirectory(prefix="unimask-push-") as temporary:
            folder = Path(temporary)
            write_huggingface(folder, checkpoint, overwrite=True)
            files = {name: folder / name for name in FILES}
            files |= {f"examples/{example.name}": example for example in settings.examples}
            self.prepare_repository()
            if self.may_replace_card(folder / "present"):
                files[CARD] = folder / CARD
                files[CARD].write_text(self.build_card(checkpoint, source), encoding="utf-8")
            with self.convert_errors("nothing was committed"), progress_bars():
                commit = self.api.create_commit(
                    settings.repository,
                    [CommitOperationAdd(name, path) for name, path in files.items()],
                    commit_message="Upload a model with unimask",
                    revision=settings.revision,
                )
        return commit.commit_url

    def prepare_repository(self) -> None:
        """Create the repository and the branch if they do not exist."""
        settings = self.settings
        with self.convert_errors("the repository cannot be created"):
            self.api.create_repo(settings.repository, private=settings.private, exist_ok=True)
        if settings.revision is not None:
            with self.convert_errors(f"branch {settings.revision} cannot be created"):
                self.api.create_branch(settings.repository, branch=settings.revision, exist_ok=True)

    def build_card(self, checkpoint: Checkpoint, source: str) -> str:
        """Return the model card."""
        settings = self.settings
        branch = quote(settings.revision or "main", safe="")
        place = f"{self.api.endpoint}/{settings.repository}/resolve/{branch}/examples"
        return write_card(
            settings.repository,
            checkpoint.description,
            find_provenance(source),
            licence=settings.licence,
            examples={path.stem: f"{place}/{quote(path.name)}" for path in settings.examples},
        )

    def may_replace_card(self, folder: Path) -> bool:
        """Return whether the repository has no README.md, or one that unimask wrote.

        Args:
            folder: Folder to download it to.
        """
        repository, revision = self.settings.repository, self.settings.revision
        with self.convert_errors(f"its {CARD} cannot be read"):
            if not self.api.file_exists(repository, CARD, revision=revision):
                return True
            path = self.api.hf_hub_download(repository, CARD, revision=revision, local_dir=folder)
            return MARKER in Path(path).read_text(encoding="utf-8", errors="replace")

    @contextmanager
    def convert_errors(self, failure: str) -> Iterator[None]:
        """Convert the errors of huggingface_hub to errors of one line.

        Args:
            failure: What did not happen.

        Raises:
            OutputError: The Hub cannot be reached, or refuses the request.
            SettingsError: The Hub does not know the token.
        """
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        # Failed connections are errors of requests or httpx, depending on the release. Failed
        # uploads of large files are RuntimeError or ValueError, unknown answers LookupError.
        connection = cast(tuple[type[Exception], ...], HfHubHTTPError.__bases__)
        failures = (*connection, OSError, RuntimeError, ValueError, LookupError)
        repository = self.settings.repository
        try:
            yield
        except OfflineModeIsEnabled as error:
            raise OutputError(
                f"{repository}: {failure}: HF_HUB_OFFLINE is set, unset it to upload"
            ) from error
        except failures as error:
            if self.user is None and read_status(error) == 401:
                raise SettingsError(
                    f"{repository}: the Hub does not accept the token (401): create one with write "
                    f"access at {self.api.endpoint}/settings/tokens, then `hf auth login`"
                ) from error
            raise OutputError(f"{repository}: {failure}: {self.describe(error)}") from error

    def describe(self, error: BaseException) -> str:
        """Describe an error of huggingface_hub and how to proceed, in one line."""
        owner, status = self.settings.repository.partition("/")[0], read_status(error)
        if status in (401, 403, 404) and self.user is not None:
            fix = "take a token with write access"
            if self.user != owner:
                fix = f"it belongs to {owner}: push to {self.user}/..., or {fix} there"
            return f"{self.user}'s token may not write to it ({status}); {fix}"
        if status is not None:
            return f"the Hub answered {describe_response(error)}: try it again later"
        if isinstance(error, RuntimeError | ValueError | LookupError):
            reason = describe_response(error.__cause__ or error)
            return f"{one_line(error).removesuffix('.')} ({reason}): run it again"
        return f"{self.api.endpoint} cannot be reached ({one_line(error)}): check the network"


@contextmanager
def progress_bars() -> Iterator[None]:
    """Show the progress bars of huggingface_hub on terminals only."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def read_status(error: BaseException) -> int | None:
    """Return the HTTP status of the answer that an error stands for; None without an answer."""
    return getattr(getattr(error, "response", None), "status_code", None)


def describe_response(error: BaseException) -> str:
    """Describe an error by its HTTP status and the server's message, if it has them."""
    status = read_status(error)
    if status is None:
        return one_line(error)
    message = getattr(error, "server_message", None)
    return f"{status}, {message}" if message else str(status)
