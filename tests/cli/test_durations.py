"""Time spans as ``--expires`` takes them."""

from datetime import timedelta

import click
import pytest

from leads_service.cli.users import Duration


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("1m", timedelta(minutes=1)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("90d", timedelta(days=90)),
        ("090d", timedelta(days=90)),
        ("8w", timedelta(weeks=8)),
        ("36500d", timedelta(days=36500)),
    ],
)
def test_durations(text: str, span: timedelta) -> None:
    assert Duration().convert(text, None, None) == span


def test_a_span_is_one_already() -> None:
    assert Duration().convert(timedelta(days=1), None, None) == timedelta(days=1)


@pytest.mark.parametrize(
    "text",
    [
        *("0d", "0m", "-1d", "36501d", "5215w", "999999999d", "999999999w", "9" * 5000 + "m"),
        *("", "d", "90", "9q", "90D", "1.5h", "1d12h", "90 d", " 90d", "90d\n", "9e1d", "٩d", "x"),
    ],
)
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        Duration().convert(text, None, None)
    message = f"{text!r} is no duration: use 30m, 12h, 90d or 8w, up to 36500d"
    assert error.value.message == message
