"""What a browser would send of the form of a policy."""

from typing import Any

from registry.forms import PolicyForm
from registry.models import Policy
from registry.services.environments import policy_values


def sent(values: dict[str, Any] | Policy, **changes: Any) -> dict[str, Any]:
    """The form as it is shown, with what is changed in it; None takes a field away."""
    form = PolicyForm(values=policy_values(values) if isinstance(values, Policy) else values)
    fields = [*form.text]
    for rows in form.rows.values():
        fields += [*rows.management_form]
        fields += [field for row in rows for field in row]
    data = {field.html_name: field.value() for field in fields}
    data |= changes
    return {name: value for name, value in data.items() if value is not None and value is not False and value != ""}
