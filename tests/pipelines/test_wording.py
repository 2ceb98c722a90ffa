"""What a text must be: one rule for texts of classes and captions of videos."""

import pytest

from pipelines.wording import unfit


@pytest.mark.parametrize("text", ["a", "7", "café", "\u5f13", "a & b", "<3 of it", "no", "\u200btext"])
def test_what_has_a_word_is_a_text(text):
    assert unfit(text) == ""


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "only white space"),
        ("-", 'holds "-"'),
        ("NaN", 'holds "NaN"'),
        ("<p>&nbsp;</p>", "where its text should be"),
        ("\u200b", "where its text should be"),
        ("a\x07b", "U+0007"),
        ("a\ud800", "U+D800"),
        ("a" * 65_537, "65,537 characters; at most 65,536"),
    ],
)
def test_what_is_no_text_is_told_in_words(text, wrong):
    assert wrong in unfit(text)
