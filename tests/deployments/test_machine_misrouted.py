"""The rollout machine with a gateway that refuses tables, and one that does not split the traffic as it is told."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.deployments.test_machine import Machine


class Misrouted(Machine):
    """Left alone with a gateway that obeys again, every rollout ends."""

    def ends(self) -> None:
        self.world.platform.refuses, self.world.skew = "", {}
        super().ends()

    @rule(says=st.sampled_from(["", "torn"]))
    def refuse(self, says):
        self.world.platform.refuses = says

    @rule(share=st.sampled_from([None, 40]))
    def split(self, share):
        self.world.skew = {} if share is None else {"2": share, "3": share}


def test_machine__gateway_refuses_or_splits_wrong__invariants_hold(db):
    run_state_machine_as_test(
        Misrouted,
        settings=settings(
            max_examples=10,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
