"""The demo: a client of mlorch like any other.

It trains real models, asks for releases over REST, and replays real rows.
"""

MODEL = "breast-cancer"
ENDPOINT = "breast-cancer"
