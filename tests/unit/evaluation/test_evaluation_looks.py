"""A look is one subject on one set of cases."""

from datetime import UTC, datetime, timedelta

from tuneloop.evaluation.looks import Look, before

START = datetime(2026, 3, 2, tzinfo=UTC)


def look(at: int, subject: str, cases: range) -> Look:
    return Look(
        evaluation=f"e{at}",
        model="desk",
        suite="held-out",
        subject=subject,
        cases=tuple(str(i) for i in cases),
        at=START + timedelta(hours=at),
    )


def test_every_other_subject_before_counts_once() -> None:
    looks = [look(i, name, range(100)) for i, name in enumerate(["one", "two", "one", "three"])]
    assert [one.evaluation for one in before(looks, look(9, "new", range(100)))] == [
        "e0",
        "e1",
        "e3",
    ]


def test_to_ask_the_same_again_is_no_new_look() -> None:
    looks = [look(i, name, range(100)) for i, name in enumerate(["one", "two", "three"])]
    assert [one.subject for one in before(looks, look(9, "two", range(100)))] == ["one"]


def test_cases_that_were_renewed_by_half_begin_anew() -> None:
    looks = [look(0, "one", range(100)), look(1, "two", range(40, 100))]
    assert not before(looks, look(9, "new", range(50, 200)))
    assert len(before(looks, look(9, "new", range(100)))) == 2
    assert len(before(looks, look(9, "new", range(80, 120)))) == 0
