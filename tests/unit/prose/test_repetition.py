from tuneloop.prose.repetition import distinct_n, has_looped, loop_in


def test_a_sentence_said_over_and_over_is_a_loop() -> None:
    loop = loop_in("Please wait. " + "We will call you back tomorrow morning. " * 5)
    assert loop is not None
    assert loop.times == 5
    assert loop.words == ("we", "will", "call", "you", "back", "tomorrow", "morning")


def test_one_word_without_end_is_a_loop() -> None:
    loop = loop_in("the patient is " + "very " * 40 + "ill")
    assert loop is not None
    assert (loop.words, loop.times) == (("very",), 40)


def test_a_numbered_list_of_one_item_is_a_loop() -> None:
    assert loop_in("".join(f"{i}. Restart the router and wait.\n" for i in range(1, 9)))


def test_a_loop_in_a_script_without_spaces_is_seen() -> None:
    assert loop_in("少々お待ちください。" * 6)


def test_emphasis_a_refrain_and_a_list_are_no_loops() -> None:
    for text in (
        "It is very, very, very, very good.",
        "Row, row, row your boat, gently down the stream.",
        "1. Open the lid.\n2. Open the valve.\n3. Open the door.\n4. Close all of them.\n",
        "We are sorry. The parcel is late. We are sorry. It comes on Monday.",
        "",
    ):
        assert loop_in(text) is None, text


def test_a_text_that_is_still_being_written_loops_only_if_it_does_whatever_follows() -> None:
    """Its last word may be the beginning of another one: "ver" of "verdict"."""
    said = "the patient is " + "very " * 15 + "very"
    assert loop_in(said) and not has_looped(said)
    assert has_looped(said + " v") and loop_in(said + " verdict")
    chinese = "少々お待ちください。" * 6
    assert has_looped(chinese + "少")
    assert not has_looped("")


def test_distinct_pairs_of_words() -> None:
    assert distinct_n("a b a b") == 2 / 3
    assert distinct_n("one two three") == 1
    assert distinct_n("one two three four", n=3) == 1
    assert distinct_n("word") is None
