"""Learning on a device: scans of columns, in rounds."""
