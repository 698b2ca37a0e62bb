"""Points in time and lengths of time as the command line takes them."""

from recant.times import DURATION_HELP, HELP, Zoneless, parse_duration, parse_time

__all__ = ["DURATION_HELP", "HELP", "Zoneless", "parse_duration", "parse_time"]
