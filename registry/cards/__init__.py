"""Model cards: what a version is for, what it is not for, and what it was made of."""
