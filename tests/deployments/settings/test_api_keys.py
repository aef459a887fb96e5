"""Keys are read strictly, and what is wrong with one is told without showing any of it."""

import pickle

import pytest

from deployments.settings.api_keys import digest_of, parse_api_keys

KEY = "kQ7-0123456789abcdef"


def test_a_key_is_held_as_its_name_and_a_digest() -> None:
    alice, bob = parse_api_keys(f"alice:{KEY}, bob.2:{KEY}/x+~_==")
    assert (alice.name, bob.name) == (str(alice), str(bob)) == ("alice", "bob.2")
    assert alice.digest == digest_of(KEY.encode())
    assert alice.identity != bob.identity
    assert alice.identity == parse_api_keys(f"renamed:{KEY}")[0].identity


def test_nothing_that_is_shown_or_sent_holds_the_key() -> None:
    (key,) = parse_api_keys(f"alice:{KEY}")
    for text in (repr(key), str(key), key.identity):
        assert KEY not in text
        assert key.digest.hex() not in text
    assert repr(key.digest) not in repr(key)
    assert KEY.encode() not in pickle.dumps(key)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (KEY, "entry 1 must be name:key"),
        (f"alice:{KEY},", "entry 2 must be name:key"),
        (f":{KEY}", "entry 1 must be name:key"),
        (f"al ice:{KEY}", "entry 1 must be name:key"),
        (f"{KEY}:alice", "entry 1 must be name:key"),
        ("alice:", "the key of entry 1 is shorter than 16 characters"),
        (f"alice:{KEY},bob:{KEY[:15]}", "the key of entry 2 is shorter than 16 characters"),
        (f"alice:{KEY} {KEY}", "the key of entry 1 may hold"),
        (f"alice:{KEY}é", "the key of entry 1 may hold"),
        (f"alice:{KEY}:more", "the key of entry 1 may hold"),
        (f"alice:{KEY},bob:{KEY}", "the key of entry 2 is there twice"),
        (f"alice:{KEY},alice:{KEY}2", "the name of entry 2 is there twice"),
    ],
)
def test_what_is_wrong_is_told_by_its_number_alone(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parse_api_keys(text)
    for part in (KEY, KEY[:15], "alice"):
        assert part not in str(caught.value)
