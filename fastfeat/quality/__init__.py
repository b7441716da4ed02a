"""Quality: contracts, which say what data must be; profiles, which say what it was; their checks."""
