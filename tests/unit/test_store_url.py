import pytest

from holdfast_server.errors import InvalidArgument
from holdfast_server.storage.blocks.store_url import StoreUrl


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "s3://models?endpoint=http://127.0.0.1:9000",
            StoreUrl(bucket="models", endpoint="http://127.0.0.1:9000"),
            id="bucket and endpoint",
        ),
        pytest.param(
            "s3://models/?endpoint=http://127.0.0.1:9000/",
            StoreUrl(bucket="models", endpoint="http://127.0.0.1:9000"),
            id="slashes at the ends",
        ),
        pytest.param(
            "s3://my.models-2/team/a?endpoint=https://s3.eu-west-1.amazonaws.com&region=eu-west-1",
            StoreUrl(
                bucket="my.models-2",
                prefix="team/a/",
                endpoint="https://s3.eu-west-1.amazonaws.com",
                region="eu-west-1",
            ),
            id="all parts",
        ),
        pytest.param(
            "s3://models?endpoint=http%3A%2F%2Fminio%3A9000",
            StoreUrl(bucket="models", endpoint="http://minio:9000"),
            id="percent-encoded",
        ),
        pytest.param(
            "s3://models?endpoint=http://[::1]:9000",
            StoreUrl(bucket="models", endpoint="http://[::1]:9000"),
            id="IPv6",
        ),
        pytest.param(
            "s3://models?endpoint=HTTPS://Store.Example",
            StoreUrl(bucket="models", endpoint="https://store.example"),
            id="case of scheme and host",
        ),
    ],
)
def test_a_url_is_parsed(text: str, expected: StoreUrl):
    assert StoreUrl.parse(text) == expected


def test_the_host_and_scheme_are_told_apart():
    url = StoreUrl.parse("s3://models?endpoint=https://store.example:9443")
    assert (url.host, url.is_secure, url.region) == ("store.example:9443", True, "us-east-1")


ENDPOINT = "endpoint=http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        pytest.param(f"http://models?{ENDPOINT}", "begins with s3://", id="another scheme"),
        pytest.param("/var/blocks", "begins with s3://", id="a directory"),
        pytest.param("s3://[bad", "cannot be read", id="no URL"),
        pytest.param(f"s3://?{ENDPOINT}", "bucket follows s3://", id="no bucket"),
        pytest.param(f"s3:///prefix?{ENDPOINT}", "bucket follows s3://", id="a prefix alone"),
        pytest.param(f"s3://Models?{ENDPOINT}", "lower-case", id="upper case"),
        pytest.param(f"s3://ab?{ENDPOINT}", "3 to 63", id="short bucket"),
        pytest.param(f"s3://a..b?{ENDPOINT}", "lower-case", id="double dot"),
        pytest.param(f"s3://models:9000?{ENDPOINT}", "lower-case", id="a port at the bucket"),
        pytest.param(f"s3://models/a/../b?{ENDPOINT}", "prefix", id="dots in the prefix"),
        pytest.param(f"s3://models/a//b?{ENDPOINT}", "prefix", id="an empty component"),
        pytest.param(f"s3://models/a%20b?{ENDPOINT}", "prefix", id="percent in the prefix"),
        pytest.param(f"s3://models?{ENDPOINT}#x", "'#'", id="fragment"),
        pytest.param("s3://models", "names the server", id="no endpoint"),
        pytest.param("s3://models?region=eu-west-1", "names the server", id="region without endpoint"),
        pytest.param("s3://models?endpoint=ftp://host", "scheme is http or https", id="endpoint scheme"),
        pytest.param("s3://models?endpoint=127.0.0.1:9000", "scheme is http or https", id="endpoint without scheme"),
        pytest.param("s3://models?endpoint=", "scheme is http or https", id="empty endpoint"),
        pytest.param("s3://models?endpoint=http://", "nothing more", id="endpoint without host"),
        pytest.param("s3://models?endpoint=http://h:99999", "nothing more", id="endpoint port"),
        pytest.param("s3://models?endpoint=http://h:9000/path", "nothing more", id="endpoint path"),
        pytest.param("s3://models?endpoint=http://a b", "nothing more", id="endpoint host"),
        pytest.param(f"s3://models?{ENDPOINT}&region=", "region has letters", id="empty region"),
        pytest.param(f"s3://models?{ENDPOINT}&region=a/b", "region has letters", id="region"),
        pytest.param(f"s3://models?{ENDPOINT}&{ENDPOINT}", "endpoint comes once", id="twice"),
        pytest.param(f"s3://models?{ENDPOINT}&secure=1", "secure is neither", id="unknown query key"),
    ],
)
def test_a_broken_url_is_refused_with_the_rule(text: str, rule: str):
    with pytest.raises(InvalidArgument) as caught:
        StoreUrl.parse(text)
    assert rule in caught.value.message
    assert caught.value.message.startswith("The store is s3://bucket[/prefix]?endpoint=")
    assert caught.value.field == "store"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"s3://AKIA:hunter2@models?{ENDPOINT}", id="before the bucket"),
        pytest.param("s3://models?endpoint=http://AKIA:hunter2@127.0.0.1:9000", id="in the endpoint"),
        pytest.param(f"s3://models?{ENDPOINT}&access_key=AKIA&secret_key=hunter2", id="as keys"),
        pytest.param(f"s3://models?{ENDPOINT}&AWS_SECRET_ACCESS_KEY=hunter2", id="as variables"),
        pytest.param(f"s3://models?{ENDPOINT}&session_token=hunter2", id="a token"),
    ],
)
def test_credentials_are_refused_and_not_repeated(text: str):
    with pytest.raises(InvalidArgument) as caught:
        StoreUrl.parse(text)
    message = caught.value.message
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in message
    assert "AWS_SHARED_CREDENTIALS_FILE" in message
    assert "hunter2" not in message
    assert "AKIA" not in message
