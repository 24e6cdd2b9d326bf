"""Which page of the lab shows, of one's own adapters, what a notebook teaches."""

PAGE_OF = {
    1: "adapters",
    2: "interference",
    3: "masks",
    4: "study",
    5: "interference",
    6: "merge",
    7: "continual",
    8: "study",
    9: "merge",
}  # number of the notebook -> page, a name in app/pages


def notebooks_of(page: str) -> list[int]:
    """Numbers of the notebooks that teach what the page shows."""
    return [number for number, name in PAGE_OF.items() if name == page]
