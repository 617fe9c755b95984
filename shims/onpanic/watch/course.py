"""How it goes with a case: what is to be remembered from one look to the next, and no longer."""

from dataclasses import dataclass, field

from .duty import Step
from .guest import Look

__all__ = ("Course",)


@dataclass
class Course:
    """How it goes.

    :ivar retry: What was given up is to be taken up again.
    :ivar about: The time of the entry that this is about.
    :ivar taken: The steps that were taken, each with how the guest was before.
    :ivar polls: How often libvirt was found at work.
    :ivar idle: How often libvirt was waited for that was idle.
    :ivar delayed: True if it was said that a step waits.
    :ivar busy: True if it was said that somebody is busy.
    """

    retry: bool = False
    about: float = 0.0
    taken: list[tuple[Step, Look]] = field(default_factory=list)
    polls: int = 0
    idle: int = 0
    delayed: bool = False
    busy: bool = False
