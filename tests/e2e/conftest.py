"""One running product with real trained versions, for all tests of a module."""

from collections.abc import Iterator

import pytest

from tests.e2e.client import Rest
from tests.support.product import Product, prepared


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The product without its demo and with two gateway processes; the demo's three versions are registered and
    mirrored.
    """
    with prepared(tmp_path_factory.mktemp("product"), "--no-demo", "--gateway-processes", "2") as product:
        yield product


@pytest.fixture(scope="package")
def rest(product: Product) -> Rest:
    rest = Rest(product)
    rest.until_mirrored()
    return rest
