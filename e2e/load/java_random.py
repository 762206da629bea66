"""The random numbers of java.util.Random, whose algorithm Java's documentation lays down. Pure."""

_MULTIPLIER = 0x5DEECE66D
_INCREMENT = 0xB
_MASK = (1 << 48) - 1


class JavaRandom:
    """Gives the numbers that java.util.Random gives from the same seed."""

    def __init__(self, seed: int) -> None:
        """Only the lowest 48 bits of the seed count."""
        self._state = (seed ^ _MULTIPLIER) & _MASK

    def next_double(self) -> float:
        """The next number in [0, 1), of 53 random bits."""
        return ((self._next(26) << 27) + self._next(27)) / (1 << 53)

    def _next(self, bits: int) -> int:
        self._state = (self._state * _MULTIPLIER + _INCREMENT) & _MASK
        return self._state >> (48 - bits)
