"""Values that check themselves, and the rules between them; standard library only."""
