"""Messages about runs that have ended: signed, guarded, tried again.

A message is written in the transaction that ends the run, and deleted when it was taken by the other side. Where it
goes is checked twice: its address when the run is made, and what its name leads to each time it is sent, so that a
name can't lead into the network that the server is in.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import os
import re
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from perdure.errors import InvalidConfigError, PerdureError
from perdure.server.database import now, webhooks
from perdure.server.errors import InvalidRequestError
from perdure.server.tasks import end

if TYPE_CHECKING:
    from perdure.server.config_file import WebhooksSpec
    from perdure.server.core import Core

_log = logging.getLogger("perdure.server.webhooks")

_ATTEMPTS: Final = 6
_TIMEOUT: Final = 20.0
_PAUSES: Final = (2.0, 10.0, 60.0, 300.0, 1800.0)
_POLL: Final = 5.0
_TRANSLATED: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
"""Networks whose addresses end with one of IPv4: RFC 6052, and the compatible ones of RFC 4291."""

_BATCH: Final = 20
SIGNATURE: Final = "X-Perdure-Signature"
"""The header `t=<time>,v1=<hex>`: HMAC-SHA256 of `<time>.<body>` by the secret."""


class Policy:
    """Where messages may go.

    Args:
        spec: What the configuration says.
        disabled: Whether none are taken or sent.
    """

    def __init__(self, spec: WebhooksSpec, *, disabled: bool = False) -> None:
        self.spec = spec
        self.disabled = disabled

    def check(self, url: str | None) -> None:
        """Refuse an address that no message may go to.

        Raises:
            InvalidRequestError: It is one.
        """
        if url is not None and (why := self.refusal(url)) is not None:
            raise InvalidRequestError(f"Webhook not allowed: {why}")

    def refusal(self, url: str) -> str | None:
        """Return why a message may not go to an address, None if it may; without looking its name up."""
        rules = self.spec.url
        if self.disabled:
            return "webhooks are turned off here"
        if len(url) > rules.max_url_length:
            return "it is too long"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return "it is no URL"
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return "it is not http:// or https://"
        if parts.username is not None:
            return "it has a user name"
        if rules.require_https and parts.scheme != "https":
            return "it is not https://"
        if rules.allowed_ports is not None and (port or (443 if parts.scheme == "https" else 80)) not in (
            rules.allowed_ports
        ):
            return f"port {port} is not allowed"
        if rules.allowed_domains is not None and not any(
            _matches(parts.hostname, domain) for domain in rules.allowed_domains
        ):
            return f"host {parts.hostname} is not allowed"
        try:
            parts.hostname.encode("idna")
        except UnicodeError:
            return "it is no URL"
        with suppress(ValueError):
            return self.refused_address(parts.hostname)
        if parts.hostname == "localhost" or parts.hostname.endswith(".localhost"):
            return "host blocked: loopback" if rules.disable_loopback else None
        return None

    def refused_address(self, text: str) -> str | None:
        """Return why a message may not go to an IP address.

        Raises:
            ValueError: It is none.
        """
        address = _leads_to(ipaddress.ip_address(text))
        if address.is_loopback:
            return "host blocked: loopback IP range" if self.spec.url.disable_loopback else None
        is_old = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
        if not address.is_global or address.is_multicast or address.is_reserved or is_old:
            return "host blocked: private or reserved IP range"
        return None

    def headers(self) -> dict[str, str]:
        """Return the headers of a message, variables filled in.

        Raises:
            InvalidConfigError: A variable isn't set, or may not be named.
        """
        return {name: self._filled(value) for name, value in self.spec.headers.items()}

    def _filled(self, value: str) -> str:
        def fill(found: re.Match[str]) -> str:
            name = found[1]
            if not name.startswith(self.spec.env_prefix):
                raise InvalidConfigError(
                    f"webhooks.headers: {name} may not be named", hint=f"names begin with {self.spec.env_prefix}"
                )
            if name not in os.environ:
                raise InvalidConfigError(f"webhooks.headers: the variable {name} is not set")
            return os.environ[name]

        return re.sub(r"\$\{\{\s*env\.(\w+)\s*\}\}", fill, value)

    def signed(self, body: str) -> dict[str, str]:
        """Return the header that signs a message, if there is a secret."""
        secret = os.environ.get(self.spec.secret or "")
        if not secret:
            return {}
        moment = str(int(time.time()))
        digest = hmac.new(secret.encode(), f"{moment}.{body}".encode(), hashlib.sha256).hexdigest()
        return {SIGNATURE: f"t={moment},v1={digest}"}


def _leads_to(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the IPv4 address that is inside of an IPv6 one and is gone to by it, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback:
        return address
    if any(address in network for network in _TRANSLATED):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or [address])[-1]


def _matches(host: str, domain: str) -> bool:
    if domain.startswith("*."):
        return host.endswith(domain[1:])
    return host == domain


class Sender:
    """Sends what is to be sent.

    Args:
        core: The server.
        policy: Where it may go.
    """

    def __init__(self, core: Core, policy: Policy) -> None:
        self._core = core
        self.policy = policy
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send."""
        if not self.policy.disabled:
            self._task = self._core.keep(self._keep(), "sender of webhooks")

    async def stop(self) -> None:
        """Stop; what is unsent is sent later, or by another process."""
        if self._task is not None:
            await end(self._task)

    def hint(self) -> None:
        """Look for messages now."""
        self._wake.set()

    async def _keep(self) -> None:
        while True:
            self._wake.clear()
            if await self._sent_all():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _POLL)

    async def _sent_all(self) -> bool:
        """Send what is due; tell whether there is nothing more to do now."""
        try:
            messages = await self._core.database.read(webhooks.due, now(), _BATCH)
        except PerdureError as e:
            _log.warning("webhooks can't be read: %s", e)
            return True
        # Together: one that is slow to take its message holds up only its batch, and for a bounded time.
        ends = await asyncio.gather(*map(self._send, messages), return_exceptions=True)
        for error in ends:
            if isinstance(error, PerdureError):
                _log.warning("webhooks can't be noted as sent: %s", error)
            elif error is not None:
                raise error
        return len(messages) < _BATCH or any(ends)

    async def _send(self, message: webhooks.Message) -> None:
        database, pause = self._core.database, _PAUSES[min(message.attempt, len(_PAUSES) - 1)]
        # Should this process die meanwhile, it is due again by itself.
        if not await database.once(webhooks.take, message, now() + _TIMEOUT + pause):
            return
        failure = await self._post(message)
        if failure is None or message.attempt + 1 >= _ATTEMPTS:
            await database.once(webhooks.delete, message.run_id)
        else:
            await database.once(webhooks.put_off, message.run_id, now() + pause)
        if failure is not None:
            _log.warning("webhook of run %s, attempt %d: %s", message.run_id, message.attempt + 1, failure)

    async def _post(self, message: webhooks.Message) -> str | None:
        """Send a message; return what went wrong."""
        import httpx

        try:
            async with asyncio.timeout(_TIMEOUT):
                return await self._posted(message)
        except TimeoutError:
            return f"it took longer than {_TIMEOUT:.0f} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, InvalidConfigError) as e:
            return f"{type(e).__name__}: {e}"

    async def _posted(self, message: webhooks.Message) -> str | None:
        import httpx

        target, host, name = await self._target(message.url)
        sent_at = f',"webhook_sent_at":"{time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}"}}'
        body = message.body[:-1] + sent_at
        headers = {"Content-Type": "application/json", "Host": host, **self.policy.headers()}
        headers |= self.policy.signed(body)
        extensions: dict[str, Any] = {"sni_hostname": name}
        async with httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False, trust_env=False) as client:
            sending = client.stream("POST", target, content=body.encode(), headers=headers, extensions=extensions)
            async with sending as answer:  # what it says isn't read: it may be of any size
                return None if answer.is_success else f"it was answered by {answer.status_code}"

    async def _target(self, url: str) -> tuple[str, str, str]:
        """Look the name up, check where it leads; return the URL by address, the `Host`, and the name."""
        parts = urlsplit(url)
        refusal = self.policy.refusal(url)
        if refusal is not None:
            raise InvalidConfigError(f"{url}: {refusal}")
        assert parts.hostname is not None
        loop = asyncio.get_running_loop()
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        for *_, place in found:
            if (refusal := self.policy.refused_address(str(place[0]))) is not None:
                raise InvalidConfigError(f"{url}: {refusal}")
        address = str(found[0][4][0])
        shown = f"[{address}]" if ":" in address else address
        name = parts.hostname if ":" in parts.hostname else parts.hostname.encode("idna").decode()
        host = f"[{name}]" if ":" in name else name
        host = host if parts.port is None else f"{host}:{parts.port}"
        return parts._replace(netloc=f"{shown}:{port}").geturl(), host, name
