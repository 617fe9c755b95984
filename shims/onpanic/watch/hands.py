"""Steps, taken: what has to be known afterwards is written down before."""

import time

from msgspec.structs import replace

from .duty import Step
from .guest import FailedError, GoneError, Guest, StaleError
from .journal import Entry
from .office import Office
from .voice import Voice

__all__ = ("LEAVING", "RESTARTS", "Hands")

#: Steps that end a trouble.
LEAVING: tuple[Step, ...] = ("restart", "destroy")

# Steps after which nothing is due
_LAST: tuple[Step, ...] = ("continue", "restart", "start")

#: Actions that the start limit is about.
RESTARTS = ("restart", "rename-restart")


class Hands:
    """Takes steps for one guest.

    :param guest: The guest.
    :param office: What all cases share.
    :param voice: Says what was done.
    :ivar dumping: True while its memory is dumped.
    """

    def __init__(self, guest: Guest, office: Office, voice: Voice) -> None:
        self._guest = guest
        self._office = office
        self._voice = voice
        self.dumping = False

    async def take(self, step: Step, entry: Entry) -> bool:
        """Take a step; return True if others may follow.

        :raise LostError: When nobody can be asked; the step may have been taken, or not.
        :raise BusyError: When it is not the time for it; the same.
        """
        began, before = time.monotonic(), entry
        try:
            if step == "coredump":
                entry = await self._dump(entry)
            else:
                entry = await self._act(step, entry)
        except StaleError:
            self._office.journal.keep(before)
            raise
        except (FailedError, GoneError) as error:
            if step != "rename":
                self.give_up(entry, step, error.message)
                return False
            # It is off by now: better under its old name than not at all
            self._voice.action(step, "failed", detail=error.message)
            self._office.journal.keep(entry, new_name=self._guest.name)
            return True
        self._voice.action(
            step,
            "done",
            seconds=time.monotonic() - began,
            coredump=entry.coredump if step == "coredump" else "",
            detail=f"it was {entry.name}" if step == "rename" else "",
        )
        return True

    def give_up(self, entry: Entry, step: Step, words: str) -> None:
        """Leave the guest as it is, and say why a step is not taken."""
        self._voice.action(step, "failed", detail=words)
        self._office.journal.keep(entry, failed=words, finished=True)

    async def _act(self, step: Step, entry: Entry) -> Entry:
        def note(starter: str) -> None:
            nonlocal entry
            entry = self._office.journal.keep(entry, starter=starter)

        if step in LEAVING:
            entry = await self._prepared(entry)
        await self._guest.act(step, entry, note)
        if step in _LAST or step == entry.duty.action:
            entry = self._office.journal.keep(entry, finished=True, over=True)  # it may panic anew at once
        return entry

    async def _prepared(self, entry: Entry) -> Entry:
        if entry.duty.action == "rename-restart" and not entry.begun:
            new_name, xml = await self._guest.new_name(), await self._guest.configuration()
            entry = replace(entry, new_name=new_name, xml=xml)
        more = [time.time()] if entry.duty.action in RESTARTS else []
        return self._office.journal.keep(entry, begun=True, restarts=[*entry.restarts, *more])

    async def _dump(self, entry: Entry) -> Entry:
        if not entry.coredump:
            path = await self._guest.dump_path(entry.at)
            entry = self._office.journal.keep(entry, coredump=path)

        def progress(done: int, total: int) -> None:
            self._voice.progress(done, total, self._office.settings.progress)

        async with self._office.dumps:
            look = await self._guest.look(curious=True)  # others may have been dumped for minutes
            if (look.condition, look.instance) != (entry.trouble, entry.instance):
                raise StaleError(f"the guest is {look.condition}")
            self._voice.dumping()
            self.dumping = True
            try:
                await self._guest.dump(entry, progress)
            finally:
                self.dumping = False
        entry = self._office.journal.keep(entry, dumped=True)
        ran = (await self._guest.look(curious=True)).ran  # KVM's vCPUs do, for a dump
        return self._office.journal.keep(entry, ran=ran)
