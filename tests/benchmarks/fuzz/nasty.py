"""Values that programs stumble over, each of which a mutation puts where a usual one stood."""

NUMBERS = [
    b"0", b"-0", b"-1", b"1", b"2", b"255", b"256", b"257", b"65535", b"65536", b"2147483647",
    b"2147483648", b"-2147483649", b"4294967296", b"9223372036854775807", b"9223372036854775808",
    b"-9223372036854775809", b"18446744073709551616", b"1e400", b"-1e400", b"1e-400", b"0.1",
    b"NaN", b"Infinity", b"-Infinity", b"1e5", b"00", b"0x10", b"1_000", b"+1", b".5", b"5.",
    b"9" * 30, b"9" * 400, b"9" * 4299, b"9" * 5000, b"0" * 5000 + b"7", b"-" + b"1" * 4000,
]  # fmt: skip
BYTES = [
    b"\0", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf8\x88\x80\x80\x80", b"\r\n",
    b"\n", b"\r", b"\r\n\r\n", b"\x7f", b"\x1b[0m", b"\xe2\x80\xae", b"\xef\xbb\xbf", b"\\ud800",
    b"\\udc00\\ud800", b"\\u0000", b"\\uFFFF", b"\xf0\x9f\x98\x80", b"\xcc\x88" * 40, b'"', b"\\",
    b"{", b"}", b"[", b"]", b",", b":", b"[" * 300, b'{"a":' * 300, b"\xf4\x8f\xbf\xbf", b"null",
    b"true", b"\xe2\x80\xa8", b"%00", b"%n%s", b"../", b" ", b"\t", b"\x0b", b"\x85",
]  # fmt: skip
TEXTS = [
    "", " ", "\0", "\ufeff", "\u202e", "e" + "\u0301" * 50, "\U0001f468\u200d\U0001f469", "\uffff",
    "\u0130\u0131", "\u1e9e\ufb03", "good " * 40, "good " * 4000, "a" * 19_999, "a" * 20_000,
    "a" * 20_001, "\n\r\t", "tone", "same", "digits", "wide", "none", "__proto__", "[UNK]",
    "[MASK] [SEP] [CLS]", "<script>", "%s%n", "../../etc/passwd", "\u4e00" * 100, "A" * 129, "auto",
]  # fmt: skip
PATHS = [
    "/", "//", "/.", "/..", "/../", "/%2e%2e/", "/%00", "/%", "/%zz", "/%ff", "/%ed%a0%80", "?",
    "#", "?a=%ff&a=" + "b" * 300, "/" + "a" * 300, "/%2f", "/%0d%0aX: y", ";a=b", "\\", "/*",
    "@here", "/v1/models", "/models/", "/infer", "/versions/", "/ready", "/%F0%9F%98%80",
    "/tone%00", "\x7f",
    "/" + "a/" * 500, "?" + "&" * 500, "/static-offline-docs/", "/static-offline-docs/%00",
    "/static-offline-docs/..%2f..%2fetc/passwd", "/static-offline-docs//etc/passwd", "/~", "/" * 99,
    "/static-offline-docs/" + "a" * 5000,
]  # fmt: skip
METHODS = [
    "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "PRI", "FOO",
    "PROPFIND", "", "POST POST", "M-SEARCH", "QUERY", "POST",
]  # fmt: skip
VERSIONS = ["HTTP/1.0", "HTTP/1.1", "HTTP/0.9", "HTTP/2.0", "HTTP/3", "http/1.1", "HTTP/1.", ""]
LONG = "x" * 3000
HEADERS = [
    ("Host", "[zz]"), ("Host", "[::1%25]:1"), ("Host", "here:99999999999"), ("Host", ""),
    ("Host", "a b"), ("Host", "\xff"), ("Host", "[v1.a]"), ("Host", "[1:2"), ("Host", "a]"),
    ("Expect", "100-continue"), ("Expect", "200-ok"), ("Connection", "close"),
    ("Connection", "keep-alive, upgrade"), ("Connection", "x" * 400), ("Upgrade", "h2c"),
    ("Upgrade", "websocket"), ("HTTP2-Settings", "AAMAAABkAAQAAP__"), ("Content-Length", "-1"),
    ("Content-Length", "0"), ("Content-Length", "5, 5"), ("Content-Length", "0" * 5000 + "2"),
    ("Content-Length", "9" * 30), ("Content-Length", "+2"), ("Content-Length", " 2 "),
    ("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "gzip, chunked"),
    ("Transfer-Encoding", "\x0bchunked"), ("Transfer-Encoding", "identity"),
    ("Content-Encoding", "gzip"), ("Content-Encoding", "\xff"), ("Content-Type", "text/plain"),
    ("Content-Type", "application/json; charset=utf-16"), ("Content-Type", "\xe9;;=;"),
    ("Content-Type", "application/octet-stream"), ("Inference-Header-Content-Length", "1"),
    ("Inference-Header-Content-Length", "9" * 5000), ("Inference-Header-Content-Length", "\xb2"),
    ("Inference-Header-Content-Length", "-1"), ("Inference-Header-Content-Length", "0" * 5000),
    ("Authorization", "Bearer"), ("Authorization", "Bearer \xff"), ("Authorization", "Basic Og=="),
    ("Authorization", "bearer  " + LONG), ("Priority", "u=9"), ("Priority", "u=-1"),
    ("Priority", "u=7, i"), ("Priority", "," + " " * 4000 + "u"), ("Priority", ",u=" * 900),
    ("Cache-Control", "no-cache"), ("Cache-Control", ", " * 2000), ("Cache-Control", "no-store="),
    ("X-Request-Id", "a\tb"), ("X-Request-Id", "\xff"), ("X-Request-Id", LONG),
    ("traceparent", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"), ("traceparent", "ff-x"),
    ("traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"), ("tracestate", "," * 999),
    ("traceparent", "\xb2\xb3-"), ("Range", "bytes=0-"), ("Range", "bytes=" + "9" * 5000 + "-"),
    ("Range", "bytes=5-1"), ("Range", "bytes=" + "0-1," * 700), ("Range", "bytes=-0"),
    ("If-Modified-Since", "Mon, 99 Foo 99999 99:99:99 GMT"), ("If-None-Match", '*, "a'),
    ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 +9999999999"), ("If-Range", "\xff"),
    ("Cookie", "a=b; " * 300), ("Accept", "*/*;q=" + "9" * 400), ("Accept-Encoding", "gzip;q=x"),
    ("X-Forwarded-For", "::1, \xff"), ("Forwarded", 'for="[::1]"'), ("Keep-Alive", "timeout=0"),
    ("Trailer", "Content-Length"), ("TE", "trailers, deflate;q=0.5"), ("X", LONG), ("", "empty"),
    ("a b", "c"), ("\xff", "d"), ("X-Nul", "a\0b"), ("Folded", "a\r\n b"), ("X", "y" * 66_000),
]  # fmt: skip
