"""The lab in a browser: a thin client over lori_core. It imports no torch; work on models happens in other processes."""
