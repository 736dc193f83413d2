import re
from pathlib import Path

import pytest

from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.cards.finding import (
    available_encoders,
    find_encoder,
    find_encoder_card,
    read_card,
    resolve_index,
)
from splade_anserini.cards.index_card import IndexCard
from splade_anserini.cards.shipped import encoders_home, indexes_home
from splade_anserini.cards.training_recipe import Loss, Regularizer, TrainingRecipe
from splade_anserini.errors import InputError

CARD = """
name = "mine"
description = "An encoder."
license = "MIT"
source = "somebody/model"
pooling = "sum"
scale = 51.2
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a folder of cards, as a user has it."""
    (tmp_path / "encoders").mkdir()
    (tmp_path / "indexes").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", sorted(encoders_home().glob("*.toml")), ids=lambda path: path.stem)
def test_every_encoder_card_that_ships_is_valid_and_named_like_its_file(path: Path) -> None:
    assert read_card(path, EncoderCard).name == path.stem
    assert path.stem in available_encoders()


@pytest.mark.parametrize("path", sorted(indexes_home().glob("*.toml")), ids=lambda path: path.stem)
def test_every_index_card_that_ships_is_valid_and_named_like_its_file(path: Path) -> None:
    assert read_card(path, IndexCard).name == path.stem


def test_the_encoder_cards_that_ship_state_their_licences() -> None:
    licenses = {path.stem: read_card(path, EncoderCard).license for path in encoders_home().glob("*.toml")}
    ours = {"splade-mini", "splade-mini-v2", "splade-v1-sum", "splade-v2-max", "splade-v2-doc", "distilsplade-v2-max"}
    naver = {"distilsplade-max", "splade-v3", "splade-pp-ed", "splade-pp-sd", "splade-v3-distilbert", "splade-v3-doc"}
    free = {"granite-30m-sparse", "splade-pp-en-v1", "splade-pp-en-v2"} | set(OPENSEARCH)
    assert licenses == dict.fromkeys(ours | free, "Apache-2.0") | dict.fromkeys(naver, "CC-BY-NC-SA-4.0")
    for name in naver - {"distilsplade-max", "splade-v3", "splade-pp-ed", "splade-pp-sd"}:
        assert "non-commercial use only" in find_encoder_card(name).description


OPENSEARCH = {
    "opensearch-v2-distill": ("relu", "splade", 0.528),
    "opensearch-doc-v2-distill": ("relu", "idf", 0.504),
    "opensearch-doc-v2-mini": ("relu", "idf", 0.497),
    "opensearch-doc-v3-distill": ("log1p_relu", "idf", 0.517),
    "opensearch-doc-v3-gte": ("log1p_relu", "idf", 0.546),
    "opensearch-multilingual-v1": ("relu", "idf", 0.629),
}
"""Activation, query side, and the published nDCG@10: the mean of BEIR, of the multilingual one the mean of MIRACL."""


@pytest.mark.parametrize(("name", "expected"), OPENSEARCH.items())
def test_the_cards_of_opensearch_have_the_settings_and_scores_of_their_authors(
    name: str, expected: tuple[str, str, float]
) -> None:
    card = find_encoder_card(name)
    (score,) = card.published
    assert (card.activation, card.query_side, score.value) == expected
    assert (card.pooling, score.measure, card.verified) == ("max", "nDCG@10", False)
    assert card.source == f"opensearch-project/opensearch-neural-sparse-encoding-{name.removeprefix('opensearch-')}"


def test_a_card_of_a_model_that_others_publish_gives_scores_their_source_and_says_that_nobody_checked_it() -> None:
    for path in encoders_home().glob("*.toml"):
        card = read_card(path, EncoderCard)
        if "/" not in card.source:
            continue
        assert not card.verified
        assert "Not checked here." in card.description
        assert card.published
        for score in card.published:
            assert 0 < score.value < 1
            assert score.source


def test_the_queries_of_splade_v3_doc_are_their_own_tokens() -> None:
    card = find_encoder_card("splade-v3-doc")
    assert (card.query_side, card.max_length, card.query_max_length) == ("doc", 256, 256)


# SPLADE v2, section 4. The λ of v1's sum and of SPLADE-doc are our own choice.


@pytest.mark.parametrize(
    ("name", "pooling", "side", "loss", "lambdas", "steps"),
    [
        ("splade-v1-sum", "sum", "splade", "rank-ibn", (3e-4, 1e-4), 150_000),
        ("splade-v2-max", "max", "splade", "rank-ibn", (3e-4, 1e-4), 150_000),
        ("splade-v2-doc", "max", "doc", "rank-ibn", (0, 1e-4), 50_000),
        ("distilsplade-v2-max", "max", "splade", "margin-mse", (0.1, 0.08), 150_000),
    ],
)
def test_the_recipes_of_the_paper_have_its_hyperparameters(
    name: str, pooling: str, side: str, loss: str, lambdas: tuple[float, float], steps: int
) -> None:
    card = find_encoder_card(name)
    recipe = card.training
    assert recipe is not None
    assert (card.pooling, recipe.query_side, recipe.steps) == (pooling, side, steps)
    assert recipe.losses == (Loss(kind=loss),)  # type: ignore[arg-type]  # a str, not a Literal
    assert recipe.regularizer == Regularizer(
        kind="flops", lambda_q=lambdas[0], lambda_d=lambdas[1], schedule="quadratic", until=50_000
    )
    assert (recipe.backbone, recipe.negatives, recipe.share_negatives) == ("distilbert-base-uncased", 1, False)
    assert (recipe.learning_rate, recipe.warmup_steps, recipe.decay) == (2e-5, 6_000, "linear")
    assert (recipe.batch_size, recipe.accumulation, recipe.weight_decay) == (124, 1, 0)
    assert {card.max_length, card.query_max_length, recipe.max_length, recipe.query_max_length} == {256}
    assert card.source == name


# Overrides (--set).


def test_overrides_replace_fields_of_a_card() -> None:
    lines = ["training.seed=1", 'pooling="sum"', 'activation="log1p_relu"', "training.regularizer.lambda_q=5"]
    card = find_encoder_card("splade-v2-max", lines)
    assert card.training is not None
    assert (card.training.seed, card.training.regularizer.lambda_q) == (1, 5)
    assert card.aggregation == ("sum", "log1p_relu")
    assert find_encoder_card("splade-v2-max").aggregation == ("max", "relu")
    assert card.training.regularizer.lambda_d == 1e-4


def test_a_field_of_an_earlier_version_is_read_under_its_former_name() -> None:
    card = find_encoder_card("splade-v2-max", ["training.topics=5", 'training.teacher={model="somebody/model"}'])
    assert card.training is not None
    assert card.training.cluster_size == 5
    assert card.training == TrainingRecipe.model_validate(card.training.model_dump())


def test_a_field_may_not_have_its_present_and_its_former_name() -> None:
    with pytest.raises(InputError, match="topics is the former name of cluster_size; give only cluster_size"):
        find_encoder_card("splade-v2-max", ["training.topics=5", "training.cluster_size=6"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("colour", "'colour' is not a valid line of TOML"),
        ("colour=1", "colour: Extra inputs are not permitted"),
        ("training.colour=1", "training.colour: Extra inputs are not permitted"),
        ("training.steps=0", "training.steps: Input should be greater than 0"),
        ("training.losses=[]", "training.losses: Tuple should have at least 1 item"),
        ('pooling="mean"', "pooling: Input should be 'max', 'sum' or 'norm'"),
        ('activation="gelu"', "activation: Input should be 'relu' or 'log1p_relu'"),
        ("training.cluster_size=5", r"toml: training: cluster_size needs a table \[training.teacher\]"),
        ('training.losses=[{kind="kl",over="batch"}]', 'training: a loss over "batch" needs a table'),
        ('training.query_side="idf"', 'training: lambda_q must be 0 with query_side = "idf"'),
        ('training.query_backbone="x"', "training: query_backbone needs query_side"),
        ('query_side="idf"', r"toml: query_side is \"idf\" for the encoder and \"splade\" in"),
    ],
)
def test_an_invalid_override_is_an_error_that_names_the_field(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        find_encoder_card("splade-v2-max", [override])
    assert "Value error" not in str(caught.value)


def test_a_recipe_that_ships_is_trained_into_the_working_directory_and_then_found(home: Path) -> None:
    with pytest.raises(InputError, match="has not been trained yet") as caught:
        find_encoder("splade-v2-max")
    output = home / "encoders" / "splade-v2-max"
    assert f"train --card splade-v2-max --data … --output {output}" in str(caught.value)
    output.mkdir()
    assert Path(find_encoder("splade-v2-max").location).samefile(output)


def test_a_users_recipe_is_trained_into_the_directory_of_its_card(home: Path) -> None:
    card = home / "mine.toml"
    card.write_text((encoders_home() / "splade-v2-max.toml").read_text())
    with pytest.raises(InputError, match=rf"--output {home / 'splade-v2-max'}$"):
        find_encoder(str(card))
    (home / "splade-v2-max").mkdir()
    assert Path(find_encoder(str(card)).location).samefile(home / "splade-v2-max")


def test_the_encoder_that_ships_is_found_by_name_from_anywhere(home: Path) -> None:
    source = find_encoder("splade-mini")
    assert source.is_onnx
    assert source.card is not None
    assert source.card.name == "splade-mini"


def test_a_card_is_found_by_name_in_the_working_directorys_encoders(home: Path) -> None:
    (home / "encoders" / "mine.toml").write_text(CARD)
    source = find_encoder("mine")
    assert (source.location, source.is_onnx) == ("somebody/model", False)
    assert source.card is not None
    assert source.card.scale == 51.2
    assert source.card == find_encoder(str(home / "encoders" / "mine.toml")).card


def test_the_source_of_a_card_is_a_directory_next_to_it_if_there_is_one(home: Path) -> None:
    (home / "encoders" / "mine.toml").write_text(CARD.replace("somebody/model", "mine"))
    (home / "encoders" / "mine").mkdir()
    (home / "encoders" / "mine" / "model.onnx").touch()
    assert find_encoder("mine").is_onnx


def test_an_exported_directory_needs_no_card(home: Path) -> None:
    (home / "encoders" / "plain").mkdir()
    (home / "encoders" / "plain" / "model.onnx").touch()
    assert find_encoder("plain").is_onnx
    assert find_encoder("encoders/plain").is_onnx


def test_any_other_name_is_a_hugging_face_id(home: Path) -> None:
    assert find_encoder("naver/some-model").location == "naver/some-model"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nowhere", "./nowhere does not exist.\nExpected an encoder directory"),
        ("/a/b/c", "/a/b/c does not exist.\nExpected an encoder directory"),
        ("a/b/c", "a/b/c does not exist.\nExpected an encoder directory"),
        ("nowhere.toml", "nowhere.toml does not exist.\nExpected an EncoderCard"),
        (
            "./splade-v4",
            "or a Hugging Face model id.\nDid you mean splade-v3",
        ),
        ("empty", "empty is not an encoder"),
        ("broken.toml", "broken.toml is not a valid TOML file"),
        ("incomplete.toml", "name: Field required"),
        ("unknown.toml", "colour: Extra inputs are not permitted"),
    ],
)
def test_a_name_that_leads_to_no_encoder_is_an_error(home: Path, name: str, message: str) -> None:
    (home / "empty").mkdir()
    (home / "broken.toml").write_text("name = ")
    (home / "incomplete.toml").write_text('description = "?"\nlicense = "MIT"\nsource = "x"')
    (home / "unknown.toml").write_text(CARD + 'colour = "red"')
    with pytest.raises(InputError, match=re.escape(message)):
        find_encoder(name)


def test_an_index_is_found_by_its_directory_or_its_card(home: Path) -> None:
    (home / "indexes" / "small.toml").write_text(
        'name = "small"\ndescription = "."\ncorpus = "c"\nencoder = "e"\n'
        '[[evaluation]]\nname = "test"\ntopics = "t"\nqrels = "q"\nmeasures = ["nDCG@10"]\n'
    )
    with pytest.raises(InputError, match=r"has not been built yet\.\nRun: splade-anserini reproduce small"):
        resolve_index("small")
    (home / "indexes" / "small").mkdir()
    assert resolve_index("small").samefile(resolve_index("indexes/small"))
    assert resolve_index(home / "indexes" / "small.toml").samefile(home / "indexes" / "small")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", r"There is no index 'nothing'\.\nExpected a directory .*index card\.$"),
        ("nothing.toml", r"There is no index 'nothing\.toml'\."),
        ("cranfield.splade-maxi", r"There is no index .*\n.*\nDid you mean cranfield\.splade-mini.*\?$"),
    ],
)
def test_an_unknown_index_is_an_error_that_suggests_similar_names(home: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_index(name)


@pytest.mark.parametrize(
    ("name", "last_line"),
    [
        ("splade-v2", "Did you mean splade-v2-doc, splade-v2-max or distilsplade-v2-max?"),
        ("distilsplade", "Did you mean distilsplade-max or distilsplade-v2-max?"),
        ("xyz", "Available cards are the .toml files in {home} and {package}."),
    ],
)
def test_an_unknown_encoder_card_is_an_error_that_suggests_at_most_three_names(
    home: Path, name: str, last_line: str
) -> None:
    with pytest.raises(InputError, match=f"There is no encoder card '{name}'") as caught:
        find_encoder_card(name)
    assert str(caught.value).splitlines()[-1] == last_line.format(home=home / "encoders", package=encoders_home())


def test_a_path_may_be_a_path_object(home: Path) -> None:
    (home / "encoders" / "mine.toml").write_text(CARD)
    path = Path("encoders", "mine.toml")
    assert find_encoder(path) == find_encoder("encoders/mine.toml")
    assert find_encoder_card(path) == read_card("encoders/mine.toml", EncoderCard)
