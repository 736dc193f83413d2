"""Queries are weighted in training as in a search with --query-idf."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from splade_anserini.cards.encoder_card import EncoderCard
from splade_anserini.training.objective import Objective, Vectors
from splade_anserini.training.query_idf import DECAY, QueryIdf
from splade_anserini.vectors.idf import idf
from tests.test_objective import labels, vectors
from tests.training_fixtures import recipe

ALPHA = 0.75
IBN: dict[str, Any] = {"losses": [{"kind": "rank-ibn"}], "regularizer": {"lambda_q": 0.0, "lambda_d": 0.0}}


def expected_factors(documents: torch.Tensor) -> torch.Tensor:
    counts = (documents > 0).sum(dim=0).tolist()
    return torch.tensor([idf(len(documents), count) ** ALPHA for count in counts])


def test_factors_are_those_of_a_search_among_the_documents() -> None:
    documents = vectors().documents
    factors = QueryIdf(ALPHA)(0, documents)
    torch.testing.assert_close(factors, expected_factors(documents).to(factors.dtype))
    assert not factors.requires_grad


def test_the_documents_of_a_source_add_up_and_older_ones_count_less() -> None:
    query_idf = QueryIdf(ALPHA)
    first, second, other = (vectors(seed).documents for seed in range(3))
    query_idf(0, first)
    torch.testing.assert_close(query_idf(1, other).float(), expected_factors(other))
    factors = query_idf(0, second)
    counts = DECAY * (first > 0).sum(dim=0) + (second > 0).sum(dim=0)
    total = DECAY * len(first) + len(second)
    torch.testing.assert_close(factors.float(), torch.log1p((total - counts + 0.5) / (counts + 0.5)) ** ALPHA)


def test_losses_see_weighted_queries_and_regularizers_do_not() -> None:
    batch = vectors()
    factors = expected_factors(batch.documents).double()
    weighted = Vectors(batch.queries * factors, batch.documents)
    chosen = recipe(query_idf=ALPHA, **IBN | {"regularizer": {"lambda_q": 0.5, "lambda_d": 0.5}})
    plain = chosen.model_copy(update={"query_idf": 0.0})
    terms, expected = Objective(chosen)(batch, labels(), 0, None), Objective(plain)(weighted, labels(), 0, None)
    assert terms["rank-ibn"].item() == pytest.approx(expected["rank-ibn"].item(), rel=1e-6)
    assert terms["flops q"].item() == Objective(plain)(batch, labels(), 0, None)["flops q"].item()


def test_each_source_has_its_own_idf_which_a_checkpoint_restores() -> None:
    chosen = recipe(query_idf=ALPHA, **IBN)
    objective, restored = Objective(chosen), Objective(chosen)
    objective(vectors(1), labels(), 0, None, source=0)
    objective(vectors(2), labels(), 0, None, source=3)
    restored.load_state_dict({name: value.clone() for name, value in objective.state_dict().items()})
    values = [
        each(vectors(4), labels(), 1, None, source=source)["rank-ibn"].item()
        for source in (3, 0)
        for each in (objective, restored)
    ]
    assert values[0] == values[1]
    assert values[2] == values[3]
    assert values[0] != values[2]


def test_a_card_must_search_as_it_trains() -> None:
    fields = {"name": "mine", "description": "", "license": "", "source": "mine"}
    training = recipe(query_idf=ALPHA).model_dump()
    with pytest.raises(ValidationError, match=r"query_idf is 0 for the encoder and 0\.75 in \[training\]"):
        EncoderCard.model_validate(fields | {"training": training})
    assert EncoderCard.model_validate(fields | {"training": training, "query_idf": ALPHA}).query_idf == ALPHA
