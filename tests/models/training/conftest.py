import pytest

from models.training.architecture import load_classifier
from tests.support.tiny_architectures import write_classifier


@pytest.fixture(params=("bert", "distilbert", "roberta", "electra", "mpnet"))
def model(request, tmp_path):
    return load_classifier(write_classifier(tmp_path / "it", request.param, ("bad", "good", "odd")))
