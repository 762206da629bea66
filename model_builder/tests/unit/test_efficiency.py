import pytest

from model_builder.efficiency import compression_share, efficiency_score
from model_builder.published import PAPER_004_BASELINE_PERCENT, PAPER_004_GRID, PAPER_004_SCORES

# The paper's table II follows from its table I but for these cells, where its density was rounded before or after.
ROUNDING = 0.01


@pytest.mark.parametrize(("gamma", "bits", "power"), list(PAPER_004_SCORES))
def test_the_papers_scores_follow_from_its_grid(gamma, bits, power):
    cell = PAPER_004_GRID[gamma, bits]
    share = compression_share(cell.density_percent / 100, bits)
    score = efficiency_score(cell.accuracy_percent, PAPER_004_BASELINE_PERCENT, share, power)
    assert score == pytest.approx(PAPER_004_SCORES[gamma, bits, power], rel=ROUNDING)


def test_nothing_left_has_no_score():
    assert efficiency_score(50.0, 87.21, 0.0, 1) is None
    assert efficiency_score(50.0, 0.0, 0.5, 1) is None


def test_an_uncompressed_network_scores_one():
    assert efficiency_score(87.21, 87.21, compression_share(1.0, 32), 3) == 1
