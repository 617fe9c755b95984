"""A guest that libvirt restarts again and again: the watcher restarts it in libvirt's place.

libvirt restarts at once, for ever.  So after some restarts its word for the running domain
is put aside for ``preserve``, and the start limit holds.  The domain's configuration stays
as it is; when the guest has been quiet for the interval, or the watcher ends, libvirt has its
word back.
"""

import time

from .guest import BusyError, FailedError, GoneError, Guest, Look, LostError
from .journal import Entry
from .office import Office
from .voice import Voice

__all__ = ("calm", "hold_back")

_AGAIN = 2  # restarts by libvirt in an interval, or as many as are allowed


async def hold_back(
    guest: Guest, entry: Entry, look: Look, acts: str, office: Office, voice: Voice
) -> tuple[Entry, str]:
    """Put libvirt's word aside if its guest panics again and again, or give it back; return what holds then.

    :param entry: What was done for the guest.
    :param look: How it was found.
    :param acts: libvirt's word for it now.
    :return: The guest's entry, and libvirt's word.
    """
    restarts = office.recent(entry.restarts, time.time())
    mine = look.instance == entry.instance and look.condition not in ("off", "gone")
    if entry.put_aside and not mine:  # it ended with the guest
        return office.journal.keep(entry, put_aside=""), acts
    if entry.put_aside and not restarts:
        return await calm(guest, entry, office, voice)
    limit = office.settings.start_limit
    often = limit and len(restarts) >= min(_AGAIN, limit)
    if not mine or entry.put_aside or office.dry_run or not often or not acts.endswith("restart"):
        return entry, acts
    entry = office.journal.keep(entry, put_aside=acts)  # before: it is to be given back in any case
    try:
        done = await guest.act_itself("preserve")
    except (BusyError, FailedError, GoneError) as error:
        voice.say("problem", "warning", detail=f"the start limit does not hold: {error.message}")
        done = False
    if not done:
        return office.journal.keep(entry, put_aside=""), acts
    voice.say("limit", "notice", detail="it panics again and again: libvirt does not restart it for now")
    return entry, ""


async def calm(guest: Guest, entry: Entry, office: Office, voice: Voice) -> tuple[Entry, str]:
    """Give libvirt its word back; return what holds then, as `hold_back` does."""
    try:
        await guest.act_itself(entry.put_aside)
    except (BusyError, FailedError, GoneError, LostError) as error:
        voice.say("problem", "warning", detail=f"libvirt does not restart it by itself now: {error.message}")
        return entry, ""
    voice.say("limit", detail="libvirt restarts it by itself again")
    return office.journal.keep(entry, put_aside=""), entry.put_aside
