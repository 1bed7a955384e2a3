import socket

import pytest

from slack_mcp.app.server import bind, render_url


def test_the_address_of_a_socket_is_a_url() -> None:
    with bind("127.0.0.1", 0) as listener:
        assert render_url(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_url_has_brackets_around_an_ipv6_address() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        listener = bind("::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6 on loopback")
    with listener:
        assert render_url(listener).startswith("http://[::1]:")


def test_a_port_that_is_taken_is_refused() -> None:
    with bind("127.0.0.1", 0) as listener, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", listener.getsockname()[1])


@pytest.mark.parametrize("host", ["\u00e9", "..", "192.0.2.1"])
def test_a_host_that_is_not_this_machines_is_refused(host: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - the system's words differ
        bind(host, 0)
