"""Artifacts are changed in MLflow between two approvals: the release never starts, and everybody can see why."""

import pytest

from tests.e2e.client import Rest
from tests.support.product import Product

pytestmark = pytest.mark.e2e

ENDED = {"rejected"}


def test_artifacts__changed_after_an_approval__release_is_refused_with_the_reason(product: Product, rest: Rest) -> None:
    answer = rest.request(3, {"kind": "immediate"}, endpoint="tampered")
    release = answer.body["id"]
    rest.reach(release, {"awaiting_approval"})
    approve = {"decision": "approve", "comment": "fine"}
    assert rest.call("reviewer", "POST", f"/releases/{release}/decisions", approve).status == 200
    (code,) = (product.data_dir / "mlflow" / "artifacts").rglob("bands.py")
    code.write_text(code.read_text() + "\n# changed after the approval\n")

    assert rest.call("risk", "POST", f"/releases/{release}/decisions", approve).status == 200
    done = rest.reach(release, ENDED)

    assert "changed" in done["status_reason"], done["status_reason"]
    assert done["approval"]["status"] == "void"
    assert rest.get("/endpoints/production/tampered")["arms"] == []
