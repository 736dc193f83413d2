"""Pushing a checkpoint to the Hugging Face Hub."""

from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.artifacts.outputs import IN_DIRECTORY
from splade_anserini.errors import InputError, OutputError, first_line

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_OPTION = "--push-to-hub"


def require_hub(repository: str) -> None:
    """Check, before a long run, that a repository can be pushed to: its id, a token, and the network.

    Raises `InputError` for an id that is not valid, without a token, or with one that the Hub refuses, `OutputError`
    when the Hub does not answer.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not in an __all__

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise InputError(
            f"{_OPTION} {repository!r} is not a valid repository id: {first_line(error)}",
            expected="NAME or USER/NAME, such as my-name/my-splade",
        ) from error
    if get_token() is None:
        raise InputError(
            f"{_OPTION} needs a token of Hugging Face that may write, and none is set.",
            do="Run hf auth login, or set HF_TOKEN.",
        )
    api = HfApi()
    try:
        api.whoami()
    except Exception as error:  # the hub's client and its HTTP libraries share no base
        raise _refusal(error, api, f"{_OPTION} {repository}") from error


def push_to_hub(directory: Path, repository: str) -> str:
    """Upload the files of a checkpoint; return the address of the repository, which is private when this creates it.

    Raises `InputError` when the Hub refuses, `OutputError` when it does not answer; the checkpoint stays.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        created = api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=created.repo_id,
            folder_path=directory,
            # It names the files on this machine that the checkpoint was trained from.
            ignore_patterns=[IN_DIRECTORY],
            commit_message="A checkpoint trained with splade-anserini",
        )
    except Exception as error:  # as above
        raise _refusal(error, api, f"{directory} could not be pushed to {repository}") from error
    return str(created)


def _refusal(error: Exception, api: "HfApi", what: str) -> InputError | OutputError:
    """Return the error for a request that the Hub refused, or did not answer."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in {401, 403}:
        return InputError(
            f"{what}: {api.endpoint} refuses the token ({status}): {first_line(error)}",
            expected="a token that may write to the repository",
            do="Run hf auth login, or set HF_TOKEN.",
        )
    return OutputError(
        f"{what}: {api.endpoint} cannot be used: {first_line(error)}",
        expected="a network connection to the Hugging Face Hub",
        do=f"Train without {_OPTION}; the same command with it then pushes the checkpoint that is there.",
    )
