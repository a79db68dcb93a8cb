"""Why something cannot be done, with the way to what helps."""


class Reason(str):
    """A sentence that says why not. Pages lead from it to `url`, under the name `label`."""

    url: str
    label: str

    def __new__(cls, text: str, url: str, label: str) -> "Reason":
        reason = super().__new__(cls, text)
        reason.url, reason.label = url, label
        return reason
