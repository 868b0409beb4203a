"""Secrets in texts of any shape."""

import pytest

from collectord.epochs.fingerprint import HIDDEN, MAX_TEXT, masked_text


@pytest.mark.parametrize(
    "text", ["-" * 200_000, "a-" * 100_000, "-a " * 70_000, "token" * 40_000, "-" * 4096, "a-" * 2048]
)
def test_a_hostile_long_text_is_masked_in_bounded_work(text: str) -> None:
    assert len(masked_text(text)) < MAX_TEXT + 100


@pytest.mark.parametrize("text", ["run --api-token hunter2", "my-secret hunter2", "password = hunter2"])
def test_a_secret_is_hidden_in_a_short_text_and_in_a_cut_one(text: str) -> None:
    for whole in (text, text + " x" * MAX_TEXT):
        assert HIDDEN in masked_text(whole)
        assert "hunter2" not in masked_text(whole)


def test_a_cut_inside_of_an_address_does_not_show_its_password() -> None:
    text = "x " * (MAX_TEXT // 2 - 10) + "http://me:hunter2hunter2@host/"
    assert "hunter2" not in masked_text(text)
