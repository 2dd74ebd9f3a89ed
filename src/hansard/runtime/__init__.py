"""The live side: agents that answer, and the turns that are made of their answers."""
