"""Storage of plans: plans as JSON documents, and fitted plans as artifacts."""
