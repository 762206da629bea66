"""What the API server did not take, of all models: Events, and writes that it refused."""

from dataclasses import dataclass, field

from model_operator.refused import Refused
from model_operator.untold import Untold


@dataclass(frozen=True)
class Untaken:
    """What the API server did not take: kept as long as the operator runs, and good for a few requests less."""

    untold: Untold = field(default_factory=Untold)
    refused: Refused = field(default_factory=Refused)
