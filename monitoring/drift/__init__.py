"""How far what is asked, and what is answered, has moved from a reference. Pure: counts in, words out."""
