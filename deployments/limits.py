"""Every limit of deployments, with its unit in the name."""

from datetime import timedelta

from dataplane.wire import route_table, shapes

GATEWAY_LEASE_S = 10  # a gateway that has not reported for longer does not hold up a rollout
GATEWAY_TOUCH_S = 5  # how often a waiting long poll says that its gateway lives
AGENT_LEASE_S = 30  # replicas of an agent silent for longer may be taken over by another
REPLICA_GONE_S = 60  # an unwanted replica whose agent is silent for longer is forgotten

STEPS_MAX = 20
BAKE_S_MAX = 7 * 24 * 3600
MIN_REQUESTS_MAX = 10_000_000
GUARDRAILS_MAX = shapes.SLOS_MAX  # each may name a latency objective
AGREEMENT_PCT_MAX = 99  # that every answer ever will agree cannot be shown
SLO_MS_MAX = shapes.SLO_MS_MAX
TARGET_HEADERS_MAX = route_table.TARGET_HEADERS_MAX
TARGET_VALUES_MAX = route_table.TARGET_VALUES_MAX  # of one header
TARGET_VALUE_MAX_CHARS = 200
TARGET_UNITS_MAX = route_table.TARGET_UNITS_MAX
TARGET_UNIT_MAX_CHARS = 256  # of which a gateway reads no more
REASON_MAX_CHARS = 2000
TICKET_MAX_CHARS = 200
QUEUED_PER_ENDPOINT_MAX = 20
PLAN_TEMPLATES_MAX = 200
GROUP_NAME_MAX_CHARS = 80
GROUP_MEMBERS_MIN, GROUP_MEMBERS_MAX = 2, 10
GROUPS_PER_TICK = 200
SIMULATIONS_AT_ONCE = 2  # of an endpoint
SIMULATION_LEASE_S = 60  # one that says nothing for longer is taken up again
SIMULATIONS_KEPT = timedelta(days=30)
QUEUE_TURNS_PER_TICK = 50

LOOK_S = 1.0  # a moving rollout is looked at this often
LOOK_IDLE_S = 5.0  # and one that waits for people
CHECK_LEASE_S = 60  # gates that have not answered by then are run again
START_SLACK_S = 30
SHIFT_DEADLINE_S = 900  # a weight that gateways do not acknowledge by then is taken back
REVERT_DEADLINE_S = 120  # a live gateway that does not obey the old weights by then does not hold the end up longer
SPLIT_SETTLE_S = 1  # what is answered that soon after a change of weights may have been drawn before it
STRAY_PER_MILLE = 1  # of the stable arm's, when the candidate has all traffic: so few do not make a split wrong
HOLD_DEADLINE_S = 7 * 24 * 3600
PAUSE_DEADLINE_S = 7 * 24 * 3600
INSTANT_PASSES_MAX = 6  # how far one call may bring a rollout without waiting for anybody

ROUTE_TABLES_KEPT = 200
ROUTES_SWEEP_S = 60  # tables are built anew that often even without news
STATUS_REASON_MAX_CHARS = 500
UNACKNOWLEDGED_MAX_CHARS = 200  # of what a gateway says about a table it refuses
KEY_BYTES = 32
KEY_NAME_MAX_CHARS = 80
WATCH_S, WATCH_S_MAX = 600, 24 * 3600  # of what was promoted, unless the strategy says otherwise
BAKE_WATCHES_PER_TICK = 200
PRINT_LEASE_S = 300  # within which a report's PDF is made, or somebody else tries
