"""The demos: features of real flights, fitted and timed beside pandas, trained on, and live.

The command line alone imports them; they import the API, as a user does, and whatever they show.
"""
