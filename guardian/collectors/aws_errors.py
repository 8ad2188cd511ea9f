"""What may go wrong between Guardian and AWS, and how it is told. Costs no import of the client; no I/O.

Invariant: nothing here repeats what was sent or what AWS said in words, which may hold the signed request: a call, a
resource and an error code are all that is told.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from guardian.collectors import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GONE: Final = "gone"
FORBIDDEN: Final = "forbidden"
MALFORMED: Final = "malformed"
UNREACHABLE: Final = "unreachable"
CERTIFICATE: Final = "certificate"
_NAMED: Final = 3


class AwsError(Exception):
    """A call without a usable answer.

    action: the IAM action it needs, such as `s3:GetBucketPolicy`. code: AWS's error code, or what stands for one.
    way_out: what to do. whole: every other call would end the same.
    """

    def __init__(self, action: str, reason: str, code: str, way_out: str, *, whole: bool = False) -> None:
        super().__init__(f"{action}: {code}; {way_out}")
        self.action, self.reason, self.code, self.way_out, self.whole = action, reason, code, way_out, whole

    def unreadable(self, kind: str) -> Unreadable:
        """Return it as what could not be read of `kind`."""
        return Unreadable(kind, self.reason, str(self))


class Gaps:
    """What could not be read of one section, told once a kind and call, however many resources it struck."""

    def __init__(self) -> None:
        self._resources: defaultdict[tuple[str, str, str, str, str], list[str]] = defaultdict(list)
        self._counts: defaultdict[tuple[str, str, str, str, str], int] = defaultdict(int)

    def add(self, kind: str, resource: str, error: AwsError) -> None:
        """Note that `error` left something of `resource` unread."""
        key = (kind, error.action, error.reason, error.code, error.way_out)
        self._counts[key] += 1
        if len(self._resources[key]) < _NAMED:
            self._resources[key].append(resource)

    def unreadable(self) -> Iterator[Unreadable]:
        """Yield what was noted, each kind and call with the first resources it struck."""
        for key, count in self._counts.items():
            kind, action, reason, code, way_out = key
            named = self._resources[key]
            more = f" and {count - len(named)} more" if count > len(named) else ""
            yield Unreadable(kind, reason, f"{action} of {', '.join(named)}{more}: {code}; {way_out}")


class Parts:
    """Attributes of one resource, each read on its own: what cannot be read is absent, and among `errors`."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}
        self.errors: list[AwsError] = []

    def take(self, attribute: str, read: Callable[[], Any]) -> None:
        """Set an attribute to what `read` returns. Raises AwsError only where it holds for every other call too."""
        try:
            self.attributes[attribute] = read()
        except AwsError as error:
            if error.whole:
                raise
            self.errors.append(error)
        except (KeyError, TypeError, ValueError, AttributeError):  # costs this one, not the whole collection
            self.errors.append(malformed(f"reading {attribute}"))

    @property
    def gone(self) -> AwsError | None:
        """The error that says that there is no such resource, None without."""
        return next((error for error in self.errors if error.reason == GONE), None)


def malformed(action: str) -> AwsError:
    """Return the error of an answer that is not what AWS documents."""
    return AwsError(action, MALFORMED, "the answer is not of the documented shape", "look at it with the AWS CLI")
