"""What peers serve. These files run in the peers' own environments; nothing of mlorch is imported here."""
