"""Changes: what differs between two fitted plans, and what that means for those who read them."""
