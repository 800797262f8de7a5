"""Archives behind ``http://`` and ``https://``: one request, one answer, and what is wrong with it.

Every request asks for a range, says ``If-Match`` where there is a strong ETag, and refuses compression; every answer is
checked against what the file was when the run was planned (not every server heeds ``If-Match``).

Redirects are followed on the same host and to its subdomains (archive.org sends people to ia800100.us.archive.org),
five at most, and never from https to http. Any other target is an error that names it: a server on the web does not
get to choose which machine of ours is asked next. (Where the names of a site lead is not looked at: that is for its
owner to say, of the name that was given too.) Proxies are those of the environment (``https_proxy``, ``no_proxy``).
"""

from __future__ import annotations

import contextlib
import email.utils
import re
import time
import urllib.request
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

from textmill import __version__, storage
from textmill.errors import EnvironmentFault, InputError
from textmill.pipeline.sources.server import Facts, TryAgain, changed

CHUNK_BYTES = 256 << 10
CONNECT_S, SILENCE_S = 10.0, 60.0
MAX_REDIRECTS = 5
ACCEPTED = (200, 206, 416)
GONE = (404, 410)
BUSY = (403, 408, 425, 429, 500, 502, 503, 504)  # data.commoncrawl.org throttles with 403, 429 and 503
SLOW_DOWN = ("SlowDown", "RequestLimitExceeded", "RequestThrottled", "InternalError", "ServiceUnavailable")
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_S3_CODE = re.compile(rb"<Code>(\w+)</Code>")

Answer = urllib3.BaseHTTPResponse


class Web:
    """HTTP servers. Implements `textmill.pipeline.sources.server.Server`; may be used by several threads."""

    def __init__(self, n_connections: int = 1, silence_s: float = SILENCE_S) -> None:
        self._timeout = urllib3.Timeout(connect=CONNECT_S, read=silence_s)
        self._n_connections = n_connections
        self._pools: dict[str, urllib3.PoolManager] = {}

    def look(self, uri: str, n_bytes: int) -> tuple[Facts, bytes]:
        with self._get(uri, {"Range": f"bytes=0-{n_bytes - 1}"}) as answer:
            start, total = _place(answer)
            if answer.status == 416:  # not even a first byte
                return Facts(0, _version(answer), True), b""
            if total is None or start != 0:
                raise InputError(f"{storage.redact(uri)}: the server does not tell the size of the file")
            return Facts(total, _version(answer), answer.status == 206), _take(answer, min(n_bytes, total))

    def chunks(self, uri: str, start: int, end: int, facts: Facts) -> Iterator[bytes]:
        headers = {"Range": f"bytes={start}-{end - 1}"}
        if facts.version.startswith('"'):  # If-Match never holds for a weak ETag (RFC 9110, 13.1.1)
            headers["If-Match"] = facts.version
        with self._get(uri, headers) as answer:
            position = _check(answer, uri, start, facts)
            for piece in answer.stream(CHUNK_BYTES, decode_content=False):
                wanted = piece[max(0, start - position) : max(0, end - position)]
                if wanted:
                    yield wanted
                position += len(piece)
                if position >= end:
                    return

    @contextlib.contextmanager
    def _get(self, uri: str, headers: dict[str, str]) -> Iterator[Answer]:
        """An answer to be taken seriously. What goes wrong, then or while its body is read, is translated."""
        answer = None
        try:
            answer = self._follow(uri, headers)
            _refuse(answer, uri)
            yield answer
        except (NewConnectionError, ConnectTimeoutError, ProxyError) as error:
            raise TryAgain(_why_unreachable(error), unreachable=True) from error
        except SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                host = urlsplit(uri).hostname
                raise EnvironmentFault(f"{host}: its certificate is not one that this machine trusts") from error
            raise TryAgain("the secure connection broke") from error
        except (HTTPError, ConnectionError, TimeoutError) as error:
            raise TryAgain(f"the connection broke ({type(error).__name__})") from error
        finally:
            if answer is not None:
                answer.close()  # a body that was read to its end has given its connection back already

    def _follow(self, uri: str, headers: dict[str, str]) -> Answer:
        sent = {"User-Agent": f"textmill/{__version__}", "Accept-Encoding": "identity"} | headers
        here = uri
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._pool(here).request(
                "GET",
                here,
                headers=sent,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=self._timeout,
            )
            target = answer.get_redirect_location()
            if not target:
                return answer
            answer.close()
            here = _redirected(uri, urljoin(here, target))
        raise InputError(f"{storage.redact(uri)}: more than {MAX_REDIRECTS} redirects")

    def _pool(self, uri: str) -> urllib3.PoolManager:
        parts = urlsplit(uri)
        proxy = "" if urllib.request.proxy_bypass(parts.hostname or "") else _proxy_of(parts.scheme)
        if proxy not in self._pools:
            self._pools[proxy] = _new_pool(proxy, self._n_connections)
        return self._pools[proxy]


def _proxy_of(scheme: str) -> str:
    return urllib.request.getproxies().get(scheme, "")


def _new_pool(proxy: str, n_connections: int) -> urllib3.PoolManager:
    if not proxy:
        return urllib3.PoolManager(maxsize=n_connections)
    login = urllib3.util.parse_url(proxy).auth
    headers = urllib3.make_headers(proxy_basic_auth=login) if login else None
    return urllib3.ProxyManager(proxy, proxy_headers=headers, maxsize=n_connections)


def _redirected(asked: str, target: str) -> str:
    """``target`` if a server may send us there from ``asked``; see the module's docstring."""
    old, new = urlsplit(asked), urlsplit(target)
    host = old.hostname or ""
    same_site = new.hostname == host or (new.hostname or "").endswith(f".{host}")
    if not same_site or new.scheme not in ("http", "https") or (old.scheme, new.scheme) == ("https", "http"):
        elsewhere = storage.redact(target)
        raise InputError(f"{storage.redact(asked)}: sends us elsewhere; give this URL if you trust it: {elsewhere}")
    return target


def _refuse(answer: Answer, uri: str) -> None:
    """Raise what the status of an answer calls for, unless it is one that a caller can use."""
    if answer.status in ACCEPTED:
        return
    if answer.status == 412:
        raise changed(uri)
    if answer.status in GONE:
        raise FileNotFoundError(uri)
    code = _S3_CODE.search(answer.read(4096, decode_content=False) or b"")
    name = code.group(1).decode() if code else ""
    said = f"HTTP {answer.status}{' ' if name else ''}{name}"
    if name == "NoSuchKey":
        raise FileNotFoundError(uri)
    if answer.status in BUSY and (answer.status != 403 or not name or name in SLOW_DOWN):
        raise TryAgain(said, _retry_after(answer.headers.get("Retry-After", "")))
    raise InputError(f"{storage.redact(uri)}: the server refuses it ({said})")


def _retry_after(text: str) -> float:
    """Seconds that a Retry-After header asks for; 0 when it says nothing that can be understood."""
    if text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0


def _check(answer: Answer, uri: str, start: int, facts: Facts) -> int:
    """Where in the file the body of ``answer`` begins: an answer that is about the file that was planned with."""
    if answer.status == 416 or _strong(_version(answer)) != _strong(facts.version):
        raise changed(uri)
    begins, total = _place(answer)
    if total not in (None, facts.n_bytes):
        if facts.version:
            raise TryAgain(f"the server says that the file has {total} bytes, and said {facts.n_bytes}")
        raise changed(uri)
    if begins > start:
        raise TryAgain("the server sent another range than it was asked for")
    return begins


def _place(answer: Answer) -> tuple[int, int | None]:
    """Where the body begins in the file, and the size of the file where the answer tells it."""
    if answer.status == 206:
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if not match or match.group(1) is None:
            raise TryAgain("the server sent a part of the file without saying which")
        return int(match.group(1)), None if match.group(2) == "*" else int(match.group(2))
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _version(answer: Answer) -> str:
    return answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""


def _strong(version: str) -> str:
    return version.removeprefix("W/")


def _take(answer: Answer, n_bytes: int) -> bytes:
    """The first ``n_bytes`` of the body."""
    pieces = []
    while n_bytes > 0:
        piece = answer.read(min(n_bytes, CHUNK_BYTES), decode_content=False)
        if not piece:
            raise TryAgain("the answer ended early")
        pieces.append(piece)
        n_bytes -= len(piece)
    return b"".join(pieces)


def _why_unreachable(error: HTTPError) -> str:
    if isinstance(error, NameResolutionError):
        return "its name is not known"
    if isinstance(error, ProxyError):
        return "the proxy does not answer"
    reason = getattr(error.__cause__, "strerror", None) if isinstance(error, NewConnectionError) else None
    return reason.lower() if reason else "connecting took too long"
