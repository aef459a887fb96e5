"""Which Label Studio each project belongs to, and the token for its pictures: told by `/setup`, kept in memory only."""

from collections import OrderedDict
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from deployments.http.auth import Caller
from segmentation.errors import InvalidRequest

MAX_PROJECTS = 1024


@dataclass(frozen=True, slots=True)
class LabelStudio:
    """A server of Label Studio.

    hostname: its URL, `http://10.0.0.5:8080`.
    access_token: lets this server read the pictures of one of its users; never printed.
    """

    hostname: str
    access_token: str = field(repr=False)

    def url_of(self, picture: str) -> str:
        """The URL of a picture as a task names it: a path on this server, or whole."""
        try:
            return urljoin(f"{self.hostname.rstrip('/')}/", picture)
        except ValueError:
            raise InvalidRequest("the URL of Label Studio, or of a task's picture, is no URL") from None

    def authorization_for(self, url: str) -> str | None:
        """The header that goes to this server, and to no other."""
        return f"Token {self.access_token}" if _origin(url) == _origin(self.hostname) and self.access_token else None


class Projects:
    """The projects of this replica, the last `MAX_PROJECTS` that were set up."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Caller, str], LabelStudio] = OrderedDict()

    def __setitem__(self, project: tuple[Caller, str], label_studio: LabelStudio) -> None:
        self._known[project] = label_studio
        self._known.move_to_end(project)
        if len(self._known) > MAX_PROJECTS:
            self._known.popitem(last=False)

    def get(self, project: tuple[Caller, str]) -> LabelStudio | None:
        """The server of a project, if it was set up here by the same caller."""
        return self._known.get(project)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidRequest("the URL of Label Studio, or of a task's picture, is no URL") from None
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}.get(parts.scheme)
