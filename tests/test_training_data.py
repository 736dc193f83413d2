"""The data of training: batch plans, tokenized groups, batches, clusters of queries, BM25, and teachers of a batch."""

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

from splade_anserini.cards.training_recipe import TeacherSettings
from splade_anserini.errors import InputError
from splade_anserini.records import Example
from splade_anserini.training.batch import Batch, Collator, GroupTokenizer
from splade_anserini.training.batch_loader import SINGLE_DEVICE, BatchLoader, DevicePart
from splade_anserini.training.batch_plan import BatchPlan
from splade_anserini.training.bm25 import K1, B, BM25Vectorizer, fit_bm25
from splade_anserini.training.query_clusters import cluster_queries, k_means
from splade_anserini.training.teachers.in_batch import EmbeddingCache, InBatchTeacher
from splade_anserini.training.teachers.sentence_pooling import SentencePooling
from tests.tiny import SENTENCES, tiny_tokenizer, tiny_vocabulary
from tests.training_fixtures import ExampleList, RecordingTeacher, collator, examples, recipe

VOCABULARY = tiny_vocabulary()


def batch_plan(sizes: Sequence[int], batch_size: int, batches: int, *, seed: int = 1, **more: Any) -> BatchPlan:
    return BatchPlan(sizes, batch_size, batches=batches, seed=seed, **more)


def batches_of(plan: BatchPlan) -> list[tuple[int, list[int]]]:
    """Return the source and the examples of each batch."""
    return [(plan[index].source, plan[index].examples.tolist()) for index in range(len(plan))]


class TestBatchPlan:
    @given(size=st.integers(1, 40), batch_size=st.integers(1, 12), seed=st.integers(0, 2**31))
    @settings(max_examples=50, deadline=None)
    def test_an_example_is_used_once_in_an_epoch_except_for_a_remainder(
        self, size: int, batch_size: int, seed: int
    ) -> None:
        batches = max(1, size // batch_size)
        planned = batches_of(batch_plan([size], batch_size, 3 * batches, seed=seed))
        for epoch in range(3):
            uses = Counter(index for _, batch in planned[epoch * batches : (epoch + 1) * batches] for index in batch)
            assert set(uses.values()) == {1}
            assert len(uses) == batches * min(batch_size, size)
            assert set(uses) <= set(range(size))

    def test_the_remainder_changes_from_epoch_to_epoch(self) -> None:
        planned = batches_of(batch_plan([10], 4, 2 * 30))
        remainders = [set(range(10)) - {*planned[2 * epoch][1], *planned[2 * epoch + 1][1]} for epoch in range(30)]
        assert set().union(*remainders) == set(range(10))

    def test_epochs_differ(self) -> None:
        planned = batches_of(batch_plan([12], 4, 6))
        assert planned[:3] != planned[3:]

    def test_the_seed_determines_the_plan(self) -> None:
        first, same, other = (batches_of(batch_plan([30, 20], 4, 40, seed=seed)) for seed in (1, 1, 2))
        assert first == same
        assert first != other

    def test_batches_can_be_read_in_any_order(self) -> None:
        in_order = batches_of(batch_plan([30, 20, 3], 4, 60))
        plan = batch_plan([30, 20, 3], 4, 60)
        order = [59, 0, 33, 7, 58, 12]
        assert [(plan[index].source, plan[index].examples.tolist()) for index in order] == [
            in_order[index] for index in order
        ]

    def test_a_longer_plan_starts_with_the_batches_of_a_shorter_one(self) -> None:
        assert batches_of(batch_plan([30, 20], 4, 200))[:50] == batches_of(batch_plan([30, 20], 4, 50))

    @pytest.mark.parametrize(("mixing", "share"), [(1.0, 0.9), (0.5, 0.75), (0.0, 0.5)])
    def test_sources_are_drawn_in_proportion_to_a_power_of_their_sizes(self, mixing: float, share: float) -> None:
        planned = batches_of(batch_plan([9000, 1000], 2, 4000, mixing=mixing))
        drawn = sum(source == 0 for source, _ in planned) / 4000
        assert drawn == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 4000))

    def test_a_batch_is_from_one_source_and_at_most_as_large(self) -> None:
        planned = batches_of(batch_plan([3, 50], 8, 40, mixing=0.0))
        small = [sorted(batch) for source, batch in planned if source == 0]
        assert len(small) > 5
        assert small == [[0, 1, 2]] * len(small)
        assert {len(batch) for source, batch in planned if source == 1} == {8}

    def test_a_batch_holds_one_cluster_if_the_sizes_allow(self) -> None:
        clusters = np.arange(80) % 10
        plan = batch_plan([80], 4, 20, clusters=[clusters])
        assert all(len(set(clusters[plan[index].examples])) == 1 for index in range(20))

    def test_a_batch_across_a_border_holds_two_clusters(self) -> None:
        clusters = np.repeat(np.arange(8), 9)
        plan = batch_plan([72], 4, 18, clusters=[clusters])
        held = [len(set(clusters[plan[index].examples])) for index in range(18)]
        assert max(held) == 2
        assert held.count(1) >= 9

    def test_borders_between_clusters_change_from_epoch_to_epoch(self) -> None:
        """Of two clusters of 11 and batches of 4, the batch across the border has one to three of the second."""
        clusters = np.repeat(np.arange(2), 11)
        plan = batch_plan([22], 4, 5 * 20, clusters=[clusters])
        shares = Counter(int(clusters[plan[index].examples].sum()) for index in range(100))
        assert min(shares[1], shares[2], shares[3]) > 0

    def test_without_clusters_examples_are_shuffled(self) -> None:
        planned = batches_of(batch_plan([400], 4, 100))
        assert np.mean([np.ptp(batch) for _, batch in planned]) > 100

    def test_the_batches_of_a_cluster_are_shuffled_among_the_others(self) -> None:
        clusters = np.repeat(np.arange(2), 200)
        plan = batch_plan([400], 4, 100, clusters=[clusters])
        order = [int(clusters[plan[index].examples[0]]) for index in range(100)]
        assert sum(cluster != following for cluster, following in pairwise(order)) > 25


class TestGroupTokenizer:
    def test_each_text_is_in_one_group_and_no_group_exceeds_the_budget(self) -> None:
        groups = GroupTokenizer(tiny_tokenizer(), 30, 60)(SENTENCES)
        positions = torch.cat([group.positions for group in groups])
        assert sorted(positions.tolist()) == list(range(len(SENTENCES)))
        assert len(groups) > 1
        for group in groups:
            assert group.ids.shape == group.mask.shape
            assert group.ids.numel() <= 60
            assert bool((group.mask.sum(dim=1) > 0).all())
            assert int(group.mask.sum(dim=1).max()) == group.ids.shape[1]

    def test_token_ids_are_truncated_and_padded(self) -> None:
        expected = tiny_tokenizer()(list(SENTENCES), truncation=True, max_length=9)["input_ids"]
        for group in GroupTokenizer(tiny_tokenizer(), 9, 4096)(SENTENCES):
            for position, ids, mask in zip(group.positions.tolist(), group.ids, group.mask, strict=True):
                assert ids[mask > 0].tolist() == expected[position]
                assert not ids[mask == 0].any()

    def test_the_prompt_is_put_before_every_text(self) -> None:
        texts = [f"a paper: {text}" for text in SENTENCES]
        prompted = GroupTokenizer(tiny_tokenizer(), 12, 4096, "a paper: ")(SENTENCES)
        for group, expected in zip(prompted, GroupTokenizer(tiny_tokenizer(), 12, 4096)(texts), strict=True):
            assert group.ids.equal(expected.ids)

    def test_a_text_longer_than_the_budget_is_a_group_by_itself(self) -> None:
        groups = GroupTokenizer(tiny_tokenizer(), 40, 5)(SENTENCES)
        long = [group for group in groups if group.ids.shape[1] > 5]
        assert long
        assert {len(group.ids) for group in long} == {1}

    def test_the_original_tokenizer_still_does_not_truncate(self) -> None:
        tokenizer = tiny_tokenizer()
        GroupTokenizer(tokenizer, 5, 4096)(SENTENCES)
        assert len(tokenizer(SENTENCES[-1])["input_ids"]) > 5


class TestCollator:
    some_examples = examples(5, negatives=None, scores=True)

    def collator(self, negatives: int = 2, seed: int = 3) -> Collator:
        return collator(recipe(negatives=negatives, seed=seed))

    @pytest.mark.parametrize("negatives", [0, 1, 2, 9])
    def test_a_batch_holds_each_positive_and_at_most_that_many_of_its_negatives(self, negatives: int) -> None:
        batch = self.collator(negatives)(0, self.some_examples)
        labels = batch.labels
        assert batch.query_texts == tuple(example.query for example in self.some_examples)
        for row, example in enumerate(self.some_examples):
            columns = [column for column in range(len(batch.document_texts)) if labels.query_index[column] == row]
            texts = [batch.document_texts[column] for column in columns]
            assert labels.positives[columns].tolist() == [True] + [False] * (len(columns) - 1)
            assert texts[0] == example.positive
            assert len(texts) == 1 + min(negatives, len(example.negatives))
            assert len(set(texts[1:])) == len(texts) - 1
            assert set(texts[1:]) <= set(example.negatives)
            assert example.scores is not None
            scores = dict(zip((example.positive, *example.negatives), example.scores, strict=True))
            assert labels.teacher_scores[columns].tolist() == [scores[text] for text in texts]

    def test_equal_texts_have_equal_hashes(self) -> None:
        batch = self.collator()(0, [Example("a", "x", ("y",)), Example("b", "y", ("x", "z")), Example("a", "z")])
        hashes = dict(zip(batch.document_texts, batch.labels.document_hashes.tolist(), strict=True))
        assert [hashes[text] for text in batch.document_texts] == batch.labels.document_hashes.tolist()
        assert len(set(hashes.values())) == 3
        first, second, third = batch.labels.query_hashes.tolist()
        assert first == third != second

    def test_scores_that_the_data_lack_are_nan(self) -> None:
        assert self.collator()(0, examples(3)).labels.teacher_scores.isnan().all()

    def test_the_seed_and_the_index_of_the_batch_determine_the_negatives(self) -> None:
        many = examples(20, negatives=3)
        drawn = [self.collator(1, seed)(index, many).document_texts for seed, index in [(3, 0), (3, 0), (3, 1), (4, 0)]]
        assert drawn[0] == drawn[1]
        assert len(set(drawn)) == 3

    def test_each_negative_is_drawn_sometimes(self) -> None:
        (example,) = examples(1, start=3, negatives=3)
        drawn = {self.collator(1)(index, [example]).document_texts[1] for index in range(40)}
        assert drawn == set(example.negatives)

    @pytest.mark.parametrize("each_text_once", [False, True])
    def test_groups_hold_the_texts_at_their_positions(self, each_text_once: bool) -> None:
        batch = collator(recipe(), budget=30, each_text_once=each_text_once)(0, self.some_examples)
        assert len(batch.documents) > 1
        different = list(dict.fromkeys(batch.document_texts)) if each_text_once else list(batch.document_texts)
        assert [different[row] for row in batch.document_rows] == list(batch.document_texts)
        expected = tiny_tokenizer()(different, truncation=True, max_length=12)["input_ids"]
        for group in batch.documents:
            for position, ids, mask in zip(group.positions.tolist(), group.ids, group.mask, strict=True):
                assert ids[mask > 0].tolist() == expected[position]

    def test_all_tensors_of_a_batch_move_to_a_device(self) -> None:
        batch = self.collator()(0, self.some_examples)
        moved = batch.to(torch.device("meta"))
        assert {getattr(moved.labels, name).device.type for name in type(moved.labels).__slots__} == {"meta"}
        assert {tensor.device.type for group in (*moved.queries, *moved.documents) for tensor in group} == {"meta"}
        assert moved.document_rows.device.type == "meta"
        assert moved.document_texts == batch.document_texts


def load_batches(
    source: ExampleList, part: DevicePart = SINGLE_DEVICE, *, first: int = 0, scored: bool = False
) -> list[Batch]:
    """Return this device's part of six batches of five examples."""
    loader = BatchLoader([source], batch_plan([len(source)], 5, 6), collator(recipe()), part)
    return list(loader.batches(first, scored=scored))


class TestBatchLoader:
    def test_the_parts_of_all_devices_are_the_batch(self) -> None:
        source = examples(23)
        batches = load_batches(source)
        parts = [load_batches(source, DevicePart(rank, 3)) for rank in range(3)]
        assert len(batches) == 6
        for index, batch in enumerate(batches):
            texts = [text for part in parts for text in part[index].query_texts]
            assert Counter(texts) == Counter(batch.query_texts)
            assert {len(part[index].query_texts) for part in parts} == {1, 2}

    def test_it_starts_at_any_batch(self) -> None:
        source = examples(23)
        expected = [batch.document_texts for batch in load_batches(source)[4:]]
        assert [batch.document_texts for batch in load_batches(source, first=4)] == expected

    def test_each_device_needs_an_example(self) -> None:
        with pytest.raises(InputError, match=r"^examples in memory has 2 examples for 3 devices\."):
            load_batches(examples(2), DevicePart(0, 3))

    def test_scored_examples_give_scored_batches(self) -> None:
        batches = load_batches(examples(12, scores=True), scored=True)
        assert not torch.cat([batch.labels.teacher_scores for batch in batches]).isnan().any()

    def test_an_example_without_scores_is_refused_if_a_loss_needs_them(self) -> None:
        source = examples(12, scores=True)
        source[7] = examples(1)[0]
        assert len(load_batches(source)) == 6
        with pytest.raises(InputError, match="examples in memory, example 8: it has no teacher scores") as caught:
            load_batches(source, scored=True)
        assert "Expected a score" in str(caught.value)
        assert "splade-anserini score" in str(caught.value)

    def test_a_source_without_scores_is_refused_before_the_first_batch(self) -> None:
        sources = [examples(1000, scores=True), examples(3)]
        loader = BatchLoader(sources, batch_plan([1000, 3], 5, 6), collator(recipe()))
        with pytest.raises(InputError, match="examples in memory, example 1"):
            next(loader.batches(0, scored=True))


def normalized_vectors(count: int, width: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, width, generator=generator), dim=1)


class TestQueryClusters:
    def test_k_means_finds_clusters_that_are_far_apart(self) -> None:
        centers = normalized_vectors(5, 8, 1)
        truth = torch.arange(100) % 5
        noise = 0.02 * torch.randn(100, 8, generator=torch.Generator().manual_seed(7))
        vectors = torch.nn.functional.normalize(centers[truth] + noise, dim=1)
        # Not from every seed: two of the first centers may be in one cluster.
        found = False
        for seed in range(40):
            pairs = set(zip(k_means(vectors, 5, seed=seed).tolist(), truth.tolist(), strict=True))
            found = found or len(pairs) == 5 == len({cluster for cluster, _ in pairs})
        assert found

    def test_after_enough_rounds_each_vector_is_nearest_to_the_mean_of_its_cluster(self) -> None:
        vectors = normalized_vectors(60, 4, 2)
        clusters = k_means(vectors, 6, seed=1, rounds=60, window=7)
        means = [torch.nn.functional.normalize(vectors[clusters == c].sum(dim=0), dim=0) for c in range(6)]
        nearest = [max(range(6), key=lambda c: float(vector @ means[c])) for vector in vectors]
        assert clusters.tolist() == nearest

    def test_the_seed_determines_the_clusters_and_equal_vectors_share_one(self) -> None:
        vectors = torch.eye(4).repeat(3, 1)
        clusters = k_means(vectors, 8, seed=1)
        assert torch.equal(clusters, k_means(vectors, 8, seed=1))
        assert torch.equal(clusters[:4], clusters[4:8])
        assert len(clusters.unique()) <= 4

    def test_examples_with_equal_queries_are_in_one_cluster(self) -> None:
        source = ExampleList(Example("abcd"[index % 4], "p") for index in range(16))
        progress: list[int] = []

        def embed(texts: Sequence[str]) -> torch.Tensor:
            return torch.eye(4)[["abcd".index(text) for text in texts]]

        clusters = cluster_queries(source, embed, 4, seed=5, window=3, progress=progress.append)
        assert clusters.shape == (16,)
        assert all(clusters[index] == clusters[index % 4] for index in range(16))
        assert sum(progress) == 16
        assert cluster_queries(source, embed, 99, seed=5).tolist() == [0] * 16


def reference_bm25(query: list[int], document: list[int], documents: list[list[int]]) -> float:
    """BM25 as Lucene computes it, over token ids."""
    average = sum(map(len, documents)) / len(documents)
    total = 0.0
    for token in query:
        containing = sum(token in each for each in documents)
        idf = math.log(1 + (len(documents) - containing + 0.5) / (containing + 0.5))
        frequency = document.count(token)
        total += idf * frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * len(document) / average))
    return total


class TestBM25Vectorizer:
    tokenizer = GroupTokenizer(tiny_tokenizer(), 12, 4096)

    def test_dot_products_are_bm25_over_the_students_tokens(self) -> None:
        tokenizer = GroupTokenizer(tiny_tokenizer(), 40, 60)
        vectorizer = BM25Vectorizer(len(VOCABULARY))
        vectorizer.add(tokenizer(SENTENCES[:5]))
        vectorizer.add(tokenizer(SENTENCES[5:]))
        ids: list[list[int]] = tiny_tokenizer()(list(SENTENCES), truncation=True, max_length=40)["input_ids"]
        queries = vectorizer.query_vectors(tokenizer(SENTENCES[:3]))
        scores = queries @ vectorizer.document_vectors(tokenizer(SENTENCES)).T
        expected = [[reference_bm25(query, document, ids) for document in ids] for query in ids[:3]]
        torch.testing.assert_close(scores, torch.tensor(expected), rtol=1e-4, atol=1e-4)
        assert expected[1][1] == max(expected[1])

    def test_the_sample_is_from_all_sources_in_proportion(self) -> None:
        sources = [ExampleList([Example("q", "cat")] * 300), ExampleList([Example("q", "dog")] * 100)]
        vectorizer = fit_bm25(sources, self.tokenizer, len(VOCABULARY), seed=1, sample_size=20)
        assert vectorizer.document_frequencies[VOCABULARY.index("cat")] == 15
        assert vectorizer.document_frequencies[VOCABULARY.index("dog")] == 5
        assert vectorizer.document_count == 20

    def test_with_few_examples_the_sample_is_all_of_them(self) -> None:
        source = examples(30)
        vectorizer = fit_bm25([source], self.tokenizer, len(VOCABULARY), seed=1)
        expected = BM25Vectorizer(len(VOCABULARY))
        expected.add(self.tokenizer([example.positive for example in source]))
        assert torch.equal(vectorizer.idf, expected.idf)


class TestEmbeddingCache:
    def test_it_keeps_the_most_recently_used_embeddings(self) -> None:
        teacher = RecordingTeacher()
        embeddings = EmbeddingCache(teacher, 20, capacity=3)
        texts = list(SENTENCES)
        expected = torch.nn.functional.normalize(teacher.embed(texts, 20), dim=1)
        teacher.embedded.clear()
        # One sequence of requests: each depends on what the earlier ones left in the cache.
        for requested, missing in [
            ([0, 1, 0], [0, 1]),
            ([1, 2], [2]),
            ([0], []),
            ([3, 3], [3]),  # removes 1, which was used least recently
            ([0, 2, 3], []),
            ([1, 0], [1]),  # removes 2
            ([4, 5, 6, 7, 4], [4, 5, 6, 7]),  # more than the capacity
            ([7, 4], []),
            ([0], [0]),
        ]:
            rows = embeddings([texts[index] for index in requested])
            torch.testing.assert_close(rows, expected[requested], rtol=2e-3, atol=2e-3)
            assert teacher.embedded == [texts[index] for index in missing]
            teacher.embedded.clear()

    def test_a_cached_embedding_is_the_same_as_a_new_one(self) -> None:
        embeddings = EmbeddingCache(RecordingTeacher(), 20)
        first = embeddings(SENTENCES)
        assert torch.equal(embeddings(SENTENCES), first)
        assert first.dtype == torch.float32


@pytest.mark.parametrize("normalize", [True, False], ids=["normalized", "not normalized"])
@pytest.mark.parametrize(("bm25_weight", "has_bm25"), [(0.0, True), (0.5, True), (0.0, False)])
def test_an_in_batch_teacher_adds_cosines_and_bm25(normalize: bool, bm25_weight: float, has_bm25: bool) -> None:
    teacher = RecordingTeacher(SentencePooling(normalize=normalize, query_prompt="what is ", document_prompt="the "))
    batch = collator(recipe(negatives=3))(0, examples(4, negatives=None))
    bm25 = fit_bm25([examples(30)], GroupTokenizer(tiny_tokenizer(), 12, 4096), len(VOCABULARY), seed=1)
    queries = teacher.embed([f"what is {text}" for text in batch.query_texts], 20)
    documents = teacher.embed([f"the {text}" for text in batch.document_texts], 20)
    cosines = torch.nn.functional.cosine_similarity(queries.unsqueeze(1), documents.unsqueeze(0), dim=2)
    bm25_scores = bm25.query_vectors(batch.queries) @ bm25.document_vectors(batch.documents)[batch.document_rows].T
    chosen = TeacherSettings(model="tiny", cosine=7.0, bm25=bm25_weight)
    scores = InBatchTeacher(chosen, EmbeddingCache(teacher, 20), bm25 if has_bm25 else None)(batch)
    torch.testing.assert_close(scores, 7.0 * cosines + bm25_weight * bm25_scores, rtol=5e-3, atol=2e-2)
