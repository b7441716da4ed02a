"""Trust: data checked, drift told, promises verified, all of it reported."""
