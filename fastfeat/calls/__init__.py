"""How the call of a user is checked, completed and recorded."""
