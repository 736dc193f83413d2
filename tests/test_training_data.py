"""Facts of what training reads: which examples stand in which batch, what is drawn, and what teachers say of it."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_anserini.cards.training_recipe import Teacher
from splade_anserini.errors import InputError
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.records import Example
from splade_anserini.training import query_clusters as topics_module
from splade_anserini.training.batch import Batch, Collator, Tokens
from splade_anserini.training.batch_plan import BatchPlan
from splade_anserini.training.batches import Share, Supply
from splade_anserini.training.lexical import K1, B, Lexicon, lexicon
from splade_anserini.training.query_clusters import k_means, topics
from splade_anserini.training.teachers.dense import DenseTeacher
from splade_anserini.training.teachers.in_batch import Embeddings, Instruction
from splade_anserini.training.teachers.inputs import TeacherOptions
from splade_anserini.training.teachers.sentence_pooling import SentencePooling
from tests.students import Listed, collator, examples, recipe
from tests.tiny import SENTENCES, tiny_bert, tiny_tokenizer, tiny_vocabulary


def plan(sizes: Sequence[int], size: int, batches: int, **more: Any) -> BatchPlan:
    return BatchPlan(sizes, size, batches=batches, seed=more.pop("seed", 1), **more)


def listed(some: BatchPlan) -> list[tuple[int, list[int]]]:
    return [(some[number].source, some[number].examples.tolist()) for number in range(len(some))]


class TestPlan:
    @given(number=st.integers(1, 40), size=st.integers(1, 12), seed=st.integers(0, 2**31))
    @settings(max_examples=50, deadline=None)
    def test_every_example_comes_once_an_epoch_up_to_the_left_over(self, number: int, size: int, seed: int) -> None:
        batches = max(1, number // size)
        some = listed(plan([number], size, 3 * batches, seed=seed))
        for epoch in range(3):
            seen = Counter(place for _, batch in some[epoch * batches : (epoch + 1) * batches] for place in batch)
            assert set(seen.values()) == {1}
            assert len(seen) == batches * min(size, number)
            assert set(seen) <= set(range(number))

    def test_what_is_left_over_changes_from_epoch_to_epoch(self) -> None:
        some = listed(plan([10], 4, 2 * 30))
        missing = [set(range(10)) - {*some[2 * epoch][1], *some[2 * epoch + 1][1]} for epoch in range(30)]
        assert set().union(*missing) == set(range(10))

    def test_epochs_differ(self) -> None:
        some = listed(plan([12], 4, 6))
        assert some[:3] != some[3:]

    def test_it_is_decided_by_the_seed(self) -> None:
        one, again, other = (listed(plan([30, 20], 4, 40, seed=seed)) for seed in (1, 1, 2))
        assert one == again
        assert one != other

    def test_any_batch_can_be_asked_for_first(self) -> None:
        in_order = listed(plan([30, 20, 3], 4, 60))
        some = plan([30, 20, 3], 4, 60)
        for number in [59, 0, 33, 7, 58, 12]:
            assert (some[number].source, some[number].examples.tolist()) == in_order[number]

    def test_a_longer_run_begins_as_a_shorter_one(self) -> None:
        assert listed(plan([30, 20], 4, 200))[:50] == listed(plan([30, 20], 4, 50))

    @pytest.mark.parametrize(("mixing", "share"), [(1.0, 0.9), (0.5, 0.75), (0.0, 0.5)])
    def test_sources_come_in_proportion_to_a_power_of_their_sizes(self, mixing: float, share: float) -> None:
        some = plan([9000, 1000], 2, 4000, mixing=mixing)
        drawn = sum(some[number].source == 0 for number in range(4000)) / 4000
        assert drawn == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 4000))

    def test_a_batch_is_of_one_source_and_no_greater_than_it(self) -> None:
        some = listed(plan([3, 50], 8, 40, mixing=0.0))
        small = [sorted(batch) for source, batch in some if source == 0]
        assert len(small) > 5
        assert small == [[0, 1, 2]] * len(small)
        assert {len(batch) for source, batch in some if source == 1} == {8}

    def test_clusters_stay_together(self) -> None:
        """Ten clusters of 8, batches of 4: every batch but those at a border, which the start moves, holds one."""
        clusters = np.arange(80) % 10
        some = plan([80], 4, 20, clusters=[clusters])
        assert all(len(set(clusters[some[number].examples])) == 1 for number in range(20))
        # With sizes that do not fit, a batch holds two at most.
        uneven = np.repeat(np.arange(8), 9)
        held = [len(set(uneven[plan([72], 4, 18, clusters=[uneven])[number].examples])) for number in range(18)]
        assert max(held) == 2
        assert held.count(1) >= 9

    def test_borders_between_clusters_fall_differently_in_time(self) -> None:
        """Two clusters of 11, batches of 4: that over the border has three, two or one of the first cluster."""
        clusters = np.repeat(np.arange(2), 11)
        some = plan([22], 4, 5 * 20, clusters=[clusters])
        shares = Counter(int(clusters[some[number].examples].sum()) for number in range(100))
        assert min(shares[1], shares[2], shares[3]) > 0

    def test_without_clusters_the_order_of_the_file_is_gone(self) -> None:
        some = listed(plan([400], 4, 100))
        assert np.mean([np.ptp(batch) for _, batch in some]) > 100

    def test_batches_of_a_cluster_do_not_follow_each_other(self) -> None:
        clusters = np.repeat(np.arange(2), 200)
        some = plan([400], 4, 100, clusters=[clusters])
        order = [int(clusters[some[number].examples[0]]) for number in range(100)]
        assert sum(one != other for one, other in pairwise(order)) > 25


class TestTokens:
    def test_every_text_stands_in_one_group_and_no_group_is_over_the_budget(self) -> None:
        found = Tokens(tiny_tokenizer(), 30, 60)(SENTENCES)
        positions = torch.cat([group.positions for group in found])
        assert sorted(positions.tolist()) == list(range(len(SENTENCES)))
        assert len(found) > 1
        for group in found:
            assert group.ids.shape == group.mask.shape
            assert group.ids.numel() <= 60
            assert bool((group.mask.sum(dim=1) > 0).all())
            assert int(group.mask.sum(dim=1).max()) == group.ids.shape[1]

    def test_ids_are_the_tokenizers_cut_at_the_length(self) -> None:
        expected = tiny_tokenizer()(list(SENTENCES), truncation=True, max_length=9)["input_ids"]
        for group in Tokens(tiny_tokenizer(), 9, 4096)(SENTENCES):
            for position, ids, mask in zip(group.positions.tolist(), group.ids, group.mask, strict=True):
                assert ids[mask > 0].tolist() == expected[position]
                assert not ids[mask == 0].any()

    def test_a_text_over_the_budget_stands_alone(self) -> None:
        found = Tokens(tiny_tokenizer(), 40, 5)(SENTENCES)
        assert [len(group.ids) for group in found if group.ids.shape[1] > 5] == [1] * sum(
            group.ids.shape[1] > 5 for group in found
        )

    def test_the_given_tokenizer_stays_as_it_is(self) -> None:
        tokenizer = tiny_tokenizer()
        Tokens(tokenizer, 5, 4096)(SENTENCES)
        assert len(tokenizer(SENTENCES[-1])["input_ids"]) > 5


class TestCollator:
    some = examples(5, negatives=None, scores=True)

    def make(self, negatives: int = 2, seed: int = 3) -> Collator:
        return collator(recipe(negatives=negatives, seed=seed))

    @pytest.mark.parametrize("negatives", [0, 1, 2, 9])
    def test_a_batch_holds_each_positive_and_as_many_of_its_own_negatives(self, negatives: int) -> None:
        batch = self.make(negatives)(0, self.some)
        assert batch.query_texts == tuple(example.query for example in self.some)
        facts = batch.facts
        for owner, example in enumerate(self.some):
            mine = [place for place in range(len(batch.document_texts)) if facts.owners[place] == owner]
            texts = [batch.document_texts[place] for place in mine]
            assert facts.positives[mine].tolist() == [True] + [False] * (len(mine) - 1)
            assert texts[0] == example.positive
            assert len(texts) == 1 + min(negatives, len(example.negatives))
            assert len(set(texts[1:])) == len(texts) - 1
            assert set(texts[1:]) <= set(example.negatives)
            assert example.scores is not None
            known = dict(zip((example.positive, *example.negatives), example.scores, strict=True))
            assert facts.scores[mine].tolist() == [known[text] for text in texts]

    def test_texts_and_queries_are_equal_when_their_numbers_are(self) -> None:
        batch = self.make()(0, [Example("a", "x", ("y",)), Example("b", "y", ("x", "z")), Example("a", "z")])
        numbers = dict(zip(batch.document_texts, batch.facts.texts.tolist(), strict=True))
        assert [numbers[text] for text in batch.document_texts] == batch.facts.texts.tolist()
        assert len(set(numbers.values())) == 3
        one, two, three = batch.facts.asked.tolist()
        assert one == three != two
        assert batch.facts.scores.isnan().all()

    def test_draws_are_of_the_seed_and_the_batchs_number(self) -> None:
        many = examples(20, negatives=3)
        drawn = [self.make(1, seed)(number, many).document_texts for seed, number in [(3, 0), (3, 0), (3, 1), (4, 0)]]
        assert drawn[0] == drawn[1]
        assert len(set(drawn)) == 3

    def test_every_negative_is_drawn_in_time(self) -> None:
        (example,) = examples(1, start=3, negatives=3)
        drawn = {self.make(1)(number, [example]).document_texts[1] for number in range(40)}
        assert drawn == set(example.negatives)

    def test_groups_hold_the_texts_in_their_positions(self) -> None:
        batch = collator(recipe(), budget=30)(0, self.some)
        assert len(batch.documents) > 1
        expected = tiny_tokenizer()(list(batch.document_texts), truncation=True, max_length=12)["input_ids"]
        for group in batch.documents:
            for position, ids, mask in zip(group.positions.tolist(), group.ids, group.mask, strict=True):
                assert ids[mask > 0].tolist() == expected[position]

    def test_it_moves_whole(self) -> None:
        batch = self.make()(0, self.some)
        moved = batch.to(torch.device("meta"))
        assert {getattr(moved.facts, name).device.type for name in type(moved.facts).__slots__} == {"meta"}
        assert {tensor.device.type for group in (*moved.queries, *moved.documents) for tensor in group} == {"meta"}
        assert moved.document_texts == batch.document_texts


def supplied(source: Listed, share: Share, *, batches: int = 6, size: int = 5, **more: Any) -> list[Batch]:
    some = Supply([source], plan([len(source)], size, batches), collator(recipe()), share)
    return list(some.batches(more.pop("first", 0), **more))


class TestSupply:
    def test_the_devices_parts_are_the_batch(self) -> None:
        source = examples(23)
        whole = supplied(source, Share(0, 1))
        parts = [supplied(source, Share(rank, 3)) for rank in range(3)]
        assert len(whole) == 6
        for number, batch in enumerate(whole):
            texts = [text for part in parts for text in part[number].query_texts]
            assert Counter(texts) == Counter(batch.query_texts)
            assert {len(part[number].query_texts) for part in parts} == {1, 2}

    def test_it_goes_on_anywhere(self) -> None:
        source = examples(23)
        whole, rest = supplied(source, Share(0, 1)), supplied(source, Share(0, 1), first=4)
        assert [batch.document_texts for batch in rest] == [batch.document_texts for batch in whole[4:]]

    def test_every_device_needs_an_example(self) -> None:
        with pytest.raises(InputError, match="listed has fewer examples than there are devices: 2"):
            supplied(examples(2), Share(0, 3))

    def test_examples_without_scores_are_refused_where_a_loss_needs_them(self) -> None:
        source = examples(12, scores=True)
        assert not torch.cat([batch.facts.scores for batch in supplied(source, Share(0, 1), scored=True)]).isnan().any()
        source[7] = examples(1)[0]
        assert len(supplied(source, Share(0, 1))) == 6
        with pytest.raises(InputError, match=r"listed, example 8: it has no teacher's scores") as caught:
            supplied(source, Share(0, 1), scored=True)
        assert "Expected scores" in str(caught.value)
        assert "splade-anserini score" in str(caught.value)

    def test_a_source_whose_first_example_has_none_is_refused_before_any_batch(self) -> None:
        sources = [examples(1000, scores=True), examples(3)]
        some = Supply(sources, plan([1000, 3], 5, 6), collator(recipe()))
        with pytest.raises(InputError, match="listed, example 1"):
            next(some.batches(0, scored=True))


class TestTopics:
    def test_k_means_finds_clusters_that_lie_apart(self) -> None:
        generator = torch.Generator().manual_seed(1)
        centers = torch.nn.functional.normalize(torch.randn(5, 8, generator=generator), dim=1)
        truth = torch.arange(100) % 5
        noise = 0.02 * torch.randn(100, 8, generator=generator)
        vectors = torch.nn.functional.normalize(centers[truth] + noise, dim=1)
        # From some beginnings: two of the first centers may lie in one cluster.
        found = [k_means(vectors, 5, seed=seed) for seed in range(40)]
        pairs = [{(int(one), int(other)) for one, other in zip(each, truth, strict=True)} for each in found]
        assert any(len(each) == 5 == len({one for one, _ in each}) for each in pairs)

    def test_at_the_end_each_vector_is_nearest_to_its_clusters_mean(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(topics_module, "ROUNDS", 60)
        monkeypatch.setattr(topics_module, "_WINDOW", 7)
        vectors = torch.nn.functional.normalize(torch.randn(60, 4, generator=torch.Generator().manual_seed(2)), dim=1)
        found = k_means(vectors, 6, seed=1)
        means = [torch.nn.functional.normalize(vectors[found == c].sum(dim=0), dim=0) for c in range(6)]
        slow = [max(range(6), key=lambda c: float(vector @ means[c])) for vector in vectors]
        assert found.tolist() == slow

    def test_it_is_decided_by_the_seed_and_knows_vectors_that_are_the_same(self) -> None:
        vectors = torch.eye(4).repeat(3, 1)
        found = k_means(vectors, 8, seed=1)
        assert torch.equal(found, k_means(vectors, 8, seed=1))
        assert torch.equal(found[:4], found[4:8])
        assert len(found.unique()) <= 4

    def test_examples_are_clustered_by_their_queries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(topics_module, "_WINDOW", 3)
        source = Listed(Example(f"{'abcd'[place % 4]}", "p") for place in range(16))
        counted: list[int] = []

        def embed(texts: Sequence[str]) -> torch.Tensor:
            return torch.eye(4)[["abcd".index(text) for text in texts]]

        found = topics(source, embed, 4, seed=5, progress=counted.append)
        assert found.shape == (16,)
        for place in range(16):
            assert found[place] == found[place % 4]
        assert sum(counted) == 16
        assert topics(source, embed, 99, seed=5).tolist() == [0] * 16


def slow_bm25(query: list[int], document: list[int], documents: list[list[int]]) -> float:
    """Robertson's, as Lucene has it, over token ids."""
    average = sum(map(len, documents)) / len(documents)
    total = 0.0
    for token in query:
        holding = sum(token in each for each in documents)
        idf = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
        frequency = document.count(token)
        total += idf * frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * len(document) / average))
    return total


class TestLexicon:
    def test_it_is_bm25_over_the_students_tokens(self) -> None:
        tokens = Tokens(tiny_tokenizer(), 40, 60)
        known = Lexicon(len(tiny_vocabulary()))
        known.add(tokens(SENTENCES[:5]))
        known.add(tokens(SENTENCES[5:]))
        ids: list[list[int]] = tiny_tokenizer()(list(SENTENCES), truncation=True, max_length=40)["input_ids"]
        found = known.queries(tokens(SENTENCES[:3])) @ known.documents(tokens(SENTENCES)).T
        slow = [[slow_bm25(query, document, ids) for document in ids] for query in ids[:3]]
        torch.testing.assert_close(found, torch.tensor(slow), rtol=1e-4, atol=1e-4)
        assert slow[1][1] == max(slow[1])

    def test_the_sample_is_of_all_sources_in_proportion(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("splade_anserini.training.lexical.SAMPLE", 20)
        sources = [Listed([Example("q", "cat")] * 300), Listed([Example("q", "dog")] * 100)]
        known = lexicon(sources, Tokens(tiny_tokenizer(), 12, 4096), len(tiny_vocabulary()), 1)
        words = tiny_vocabulary()
        assert known._counts[words.index("cat")] == 15
        assert known._counts[words.index("dog")] == 5
        assert known._documents == 20

    def test_of_few_examples_all_are_counted(self) -> None:
        source = examples(30)
        known = lexicon([source], Tokens(tiny_tokenizer(), 12, 4096), len(tiny_vocabulary()), 1)
        slow = Lexicon(len(tiny_vocabulary()))
        slow.add(Tokens(tiny_tokenizer(), 12, 4096)([example.positive for example in source]))
        assert torch.equal(known.idf, slow.idf)


class Counted(DenseTeacher):
    """A sentence encoder that remembers what it was asked."""

    def __init__(self, pooling: SentencePooling | None = None) -> None:
        model = Checkpoint(tiny_bert(seed=2).bert, tiny_tokenizer(), "tiny")
        super().__init__(model, pooling or SentencePooling(), TeacherOptions(device="cpu"))
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str], max_length: int, *, bf16: bool = False) -> torch.Tensor:
        self.asked += texts
        return super().embed(texts, max_length, bf16=bf16)


class TestInstruction:
    def test_each_text_is_embedded_once_as_long_as_it_is_kept(self) -> None:
        teacher = Counted()
        embeddings = Embeddings(teacher, 20, kept=3)
        texts = list(SENTENCES)
        expected = torch.nn.functional.normalize(teacher.embed(texts, 20), dim=1)
        teacher.asked.clear()
        for asked, new in [
            ([0, 1, 0], [0, 1]),
            ([1, 2], [2]),
            ([0], []),
            ([3, 3], [3]),  # 1 goes: it was used longest ago
            ([0, 2, 3], []),
            ([1, 0], [1]),  # 2 goes
            ([4, 5, 6, 7, 4], [4, 5, 6, 7]),  # more than are kept
            ([7, 4], []),
            ([0], [0]),
        ]:
            found = embeddings([texts[place] for place in asked])
            torch.testing.assert_close(found, expected[asked], rtol=2e-3, atol=2e-3)
            assert teacher.asked == [texts[place] for place in new]
            teacher.asked.clear()

    def test_a_text_has_the_same_embedding_whether_it_was_kept_or_not(self) -> None:
        embeddings = Embeddings(Counted(), 20)
        first = embeddings(SENTENCES)
        assert torch.equal(embeddings(SENTENCES), first)
        assert first.dtype == torch.float32

    @pytest.mark.parametrize("normalize", [True, False])
    def test_scores_are_cosines_and_word_overlap(self, normalize: bool) -> None:
        teacher = Counted(SentencePooling(normalize=normalize, query_prompt="what is ", document_prompt="the "))
        batch = collator(recipe(negatives=3))(0, examples(4, negatives=None))
        tokens = Tokens(tiny_tokenizer(), 12, 4096)
        known = lexicon([examples(30)], tokens, len(tiny_vocabulary()), 1)
        queries = teacher.embed([f"what is {text}" for text in batch.query_texts], 20)
        documents = teacher.embed([f"the {text}" for text in batch.document_texts], 20)
        cosines = torch.nn.functional.cosine_similarity(queries.unsqueeze(1), documents.unsqueeze(0), dim=2)
        overlap = known.queries(batch.queries) @ known.documents(batch.documents).T
        for bm25, lexical in [(0.0, known), (0.5, known), (0.0, None)]:
            chosen = Teacher(model="tiny", cosine=7.0, bm25=bm25)
            found = Instruction(chosen, Embeddings(teacher, 20), lexical)(batch)
            torch.testing.assert_close(found, 7.0 * cosines + bm25 * overlap, rtol=5e-3, atol=2e-2)
