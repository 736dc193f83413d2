"""Weights in half precision, in pieces that are small enough to be fetched one by one."""

import hashlib
import json
from pathlib import Path

PIECE = 15_000_000
"""Most bytes in a piece."""
LIST = "weights.json"


def write_pieces(weights: Path, output: Path, *, size: int = PIECE) -> int:
    """Write the weights of a .safetensors file in fp16 as weights.00, weights.01, …; return how many there are.

    The pieces one after the other are a .safetensors file; weights.json has its SHA-256.
    """
    content = half_precision(weights)
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    for old in output.glob("weights.*"):
        old.unlink()
    for number, piece in enumerate(pieces):
        (output / f"weights.{number:02d}").write_bytes(piece)
    facts = {"pieces": len(pieces), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (output / LIST).write_text(json.dumps(facts))
    return len(pieces)


def join_pieces(directory: Path, output: Path) -> None:
    """Write the .safetensors file whose pieces are in a directory. Raises `ValueError` when they are not complete."""
    facts = json.loads((directory / LIST).read_bytes())
    content = b"".join((directory / f"weights.{number:02d}").read_bytes() for number in range(facts["pieces"]))
    if hashlib.sha256(content).hexdigest() != facts["sha256"]:
        raise ValueError(f"the pieces in {directory} are not those that {LIST} describes")
    output.write_bytes(content)


def half_precision(weights: Path) -> bytes:
    """Return the content of a .safetensors file with its floating-point tensors in fp16."""
    import torch
    from safetensors.torch import load_file, save

    tensors = load_file(weights)
    return bytes(
        save(
            {
                name: tensor.to(torch.float16) if tensor.is_floating_point() else tensor
                for name, tensor in tensors.items()
            },
            metadata={"format": "pt"},
        )
    )
