"""Quality: contracts and profiles, what data must be and was; checks, drift, and what changed."""
