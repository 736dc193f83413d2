"""The files of a model, in a local directory or in a repository of the Hugging Face Hub."""

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from splade_anserini.cards.finding import suggest_encoders
from splade_anserini.errors import InputError, first_line
from splade_anserini.records import StrPath


class ModelFiles:
    """The files of the model with a Hugging Face id or in a directory; those of the Hub are downloaded when needed."""

    def __init__(self, name: StrPath) -> None:
        self.name = str(name)
        self._directory = Path(name) if Path(name).is_dir() else None

    def path(self, file: str) -> Path | None:
        """Return the local path of a file named relative to the model, None when the model does not have it.

        Raises `InputError` when the Hub cannot be asked whether it has it, or the name leads out of the model.
        """
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts or "\\" in file:
            raise InputError(f"{self.name} refers to the file {file!r}.", expected="a path inside the model")
        if self._directory is None:
            return _file_of_hub(self.name, str(PurePosixPath(file)))
        path = self._directory / file
        return path if path.is_file() else None

    def json(self, file: str) -> Any:
        """Return the content of a JSON file, None when there is no such file. Raises `InputError` if it is invalid."""
        path = self.path(file)
        if path is None:
            return None
        try:
            return json.loads(path.read_bytes())
        except ValueError as error:
            raise InputError(f"{path} is not valid JSON: {error}.", do="Download or save the model again.") from error

    def json_object(self, file: str) -> dict[str, Any] | None:
        """Return the content of a JSON file that must be an object, None when there is no such file."""
        content = self.json(file)
        if content is not None and not isinstance(content, dict):
            raise InputError(f"{self.name}: {file} is not a JSON object.", do="Download or save the model again.")
        return content


@cache
def _file_of_hub(repository: str, file: str) -> Path | None:
    """Return the path of a file in the local cache, downloaded if necessary; None when the repository lacks it.

    Without a network that is known for a file that was asked for before, or when the repository was downloaded whole.
    """
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError

    with _quiet_hub():
        try:
            return Path(huggingface_hub.hf_hub_download(repository, file, local_files_only=not _hub_has_address()))
        except RemoteEntryNotFoundError:
            return None
        except LocalEntryNotFoundError as error:
            if _is_known_to_be_absent(repository, file):
                return None
            reason = first_line(error) if _hub_has_address() else "the name of its host cannot be resolved."
            raise _unreachable(repository, file, reason) from error
        except Exception as error:  # the hub client and its HTTP library share no base
            raise _unreachable(repository, file, first_line(error)) from error


@cache
def _hub_has_address() -> bool:
    """Return False when the name of the Hub's host cannot be resolved: the hub client would try for half a minute."""
    from huggingface_hub import constants

    if getproxies():  # which then resolve the name
        return True
    url = urlsplit(constants.ENDPOINT)
    try:
        socket.getaddrinfo(url.hostname, url.port or url.scheme)
    except OSError:
        return False
    return True


def _is_known_to_be_absent(repository: str, file: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repository, file)
    if cached is not None:
        return not isinstance(cached, str)
    # Only a download of the whole repository fetches this file.
    return isinstance(try_to_load_from_cache(repository, ".gitattributes"), str)


def _unreachable(repository: str, file: str, reason: str) -> InputError:
    return not_loaded(
        repository,
        f"{file}, which says how it encodes,",
        reason,
        expected="an encoder directory, the name of an encoder card, or a Hugging Face model id",
        do="Without a network, name the directory of a complete download.",
    )


def not_loaded(name: str, part: str, reason: str, *, expected: str, do: str = "") -> InputError:
    """Return the error for a name of which a part could not be loaded from Hugging Face."""
    check = "Check the name and the network; a gated model needs `hf auth login` first."
    return InputError(
        f"{name} does not exist here and is not an encoder card, and its {part} cannot be loaded from Hugging Face: "
        f"{reason}",
        expected=expected,
        do=" ".join(filter(None, (suggest_encoders(name), check, do))),
    )


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Turn off the log lines and progress bars of the hub client inside the block."""
    from huggingface_hub import utils

    host: Any = utils
    logger = logging.getLogger("huggingface_hub")
    level, bars = logger.level, not host.are_progress_bars_disabled()
    logger.setLevel(logging.CRITICAL)
    host.disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            host.enable_progress_bars()
