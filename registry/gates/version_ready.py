"""MLflow has the version, and says that it is ready."""

from registry.gates.base import Found, GateInput, failed, passed

LABEL = "Ready in MLflow"
HELP = "MLflow has the version, and says that it is ready."
LOOKS_AT = ("status",)
WAIVABLE = False


def check(given: GateInput) -> Found:
    status = given.version.status
    if given.version.is_ready:
        return passed("MLflow says that the version is ready.", status=status)
    return failed(f"MLflow says that the version is {status}; only a READY version can be released.", status=status)
