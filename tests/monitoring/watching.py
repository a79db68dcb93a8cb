"""A watched endpoint with traffic by the minute, looked at as the beat does, with time as a variable."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import time_machine
from django.test import TestCase

from mlorch_site.live.outbox import relay
from monitoring.models import Alert, AlertRule, RuleStanding, Window
from monitoring.services import alerts_escalate, objectives_measure, rules_look, silences_expire
from monitoring.watched_endpoint import WatchedEndpoint
from registry.models import Environment, Model
from tests.monitoring.windows import NOW, latency


@dataclass
class Watch:
    """`minutes` lets time go by, each minute with so many requests and bad ones, and looks at its end."""

    people: Any
    now: datetime = NOW
    place: WatchedEndpoint = field(init=False)

    def __post_init__(self) -> None:
        environment = Environment.objects.create(name="production", position=0)
        model = Model.objects.create(name="tumours", created_at=NOW, updated_at=NOW)
        self.place = WatchedEndpoint(environment, model, "clinic")

    def at(self) -> Any:
        return time_machine.travel(self.now, tick=False)

    def window(self, requests: int, bad: int = 0, ms: float = 5.0, **fields: Any) -> Window:
        """The requests of the second before now."""
        values = {"environment": "production", "endpoint": "clinic", "arm": "stable", "version": 1, "release": "r1"}
        values |= {"start": self.now - timedelta(seconds=1), "seconds": 1, "requests": requests, "ok": requests - bad}
        values |= {"server_errors": bad, "latency": latency([ms] * requests)}
        return Window.objects.create(**values | fields)

    def look(self, *, late_s: float | None = 0) -> None:
        """One beat; what gateways counted is `late_s` late, None when none is connected."""
        told = None if late_s is None else self.now - timedelta(seconds=late_s)
        with self.at(), TestCase.captureOnCommitCallbacks(execute=True):
            rules_look(now=self.now, told_until=told)
            objectives_measure(now=self.now)
            silences_expire(now=self.now)
            alerts_escalate(now=self.now)
            relay()

    def minutes(self, count: int, requests: int = 60, bad: int = 0, *, late_s: float | None = 0) -> None:
        for _ in range(count):
            self.now += timedelta(minutes=1)
            if requests:
                self.window(requests, bad)
            self.look(late_s=late_s)

    def state(self, rule: AlertRule) -> str:
        return RuleStanding.objects.get(rule=rule).state

    @property
    def alerts(self) -> list[Alert]:
        return list(Alert.objects.order_by("fired_at"))
