import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from deployments.models import Endpoint
from deployments.plan_forecast import EndpointTraffic, traffic_of
from deployments.plan_trials import EFFECTS_PP, TrialWish, trials_of
from deployments.rollout.simulation import PlanTrial, SimulatedTraffic, Simulation, simulate
from mlorch_site.lib.errors import Invalid
from registry.selectors import ruling_policy

CANARY = '{"kind": "canary", "steps": [{"weight": 10, "bake_s": 60}, {"weight": 50, "bake_s": 60}]}'
HEAD = ("truth", "promoted", "rolled back (95 %)", "deadline", "median", "90 %", "bad requests")


class Command(BaseCommand):
    help = "What a plan would come to at an endpoint, by simulation with its measured traffic."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("environment")
        parser.add_argument("endpoint")
        parser.add_argument("--strategy", default=CANARY, help="as JSON, as a request has it")
        parser.add_argument("--guardrails", default="", help="as JSON; without it those of the policy in force")
        parser.add_argument(
            "--effect", type=float, action="append", help="true excess of errors in points; may be repeated"
        )
        parser.add_argument("--rate", type=float, help="requests per second, instead of those measured")
        parser.add_argument("--error-share", type=float, help="in percent, instead of that measured")
        parser.add_argument("--design-effect", type=float, help="instead of that of the newest rollout")
        parser.add_argument("--rollouts", type=int, default=100)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        place = {"environment__name": options["environment"], "name": options["endpoint"]}
        endpoint = Endpoint.objects.select_related("environment", "model").filter(**place).first()
        if endpoint is None:
            raise CommandError("There is no such endpoint.")
        traffic = _traffic(traffic_of((options["environment"], options["endpoint"])), options)
        try:
            trials = trials_of(_wish(endpoint, traffic, options))
        except (Invalid, ValueError) as error:
            raise CommandError(str(error)) from error
        found = [simulate(trial, self._progress(trial)) for trial in trials]
        if options["json"]:
            self.stdout.write(json.dumps({"traffic": asdict(traffic), "simulated": [asdict(one) for one in found]}))
            return
        self.stdout.write(
            f"{traffic.rate_per_s:.1f} requests/s, {traffic.error_share:.2%} errors, "
            f"{traffic.design_effect:.1f} requests worth one; {options['rollouts']} rollouts each"
        )
        for row in (HEAD, *(_row(one) for one in found)):
            self.stdout.write("".join(f"{cell:>20}" for cell in row))

    def _progress(self, trial: PlanTrial) -> Any:
        def tell(done: int) -> None:
            if done % max(trial.rollouts // 10, 1) == 0:
                self.stderr.write(f"{trial.excess * 100:+g} points: {done} of {trial.rollouts}")

        return tell


def _traffic(measured: EndpointTraffic, options: dict[str, Any]) -> SimulatedTraffic:
    given = {
        "rate_per_s": options["rate"],
        "error_share": None if options["error_share"] is None else options["error_share"] / 100,
        "design_effect": options["design_effect"],
    }
    try:
        return SimulatedTraffic(**{**asdict(measured), **{name: v for name, v in given.items() if v is not None}})
    except ValueError as error:
        raise CommandError(str(error)) from error


def _wish(endpoint: Endpoint, traffic: SimulatedTraffic, options: dict[str, Any]) -> TrialWish:
    """Raises ValueError for what is no JSON."""
    policy = ruling_policy(endpoint.environment, endpoint.model)
    guardrails = json.loads(options["guardrails"]) if options["guardrails"] else policy.default_guardrails
    return TrialWish(
        strategy=json.loads(options["strategy"]),
        guardrails=guardrails,
        traffic=traffic,
        deadline_s=policy.judge_deadline_s,
        effects_pp=tuple(options["effect"] or EFFECTS_PP),
        rollouts=options["rollouts"],
        seed=options["seed"],
    )


def _row(one: Simulation) -> tuple[str, ...]:
    return (
        f"{one.excess * 100:+g} points",
        f"{one.promoted:.0%}",
        f"{one.rolled_back:.0%} ({one.rolled_back_low:.0%}-{one.rolled_back_high:.0%})",
        f"{one.deadline:.0%}",
        "–" if one.detected_median_s is None else f"{one.detected_median_s} s",
        "–" if one.detected_90_s is None else f"{one.detected_90_s} s",
        f"{one.bad_requests_mean:.1f}",
    )
