"""Quality: contracts, which say what data must be, and the checks of data against them."""
