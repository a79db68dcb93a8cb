"""One running product with real trained versions, for all tests of a module."""

from collections.abc import Iterator

import pytest

from tests.e2e.client import Rest
from tests.support.otlp import SpanReceiver, receiving
from tests.support.product import Product, prepared


@pytest.fixture(scope="package")
def receiver() -> Iterator[SpanReceiver]:
    """What the product's gateways send traces to."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory, receiver: SpanReceiver) -> Iterator[Product]:
    """The product without its demo and with two gateway processes, which send the traces that clients ask for; the
    demo's three versions are registered and mirrored.
    """
    folder, arguments = tmp_path_factory.mktemp("product"), ("--no-demo", "--gateway-processes", "2")
    variables = {"MLORCH_GATEWAY_OTLP_URL": receiver.url, "MLORCH_GATEWAY_TRACE_SHARE_PCT": "0"}
    with prepared(folder, *arguments, variables=variables) as product:
        yield product


@pytest.fixture(scope="package")
def rest(product: Product) -> Rest:
    rest = Rest(product)
    rest.until_mirrored()
    return rest
