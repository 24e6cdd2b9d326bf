"""Folder of the package's own data: the embedded base, its adapters, translations.

An installed wheel carries `assets/` inside the package; a checkout has it beside the package.
"""

from importlib import resources
from pathlib import Path

_installed = Path(str(resources.files("lori_core"))) / "assets"
ASSETS: Path = _installed if _installed.is_dir() else _installed.parent.parent / "assets"

# Of plotly.js the part with cartesian charts (npm: plotly.js-cartesian-dist-min), which are all that we draw: a third
# of the whole that comes with plotly. Its version is that of plotly's own copy.
PLOTLY_JS = ASSETS / "plotly" / "plotly-cartesian.min.js"
