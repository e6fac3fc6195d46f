"""Proxies from the environment, read as Go tools read them, so that skopeo and we take the same way.

Rules of this module (golang.org/x/net/http/httpproxy):
- `HTTPS_PROXY` for https, `HTTP_PROXY` for http, upper case before lower case; `NO_PROXY` lists exceptions: `*`, host,
  host:port, `.suffix`, `*.suffix`, address, CIDR. A plain name covers the names below it too.
- localhost and loopback addresses are never asked through a proxy.
- `HTTP_PROXY` is ignored in a CGI environment (`REQUEST_METHOD`), where a client could have set it (CVE-2016-5385).
- A proxy is an http or https URL, or host[:port]. Others (socks5) are refused, not ignored: nobody expects us to go
  direct.
- A proxy's user name and password are a secret; nothing here prints them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from bundler.errors import EnvError, MalformedError
from bundler.network.urls import Origin, parse_url
from bundler.value import dataclass, field


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where requests go instead of their host."""

    origin: Origin
    login: str | None = field(default=None, repr=False)
    """`user:password`, for basic authentication at the proxy."""


def find_proxy(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy for requests to `origin`, or None.

    Raises:
        EnvError: the environment names one that we cannot use (code ``proxy``).
    """
    name = f"{origin.scheme}_proxy"
    if name == "http_proxy" and environ.get("REQUEST_METHOD"):
        return None
    text = environ.get(name.upper()) or environ.get(name)
    if not text or _is_loopback(origin.host):
        return None
    exceptions = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if any(_excepts(item.strip().lower(), origin) for item in exceptions.split(",") if item.strip()):
        return None
    return _parse_proxy(text, name.upper())


def _parse_proxy(text: str, name: str) -> Proxy:
    text = text if "://" in text else f"http://{text}"
    try:
        login = urlsplit(text).netloc.rpartition("@")[0]
        bare = text.replace(f"{login}@", "", 1) if login else text
        return Proxy(parse_url(bare, "proxy").origin, unquote(login) or None)
    except (ValueError, MalformedError):
        # `from None`: the cause could repeat the password.
        raise EnvError(
            "proxy", "environment variable", name, got="another value", want="an http or https URL"
        ) from None


def _excepts(item: str, origin: Origin) -> bool:
    if item == "*":
        return True
    address = _address(origin.host)
    if "/" in item and address is not None:
        try:
            return address in ipaddress.ip_network(item, strict=False)
        except ValueError:
            return False
    host, port = _split_port(item)
    if port is not None and port != str(origin.port):
        return False
    if address is not None:
        return _address(host) == address
    host = host.removeprefix("*")
    return origin.host.endswith(host) if host.startswith(".") else _is_or_below(origin.host, host)


def _is_or_below(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _split_port(item: str) -> tuple[str, str | None]:
    if item.startswith("["):
        host, _, port = item[1:].partition("]")
        return host, port.removeprefix(":") or None
    if item.count(":") == 1:
        host, _, port = item.partition(":")
        return host, port
    return item, None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
