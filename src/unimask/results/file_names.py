"""Names of the files that results are saved to."""


def result_file_names(stem: str, confidence: bool = False) -> dict[str, str]:
    """Return the names of the files that `Result.save` writes, with the confidence or without."""
    names = {"overlay": f"{stem}_overlay.png", "ids": f"{stem}_ids.png", "json": f"{stem}.json"}
    return names | ({"confidence": f"{stem}_confidence.png"} if confidence else {})
