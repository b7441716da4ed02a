"""The faces: what users call, over the frozen records that all below works on.

The integrations, services, command line and tests import it; nothing below does.
"""
