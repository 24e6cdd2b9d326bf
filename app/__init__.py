"""Web application, a thin client over lori_core. It imports no torch: models live in other processes."""
