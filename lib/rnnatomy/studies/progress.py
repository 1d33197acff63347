"""How far a study is: lines that tell it."""


def print_line(line: str) -> None:
    """Print a line at once, also where the output is read by another process."""
    print(line, flush=True)


def clock(seconds: float) -> str:
    """Write seconds as minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s"
