"""Values of JSON as people read them."""

import pytest

from mlorch_site.templatetags.mlorch import told


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (["a", 1], "a; 1"),
        ([], "none"),
        (None, "none"),
        (True, "yes"),
        ({"max_age": 3, "empty": "", "flaws": [{"package": "tiny"}]}, "max age: 3, flaws: package: tiny"),
        ("<b>", "<b>"),
    ],
)
def test_told__parts_and_names(value, wanted):
    assert told(value) == wanted
