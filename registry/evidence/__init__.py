"""Where gates look besides the version itself: advisories, resolved requirements, signing keys, answers of others."""
