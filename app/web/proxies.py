"""Believes the forwarded headers of the proxies it was told to trust, and of nobody else."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask


def install(app: "Flask", trusted: Sequence[str]) -> None:
    """``trusted``: addresses or networks (``10.0.0.0/8``); none means that no header is believed."""
    if trusted:
        app.wsgi_app = BehindProxies(app.wsgi_app, trusted)  # type: ignore[method-assign]


class BehindProxies:
    """Restores the client's address, scheme and host from ``X-Forwarded-*``."""

    def __init__(self, app: "WSGIApplication", trusted: Sequence[str]) -> None:
        self._app = app
        self._networks: list[IPv4Network | IPv6Network] = [_plain_network(name) for name in trusted]

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer the request as the client made it."""
        if self._is_trusted(environ.get("REMOTE_ADDR", "")):
            self._believe(environ)
        return self._app(environ, start_response)

    def _is_trusted(self, name: str) -> bool:
        address = plain_address(name)
        return address is not None and any(address in network for network in self._networks)

    def _believe(self, environ: "WSGIEnvironment") -> None:
        hops = [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
        while len(hops) > 1 and self._is_trusted(hops[-1]):
            hops.pop()
        if hops and (client := plain_address(hops[-1])):
            environ["REMOTE_ADDR"] = str(client)
        scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        if host := environ.get("HTTP_X_FORWARDED_HOST", "").rpartition(",")[2].strip():
            environ["HTTP_HOST"] = host


def plain_address(name: str) -> IPv4Address | IPv6Address | None:
    """The address in this text; None where it is none.

    A socket for IPv6 that also takes IPv4 names its clients ``::ffff:10.0.0.1``: that is the IPv4 address.
    """
    try:
        address = ip_address(name)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _plain_network(name: str) -> IPv4Network | IPv6Network:
    network = ip_network(name, strict=False)
    first = plain_address(str(network.network_address))
    if isinstance(network, IPv6Network) and isinstance(first, IPv4Address) and network.prefixlen >= 96:
        return IPv4Network((first, network.prefixlen - 96))
    return network
