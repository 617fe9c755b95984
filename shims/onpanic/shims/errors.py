"""Every exception that the shims raise on purpose, beside those of `onpanic.probe.errors`.

::

    OnpanicError
     ├── DocumentError   domain XML cannot be read, or contradicts itself
     └── RefusedError    what is wanted cannot be had: the policy, the device, the way back

A `RefusedError` ends the command with exit status 1, as a refusal by ``onpanic accept``
does; a `DocumentError` with 2.
"""

from onpanic.probe.decision import Decision
from onpanic.probe.errors import OnpanicError

__all__ = ("DocumentError", "RefusedError")


class DocumentError(OnpanicError, ValueError):
    """Domain XML cannot be read, or contradicts itself.

    For example::

        not a domain's XML: the document's element is <network>, not <domain>
    """


class RefusedError(OnpanicError):
    """What is wanted cannot be had.

    :param decision: The refusal, with its code, reason and remedy.
    """

    exit_status = 1

    def __init__(self, decision: Decision) -> None:
        super().__init__(f"refused: {decision.code}: {decision.reason}", decision.remedy)
        self.decision = decision
