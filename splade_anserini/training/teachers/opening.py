"""From a name to a teacher."""

from splade_anserini.errors import InputError
from splade_anserini.modeling.backbone import PACKAGE
from splade_anserini.modeling.checkpoint import require_model
from splade_anserini.training.teachers.dense import DenseTeacher, Teacher
from splade_anserini.training.teachers.inputs import TeacherOptions
from splade_anserini.training.teachers.model_files import json_beside

CROSS, DENSE, SPLADE = "cross:", "dense:", "splade:"
"""Before a name, to say what it is."""


def open_teacher(name: str, options: TeacherOptions | None = None) -> Teacher:
    """Open a cross-encoder or sentence encoder by its Hugging Face id, directory or `package:<module>`.

    The architecture in config.json tells the two apart; `cross:` or `dense:` before the name overrules it, and
    `splade:` takes whatever `open_encoder` does. Raises `InputError` when there is no such model, or it is neither.
    """
    options = options or TeacherOptions()
    for prefix, load in ((CROSS, _cross), (DENSE, DenseTeacher.load), (SPLADE, _splade)):
        if name.startswith(prefix):
            return load(name.removeprefix(prefix), options)
    return DenseTeacher.load(name, options) if name.startswith(PACKAGE) or _is_dense(name) else _cross(name, options)


def _is_dense(name: str) -> bool:
    """Say whether the model is a sentence encoder, and not a cross-encoder."""
    require_model(name)
    architectures = (json_beside(name, "config.json") or {}).get("architectures") or [""]
    if str(architectures[0]).endswith("ForSequenceClassification"):
        return False
    if str(architectures[0]).endswith("Model") or json_beside(name, "modules.json") is not None:
        return True
    raise InputError(
        f"It is not clear what kind of teacher {name} is: "
        + (f"its architecture is {architectures[0]}." if architectures[0] else "no config.json says so."),
        expected="a cross-encoder (…ForSequenceClassification) or a sentence encoder (…Model)",
        do=f"Say which: {CROSS}{name}, {DENSE}{name} or {SPLADE}{name}.",
    )


def _cross(name: str, options: TeacherOptions) -> Teacher:
    from splade_anserini.training.teachers.cross_encoder import CrossEncoderTeacher

    return CrossEncoderTeacher.load(name, options)


def _splade(name: str, options: TeacherOptions) -> Teacher:
    from splade_anserini.encoding import EncoderOptions, open_encoder, open_query_encoder
    from splade_anserini.training.teachers.splade import SpladeTeacher

    chosen = EncoderOptions(
        max_length=options.max_length,
        precision="bf16" if options.bf16 else "auto",
        device=options.device,
        batch_size=options.batch_size,
    )
    return SpladeTeacher(name, open_query_encoder(name, chosen), open_encoder(name, chosen))
