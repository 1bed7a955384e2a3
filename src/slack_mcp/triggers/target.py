"""Where a receiver may be: not inside the network that this service runs in, unless the operator says so.

Whoever may add a receiver could otherwise make the service call what only it can reach, and learn from the answers.
Source: https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import anyio
import httpx2

from slack_mcp.core.errors import InvalidInputError, TriggerRefusedError, TriggerUnavailableError

MAX_URL_CHARS: Final = 2048
MAX_PORT: Final = 65_535
RESOLVE_TIMEOUT_S: Final = 5.0
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# Looks public, and is where Azure answers its own machines:
# https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
_AZURE: Final = ipaddress.ip_network("168.63.129.16/32")
# Private too, and not taken for it by every version of Python:
# https://www.iana.org/assignments/iana-ipv4-special-registry and its neighbour for IPv6.
_SPECIAL: Final = (
    _AZURE,
    *(ipaddress.ip_network(each) for each in ("192.0.0.0/24", "64:ff9b:1::/48", "fec0::/10")),
)

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host; raises OSError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPolicy:
    """What is allowed beyond public addresses over HTTPS.

    Attributes:
        may_be_private: any address, and plain HTTP.
        allowed_hosts: names, in small letters, for which the same holds.
    """

    may_be_private: bool = False
    allowed_hosts: frozenset[str] = frozenset()

    def trusts(self, host: str) -> bool:
        """Tell whether the host is taken as it is."""
        return self.may_be_private or host.lower() in self.allowed_hosts


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A receiver's URL, and the addresses that were checked."""

    url: httpx2.URL
    addresses: tuple[str, ...]


class Targets:
    """Finds where a receiver is, each time anew: a name may have moved since it was saved.

    Args:
        policy: what is allowed.
        resolve: asks the system's resolver if not given.
    """

    def __init__(self, *, policy: TargetPolicy, resolve: Resolve | None = None) -> None:
        self._policy = policy
        self._resolve = resolve or resolve_host

    async def check(self, text: str) -> Target:
        """Return the target; every address of its host may be connected to.

        Raises:
            InvalidInputError: the URL, or where it leads, is not allowed, or there is no such host.
        """
        url = self._parse(text)
        try:
            return await self._find(url)
        except (TriggerRefusedError, TriggerUnavailableError) as error:
            raise InvalidInputError(str(error)) from error

    async def find(self, text: str) -> Target:
        """Return what `check` does, for a receiver that was saved.

        Raises:
            TriggerRefusedError: it is not allowed any more.
            TriggerUnavailableError: its host cannot be found now.
        """
        try:
            url = self._parse(text)
        except InvalidInputError as error:
            raise TriggerRefusedError(str(error)) from error
        return await self._find(url)

    def _parse(self, text: str) -> httpx2.URL:
        try:
            url = httpx2.URL(text)
        except (httpx2.InvalidURL, ValueError):
            raise InvalidInputError("The receiver's URL cannot be read.") from None
        if len(text) > MAX_URL_CHARS or not text.isprintable() or not url.host or not 0 < (url.port or 1) <= MAX_PORT:
            raise InvalidInputError("The receiver's URL must be like https://receiver.example/path.")
        if url.userinfo or url.fragment:
            raise InvalidInputError("The receiver's URL must hold no user, password or fragment.")
        if url.scheme != "https" and not (url.scheme == "http" and self._policy.trusts(url.host)):
            raise InvalidInputError(
                "The receiver's URL must begin with https:// (TRIGGER_ALLOW_PRIVATE_TARGETS or TRIGGER_ALLOWED_HOSTS "
                "allows http:// too)."
            )
        return url

    async def _find(self, url: httpx2.URL) -> Target:
        try:
            with anyio.fail_after(RESOLVE_TIMEOUT_S):
                addresses = tuple(dict.fromkeys(await self._resolve(url.host, get_port(url))))
        except (OSError, UnicodeError):  # a time-out is an OSError
            addresses = ()
        if not addresses:
            raise TriggerUnavailableError("The receiver's host name has no address now.")
        if not self._policy.trusts(url.host) and not all(is_public(address) for address in addresses):
            raise TriggerRefusedError(
                "The receiver's host has an address inside a private network; the operator can allow that with "
                "TRIGGER_ALLOWED_HOSTS."
            )
        return Target(url=url, addresses=addresses)


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """Return the host's addresses, as the system's resolver has them."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def get_port(url: httpx2.URL) -> int:
    """Return the URL's port."""
    return url.port or _DEFAULT_PORTS[url.scheme]


def is_public(text: str) -> bool:
    """Tell whether an address is one of the public internet; one that is hidden in another is looked at itself."""
    try:
        address = _unwrap(ipaddress.ip_address(text))
    except ValueError:  # with a zone, such as fe80::1%eth0
        return False
    is_special = address.is_multicast or address.is_reserved or any(address in each for each in _SPECIAL)
    return address.is_global and not is_special


def _unwrap(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address leads to, else the address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
