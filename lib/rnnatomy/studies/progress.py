"""Lines that tell how far a study is."""


def print_progress(word: str, done: int, of: int) -> None:
    """Print after each ten, and at the end, how many are done."""
    if done % 10 == 0 or done == of:
        print(f"{word} {done} of {of}", flush=True)


def clock(seconds: float) -> str:
    """Write seconds as minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s"
