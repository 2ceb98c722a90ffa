"""What is wrong with a text as it is written."""

import pytest

from pipelines.texts.faults import of_name, of_text


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("a person &amp; a rope<br/>go <i>down</i>", ["markup"]),
        ("he ran & fell, 5 < 7 > 3, R&D; Q&A", []),
        ("a photo of a {}", ["placeholder"]),
        ("a photo of a {class_name}", ["placeholder"]),
        ("someone %s, 20 % or 100%s", ["placeholder"]),
        ("he is %(verb)s", ["placeholder"]),
        ("a <person> runs", ["placeholder"]),
        ("put [something] down", ["placeholder"]),
        ("it costs $5, 20% off", []),
        ("a caf\u00c3\u00a9", ["damaged"]),
        ("a caf\ufffd", ["damaged"]),
        ("a café \u2013 São Paulo\u2019s", []),
        ("<p>a {} </p>", ["markup", "placeholder"]),
    ],
)
def test_faults_are_found_and_nothing_else(text, rules):
    assert [fault.rule for fault in of_text(text)] == rules
    assert all(fault.mend for fault in of_text(text))


def test_brackets_in_a_class_name_are_no_fault():
    assert of_name("Putting [something] on") == []
    assert [fault.rule for fault in of_name("Putting {} on")] == ["placeholder"]


def test_a_text_of_markup_alone_is_said_to_be_that():
    assert of_text("<p>&nbsp;</p>")[0].what.endswith(", and nothing else")
