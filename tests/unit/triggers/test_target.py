import ipaddress
from collections.abc import Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.errors import InvalidInputError, TriggerRefusedError, TriggerUnavailableError
from slack_mcp.triggers.target import TargetPolicy, Targets, is_public

pytestmark = pytest.mark.anyio


def make_targets(*addresses: str, policy: TargetPolicy | None = None) -> Targets:
    async def resolve(host: str, port: int) -> Sequence[str]:
        if not addresses:
            raise OSError
        return addresses

    return Targets(policy=policy or TargetPolicy(), resolve=resolve)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fec0::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:a00:1::",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
        "what",
    ],
)
async def test_addresses_that_are_not_of_the_public_internet_are_refused(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(InvalidInputError, match="private network"):
        await make_targets("93.184.216.34", address).check("https://receiver.example/")
    with pytest.raises(TriggerRefusedError, match="private network"):
        await make_targets(address).find("https://receiver.example/")


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
)
async def test_public_addresses_are_allowed(address: str) -> None:
    target = await make_targets(address, address).check("https://receiver.example:8443/hook?a=b")
    assert target.addresses == (address,)
    assert str(target.url) == "https://receiver.example:8443/hook?a=b"


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_the_same_inside_of_an_ipv6_address(address: ipaddress.IPv4Address) -> None:
    assert is_public(str(address)) == is_public(f"::ffff:{address}") == is_public(f"64:ff9b::{address}")


@pytest.mark.parametrize(
    "url",
    [
        "http://receiver.example/",
        "ftp://receiver.example/",
        "file:///etc/passwd",
        "receiver.example",
        "https://",
        "https:///hook",
        "https://user@receiver.example/",
        "https://user:password@receiver.example/",
        "https://receiver.example/#part",
        "https://receiver.example:99999/",
        "https://receiver.example/\n",
        "https://[::1/",
        "https://receiver.example/" + "a" * 3000,
    ],
)
async def test_urls_that_are_not_allowed_are_refused_before_anybody_is_asked_for_an_address(url: str) -> None:
    with pytest.raises(InvalidInputError):
        await make_targets("93.184.216.34").check(url)
    with pytest.raises(TriggerRefusedError):
        await make_targets("93.184.216.34").find(url)


@pytest.mark.parametrize(
    "policy",
    [TargetPolicy(may_be_private=True), TargetPolicy(allowed_hosts=frozenset({"hooks.example"}))],
    ids=["anything", "this host"],
)
async def test_the_operator_may_allow_private_addresses_and_plain_http(policy: TargetPolicy) -> None:
    target = await make_targets("10.0.0.7", policy=policy).check("http://Hooks.example:8080/hook")
    assert target.addresses == ("10.0.0.7",)


async def test_an_allowed_host_allows_no_other() -> None:
    policy = TargetPolicy(allowed_hosts=frozenset({"hooks.example"}))
    with pytest.raises(InvalidInputError):
        await make_targets("10.0.0.7", policy=policy).check("https://other.internal/")


async def test_a_host_without_an_address_is_no_receiver_now_and_perhaps_one_later() -> None:
    with pytest.raises(InvalidInputError, match="no address"):
        await make_targets().check("https://receiver.example/")
    with pytest.raises(TriggerUnavailableError):
        await make_targets().find("https://receiver.example/")


async def test_this_machine_is_found_by_the_systems_resolver_and_refused() -> None:
    with anyio.fail_after(5), pytest.raises(InvalidInputError, match="private network"):
        await Targets(policy=TargetPolicy()).check("https://localhost/")
    for name in ("https://127.1/", "https://2130706433/", "https://0x7f.1/"):
        with anyio.fail_after(5), pytest.raises(InvalidInputError):
            await Targets(policy=TargetPolicy()).check(name)
