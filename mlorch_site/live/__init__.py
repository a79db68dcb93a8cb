"""Live pages: the event table, its outbox and relay, and the websocket consumer base."""
