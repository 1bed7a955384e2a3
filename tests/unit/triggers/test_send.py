import json
from collections.abc import Callable, Sequence

import anyio
import httpx2
import pytest
from trigger_fakes import (
    CALLBACK,
    CALLBACK_TOKEN,
    SIGNING_SECRET,
    make_mesh_trigger,
    make_sender,
    make_trigger,
    resolve_publicly,
    verify_webhook,
)

from slack_mcp.core.errors import (
    TriggerError,
    TriggerRateLimitedError,
    TriggerRefusedError,
    TriggerUnavailableError,
)
from slack_mcp.triggers.send import TriggerSender
from slack_mcp.triggers.sign import make_secret
from slack_mcp.triggers.target import TargetPolicy, Targets

pytestmark = pytest.mark.anyio
DATA = {"text": "half \ud83d of a pair", "channel_id": "C1"}


class Requests(list[httpx2.Request]):
    def __init__(self, status: int = 202, **headers: str) -> None:
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.append(request)
        return httpx2.Response(self.status, headers=self.headers)


async def tell(sender: TriggerSender, *, mesh: bool = False) -> int:
    if mesh:
        return await sender.send_to_mesh(make_mesh_trigger(), DATA)
    return await sender.send_to_subscriber(
        make_trigger(url="https://Receiver.example:8443/hook?a=b"),
        DATA,
        message_id="Ev1:trg_1",
        timestamp="2023-11-14T22:13:20.250Z",
    )


async def test_mesh_is_told_type_and_data_under_its_callback_token() -> None:
    requests = Requests()
    async with make_sender(requests) as sender:
        assert await tell(sender, mesh=True) == 202
    (request,) = requests
    assert (request.method, str(request.url)) == ("POST", CALLBACK)
    assert request.headers["Authorization"] == f"Bearer {CALLBACK_TOKEN}"
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.content) == {"type": "slack.message.received", "data": DATA}


async def test_a_subscriber_is_told_with_a_signature_that_it_can_verify() -> None:
    requests = Requests(status=204)
    async with make_sender(requests) as sender:
        assert await tell(sender) == 204
    (request,) = requests
    verify_webhook(SIGNING_SECRET, request.headers, request.content)
    assert request.headers["webhook-id"] == "Ev1:trg_1"
    assert json.loads(request.content) == {
        "id": "Ev1:trg_1",
        "type": "slack.message.received",
        "timestamp": "2023-11-14T22:13:20.250Z",
        "data": DATA,
    }


async def test_the_connection_goes_to_the_address_that_was_checked_and_the_name_stays_what_is_verified() -> None:
    requests = Requests()
    async with make_sender(requests) as sender:
        await tell(sender)
    (request,) = requests
    assert str(request.url) == "https://93.184.216.34:8443/hook?a=b"
    assert request.headers["Host"] == "receiver.example:8443"
    assert request.extensions["sni_hostname"] == "receiver.example"


async def test_a_name_that_moved_inside_after_it_was_saved_is_not_connected_to() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    requests = Requests()
    async with make_sender(requests, targets=Targets(policy=TargetPolicy(), resolve=resolve)) as sender:
        with pytest.raises(TriggerRefusedError, match="private network"):
            await tell(sender)
    assert not requests


async def test_the_next_address_is_tried_when_one_cannot_be_connected_to() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["2606:2800:220:1::1", "93.184.216.34"]

    hosts: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        hosts.append(request.url.host)
        if len(hosts) == 1:
            raise httpx2.ConnectError("no route")
        return httpx2.Response(200)

    async with make_sender(answer, targets=Targets(policy=TargetPolicy(), resolve=resolve)) as sender:
        assert await tell(sender) == 200
    assert hosts == ["2606:2800:220:1::1", "93.184.216.34"]


@pytest.mark.parametrize(
    ("status", "mesh", "others"),
    [
        (301, TriggerRefusedError, TriggerRefusedError),
        (307, TriggerRefusedError, TriggerRefusedError),
        (400, TriggerRefusedError, TriggerUnavailableError),
        (401, TriggerRefusedError, TriggerUnavailableError),
        (404, TriggerRefusedError, TriggerUnavailableError),
        (410, TriggerRefusedError, TriggerRefusedError),
        (413, TriggerRefusedError, TriggerRefusedError),
        (429, TriggerRateLimitedError, TriggerRateLimitedError),
        (500, TriggerUnavailableError, TriggerUnavailableError),
        (503, TriggerUnavailableError, TriggerUnavailableError),
    ],
)
async def test_what_an_answer_means(status: int, mesh: type[TriggerError], others: type[TriggerError]) -> None:
    requests = Requests(status, location="https://elsewhere.example/")
    async with make_sender(requests) as sender:
        with pytest.raises(TriggerError) as of_mesh:
            await tell(sender, mesh=True)
        with pytest.raises(TriggerError) as of_subscriber:
            await tell(sender)
    assert (type(of_mesh.value), type(of_subscriber.value)) == (mesh, others)
    assert getattr(of_mesh.value, "is_gone", False) is (status == 401)
    assert getattr(of_subscriber.value, "is_gone", False) is (status == 410)
    assert len(requests) == 2
    assert all("canary" not in str(each.value) for each in (of_mesh, of_subscriber))


async def test_a_receiver_that_asks_to_wait_is_obeyed() -> None:
    async with make_sender(Requests(429, retry_after="17")) as sender:
        with pytest.raises(TriggerRateLimitedError) as raised:
            await tell(sender)
    assert raised.value.retry_after_s == 17


@pytest.mark.parametrize("mesh", [True, False])
@pytest.mark.parametrize("error", [httpx2.ConnectError("x"), httpx2.ReadError("x"), httpx2.RemoteProtocolError("x")])
async def test_a_receiver_that_cannot_be_reached_is_tried_again(error: Exception, mesh: bool) -> None:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        raise error

    async with make_sender(answer) as sender:
        with pytest.raises(TriggerUnavailableError):
            await tell(sender, mesh=mesh)


async def test_a_receiver_that_does_not_answer_in_time_is_tried_again() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return await resolve_publicly(host, port)

    class Silent(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await anyio.sleep_forever()
            raise AssertionError

    async with make_sender(Requests(), timeout_s=0.01) as sender, httpx2.AsyncClient(transport=Silent()) as silent:
        sender._mesh = sender._subscribers = silent
        for mesh in (True, False):
            with anyio.fail_after(5), pytest.raises(TriggerUnavailableError, match="in time"):
                await tell(sender, mesh=mesh)


async def test_a_token_that_no_header_can_hold_is_refused_and_not_told() -> None:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        raise httpx2.LocalProtocolError("Illegal header value b'Bearer canary'")

    async with make_sender(answer) as sender:
        with pytest.raises(TriggerRefusedError, match="malformed") as raised:
            await tell(sender, mesh=True)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


async def test_cookies_are_neither_kept_nor_sent() -> None:
    requests = Requests(set_cookie="who=one; Path=/")
    async with make_sender(requests) as sender:
        for _ in range(2):
            await tell(sender, mesh=True)
    assert all("Cookie" not in request.headers for request in requests)


async def test_no_more_of_an_answer_is_read_than_anybody_needs() -> None:
    read: list[int] = []

    class Endless(httpx2.AsyncByteStream):
        async def __aiter__(self):  # type: ignore[no-untyped-def] # noqa: ANN204
            while True:
                read.append(4096)
                yield b"x" * 4096

    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=Endless())

    async with make_sender(answer) as sender:
        with anyio.fail_after(5):
            assert await tell(sender) == 200
    assert sum(read) <= 65_536 + 4096


async def test_an_answer_that_breaks_off_after_its_status_is_an_answer() -> None:
    class Broken(httpx2.AsyncByteStream):
        async def __aiter__(self):  # type: ignore[no-untyped-def] # noqa: ANN204
            yield b"x"
            raise httpx2.ReadError("gone")

    answer: Callable[[httpx2.Request], httpx2.Response] = lambda _request: httpx2.Response(200, stream=Broken())  # noqa: E731
    async with make_sender(answer) as sender:
        assert await tell(sender) == 200


def test_keys_are_long_random_and_as_the_standard_writes_them() -> None:
    made = {make_secret().reveal() for _ in range(10)}
    assert len(made) == 10
    assert all(each.startswith("whsec_") and len(each) == 6 + 44 for each in made)


async def test_an_answer_whose_body_never_ends_is_an_answer() -> None:
    class Hanging(httpx2.AsyncByteStream):
        async def __aiter__(self):  # type: ignore[no-untyped-def] # noqa: ANN204
            await anyio.sleep_forever()
            yield b""

    async with make_sender(lambda _request: httpx2.Response(200, stream=Hanging())) as sender:
        with anyio.fail_after(5):
            assert await tell(sender) == 200
