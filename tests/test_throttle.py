"""Invalid tokens are counted for each network of clients."""

import pytest
from flask import Flask
from werkzeug.exceptions import TooManyRequests

from leads_service.api.throttle import Throttle, network_of


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:443", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:443", "192.0.2.1"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:3:4:5:6]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix:", ""),
        ("", ""),
    ],
)
def test_what_counts_as_one_client(address: str, expected: str) -> None:
    assert network_of(address) == expected


def look_up(throttle: Throttle, found: bool | None) -> bool | None:
    with Flask("host").test_request_context():
        return throttle.look_up("token", lambda: found)


def test_guesses_are_counted_anew_after_a_minute() -> None:
    now = [1000.0]
    throttle = Throttle(1, clock=lambda: now[0])
    assert look_up(throttle, None) is None
    for passed, seconds in ((0, "60"), (59.5, "1")):
        now[0] = 1000 + passed
        with pytest.raises(TooManyRequests) as error:
            look_up(throttle, True)
        assert vars(error.value)["data"]["headers"] == {"Retry-After": seconds}
    now[0] = 1060
    assert look_up(throttle, None) is None


def test_tokens_that_come_at_once_are_counted_before_they_are_looked_up() -> None:
    throttle = Throttle(1)
    with Flask("host").test_request_context(), pytest.raises(TooManyRequests):
        throttle.look_up("one", lambda: throttle.look_up("two", lambda: True))


def test_a_store_that_fails_makes_no_token_invalid() -> None:
    throttle = Throttle(1)
    for _ in range(2):
        with Flask("host").test_request_context(), pytest.raises(ZeroDivisionError):
            throttle.look_up("token", lambda: 1 // 0)
    assert look_up(throttle, True)
