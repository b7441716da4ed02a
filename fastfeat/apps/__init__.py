"""Programs: the command line, the server and the stream."""
