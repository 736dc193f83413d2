"""Snippets: the passage of a text that shows why it was found, with the matching words marked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_anserini.encoding import open_query_encoder
from splade_anserini.encoding.origins import SpanningEncoder, TokenSpan
from splade_anserini.explaining.snippets import snippet, title_and_text

LONG = "Nothing to see here. " * 30 + "The pain was in the head, said the doctor. " + "And so on and on. " * 30


def spans_of_mini(text: str) -> list[TokenSpan]:
    encoder = open_query_encoder("splade-mini")
    assert isinstance(encoder, SpanningEncoder)
    return encoder.spans(text)


def test_words_that_bring_the_score_are_marked() -> None:
    found = snippet("The pain is in my head.", {"pain": 30, "head": 20, "agony": 5})
    assert str(found) == "The *pain* is in my *head*."
    assert [(found.text[mark.start : mark.stop], mark.tokens, mark.product) for mark in found.marks] == [
        ("pain", ("pain",), 30),
        ("head", ("head",), 20),
    ]
    assert "".join(part for part, _ in found.parts()) == found.text


def test_the_passage_with_the_most_of_the_score_is_shown_from_the_start_of_its_sentence() -> None:
    found = snippet(f"Pain? {LONG}", {"pain": 30, "head": 20}, width=58)
    assert str(found) == "… The *pain* was in the *head*, said the doctor. And so on and …"
    assert f"Pain? {LONG}"[found.start :].startswith("The pain was")


def test_a_token_that_occurs_again_is_worth_less_than_another_one() -> None:
    text = "pain pain pain pain." + " filler" * 40 + " head with pain."
    assert str(snippet(text, {"pain": 30, "head": 20}, width=40)).endswith("*head* with *pain*.")


def test_word_pieces_mark_the_whole_word_once() -> None:
    products = {"ib": 5.0, "##up": 4.0, "##fen": 3.0, "head": 2.0}
    found = snippet("Ibuprofén relieves headaches", products, spans_of_mini)
    assert found.marked("<", ">") == "<Ibuprofén> relieves headaches"
    assert found.marks[0].tokens == ("ib", "##up", "##fen")
    assert found.marks[0].product == 12


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("HEADACHE, a Headache", ["headache"], "*HEADACHE*, a *Headache*"),
        ("headaches", ["headache"], "headaches"),
        ("headaches", ["headache", "##s"], "*headaches*"),
        ("naïve café", ["naive", "Ġcafé"], "*naïve* *café*"),
        ("a ▁ b", ["▁b"], "a ▁ *b*"),
    ],
)
def test_without_a_tokenizer_words_are_compared_with_tokens(text: str, tokens: list[str], expected: str) -> None:
    assert str(snippet(text, dict.fromkeys(tokens, 1.0))) == expected


def test_scripts_without_spaces_are_marked_token_by_token() -> None:
    spans = [TokenSpan(char, position, position + 1) for position, char in enumerate("頭が痛い")]
    assert str(snippet("頭が痛い", {"頭": 2.0, "痛": 1.0}, lambda _: spans)) == "*頭*が*痛*い"


def test_a_text_without_the_tokens_begins_at_its_beginning() -> None:
    found = snippet(LONG, {"cricket": 1.0}, width=30)
    assert (str(found), found.marks) == ("Nothing to see here. Nothing …", ())
    assert (snippet("", {"a": 1.0}).text, str(snippet("", {}))) == ("", "")


def test_control_characters_do_not_reach_a_terminal() -> None:
    found = snippet("a \x1b[31mpain\x07\nhead", {"pain": 1.0})
    assert found.text == "a  [31mpain  head"
    assert str(found) == "a [31mpain head"


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        ("A title And a text.", "And a text."),
        ("A title A title\nAnd a text.", "And a text."),
        ("A titled text.", "A titled text."),
        ("A title A title is at the top.", "A title is at the top."),
        ("A title", ""),
    ],
)
def test_the_title_is_not_repeated_in_the_text(contents: str, text: str) -> None:
    assert title_and_text({"id": "1", "title": "A title", "contents": contents}) == ("A title", text)


def test_a_sentence_that_begins_with_the_title_is_whole() -> None:
    text = "Retinoblastoma occurs in heritable and nonheritable forms."
    for record in ({"contents": f"Retinoblastoma {text}"}, {"text": text}):
        assert title_and_text({"id": "1", "title": "Retinoblastoma", **record}) == ("Retinoblastoma", text)
    for title, text in (("Apple Inc.", "Apple Inc. was founded in 1976."), ("What is Ebola?", "Ebola is a virus.")):
        assert title_and_text({"title": title, "text": text}) == (title, text)
        assert title_and_text({"title": title, "contents": f"{title} {text}"}) == (title, text)
    assert title_and_text({"title": "What is Ebola?", "text": "What is Ebola? A virus."}) == (
        "What is Ebola?",
        "A virus.",
    )
    title = "wings in a slipstream ."
    assert title_and_text({"id": "1", "title": title, "contents": f"{title} {title} a study"}) == (title, "a study")


def test_the_text_of_a_document_is_found() -> None:
    assert title_and_text({"id": "1", "contents": "Text."}) == ("", "Text.")
    assert title_and_text({"id": "1", "title": 3, "text": "Text."}) == ("", "Text.")


@given(st.text(alphabet="ab \n.頭#é\x00", max_size=80), st.integers(1, 40))
def test_offsets_are_right_for_any_text(text: str, width: int) -> None:
    products = {"a": 3.0, "b": 2.0, "##b": 1.0, "頭": 1.0}
    found = snippet(text, products, width=width)
    assert len(found.text) <= max(width, len(text))
    stops = [0]
    for mark in found.marks:
        assert stops[-1] <= mark.start < mark.stop <= len(found.text)
        assert found.text[mark.start : mark.stop] == text[found.start + mark.start : found.start + mark.stop]
        assert mark.product == sum(products[token] for token in mark.tokens)
        stops.append(mark.stop)
    assert "".join(part for part, _ in found.parts()) == found.text
