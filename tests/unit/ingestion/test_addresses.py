"""What is stored and shown of an address: everything but what opens it."""

from __future__ import annotations

from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recant.ingestion.listing import list_sources
from recant.ingestion.origin import as_given, origin_of
from recant.ingestion.readers.addresses import has_credentials, normalise_url, redacted, without_credentials

NAMES = st.sampled_from(
    "token access_token id-token accessToken API_KEY apikey key subscription-key sig Signature X-Amz-Signature "
    "x-amz-credential X-Goog-Signature sas client_secret password passwd auth Authorization jwt sid JSESSIONID".split()
)
SECRETS = st.text("abcdefgh0123456789+/=.~", min_size=1).map(lambda text: f"s3cr3t{text}")
PLAIN = st.dictionaries(st.sampled_from(["q", "page", "lang", "monkey", "author"]), st.text("xyz 0&=?#;", max_size=6))


@given(PLAIN, NAMES, SECRETS, PLAIN)
def test_no_credential_of_a_query_is_shown(
    before: dict[str, str], name: str, secret: str, after: dict[str, str]
) -> None:
    """Whatever stands around it; the rest of the address is as it was, and it still opens the page."""
    head, tail = urlencode(before), urlencode(after)
    url = f"https://example.org/a/b?{'&'.join(filter(None, (head, f'{name}={quote_plus(secret)}', tail)))}"
    shown = without_credentials(normalise_url(url))
    assert "s3cr3t" not in shown
    assert shown == url.replace(quote_plus(secret), "…")
    assert without_credentials(shown) == shown
    (item,) = list_sources([url]).items
    assert (item.source, item.origin, item.locator) == (shown, shown, url)


@given(NAMES, SECRETS, st.integers(0, 7))
def test_no_credential_of_an_address_in_an_address_is_shown(name: str, secret: str, times: int) -> None:
    """Links that lead on carry the next address, encoded once or often, or not at all."""
    inner = f"https://elsewhere.example/?a=1&{name}={quote(secret)}"
    for _ in range(times):
        inner = quote_plus(inner)
    assert "s3cr3t" not in redacted(f"https://example.org/go?to={inner}")


@given(st.text())
def test_any_text_can_be_asked_for_credentials(text: str) -> None:
    """Nothing is raised, and what was redacted once stays as it is."""
    for spec in (text, f"https://{text}", f"https://h/?{text}", f"https://h/?a={text}&token={text}"):
        shown = redacted(spec)
        assert redacted(shown) == shown
        assert as_given(shown) == as_given(as_given(shown))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a?keyword=tokens&page=3&author=me",
        "https://example.org/?monkey=1&turkey=2&design=3&passage=4&session=2026",
        "https://example.org/?q=",
        "https://example.org/?token=",
        "https://example.org/token/key",
    ],
)
def test_what_is_no_credential_is_shown(url: str) -> None:
    """Words that only contain one, an empty value, a path."""
    assert without_credentials(url) == url
    assert not has_credentials(url)


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("https://me:pw@example.org/a?token=5#x", "https://example.org/a?token=…#x"),
        ("https://example.org/a#access_token=5", "https://example.org/a#access_token=…"),
        ("https://example.org/a;token=5/b?c=1", "https://example.org/a;token=…"),
        ("https://example.org/a?to%6ben=5", "https://example.org/a?to%6ben=…"),
        ("http://[bad?token=5", "http://[bad?token=…"),
        ("ftp://example.org/a?sig=5", "ftp://example.org/a?sig=…"),
        ("https://example.org/a?q=" + "%25" + "25" * 900 + "41", "https://example.org/a?q=…"),
        ("/srv/a?token=5.md", "/srv/a?token=5.md"),
    ],
)
def test_a_spec_is_shown_without_what_opens_it(spec: str, shown: str) -> None:
    """Logins and credentials, also of an address that can't be fetched; a path is a path."""
    assert as_given(spec) == shown
    assert has_credentials(spec) == (spec != shown)


def test_an_origin_is_the_same_whatever_opens_it() -> None:
    """Another token is another way to the same document."""
    first, second = (origin_of(f"https://example.org/a?b=1&token={n}") for n in (1, 2))
    assert first == second == "https://example.org/a?b=1&token=…"


def test_addresses_that_only_a_credential_tells_apart_are_one() -> None:
    """The first is kept, the second is rejected with that reason; the very same address twice is said to be listed."""
    listing = list_sources([f"https://example.org/?key={key}" for key in ("intro", "outro", "intro")])
    assert [item.locator for item in listing.items] == ["https://example.org/?key=intro"]
    reasons = [(entry.source, entry.code, entry.reason.split(":")[0]) for entry in listing.rejected]
    assert reasons == [
        (
            "https://example.org/?key=…",
            "duplicate",
            "only what looks like a credential tells it from one listed already",
        ),
        ("https://example.org/?key=…", "duplicate", "it was listed already, under https"),
    ]
