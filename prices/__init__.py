"""How the price table that comes with the program is made."""
