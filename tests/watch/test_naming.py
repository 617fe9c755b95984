"""The name of a guest that a rename-restart starts again."""

from hypothesis import given
from hypothesis import strategies as st

from onpanic.watch.rules.naming import renamed


def test_the_number_only_goes_up() -> None:
    """A lower number is not used again, even if no guest has it now."""
    names = ["guest"]
    for _ in range(5):
        names.append(renamed(names[-1], [names[-1]]))
    assert names == ["guest", *(f"guest-restart-{number}" for number in range(1, 6))]


def test_numbers_of_other_guests_are_left_out() -> None:
    """Only those above the guest's own are tried."""
    assert renamed("guest", ["guest-restart-1", "guest-restart-3"]) == "guest-restart-2"
    assert renamed("guest-restart-2", ["guest-restart-3"]) == "guest-restart-4"
    assert renamed("guest-restart-9", []) == "guest-restart-10"
    assert renamed("guest-1", ["guest-1-restart-1"]) == "guest-1-restart-2"


@given(st.text(min_size=1), st.sets(st.integers(1, 20)))
def test_a_name_is_never_taken(name: str, taken: set[int]) -> None:
    """Whatever the guest is called, and however often it was restarted."""
    others = {name, *(f"{name}-restart-{number}" for number in taken)}
    new = renamed(name, others)
    assert new not in others
    assert renamed(new, others) not in {*others, new}
