"""Valkey behind TLS: whoever cannot prove its name is not talked to."""

import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSListener
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from stepping_clock import SteppingClock
from valkey import ValkeyServer

from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.valkey.client import open_valkey
from slack_mcp.valkey.url import parse_valkey_url

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1"


def write_certificate(directory: Path) -> tuple[Path, Path]:
    """Return the files of a certificate for 127.0.0.1 that signs itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "valkey")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "certificate.pem", directory / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


@asynccontextmanager
async def end_tls(server: ValkeyServer, certificate: Path, key: Path) -> AsyncIterator[int]:
    """Yield the port of what takes TLS and passes on what is inside."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def pass_on(source: anyio.abc.ByteReceiveStream, target: anyio.abc.ByteSendStream) -> None:
        try:
            async for chunk in source:
                await target.send(chunk)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    async def serve(client: anyio.abc.ByteStream) -> None:
        async with client, await anyio.connect_tcp(HOST, server.port) as inside, anyio.create_task_group() as tasks:
            tasks.start_soon(pass_on, inside, client)
            await pass_on(client, inside)
            tasks.cancel_scope.cancel()

    tcp = await anyio.create_tcp_listener(local_host=HOST)
    async with (
        TLSListener(tcp, ssl_context=context, standard_compatible=False) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, serve)
        yield tcp.listeners[0].extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("host", "is_trusted", "answers"), [(HOST, True, True), ("localhost", True, False), (HOST, False, False)]
)
async def test_certificate_and_host_name_are_checked(
    host: str, is_trusted: bool, answers: bool, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    certificate, key = write_certificate(tmp_path)
    async with end_tls(valkey_server, certificate, key) as port:
        query = f"?ssl_ca_certs={certificate}" if is_trusted else ""
        url = parse_valkey_url(f"rediss://{host}:{port}/0{query}")
        async with open_valkey(url, clock=SteppingClock(), prefix="test") as valkey:
            if answers:
                assert await valkey.run(lambda redis: redis.ping())
            else:
                with pytest.raises(StoreUnavailableError):
                    await valkey.run(lambda redis: redis.ping())
