import numpy as np
import pytest
import torch
from transformers.modeling_outputs import SequenceClassifierOutput

from models.recipe_sections import TrainingSection
from models.training.checkpoint import Checkpoint
from models.training.loop import fit, label_loss

IDS = np.random.default_rng(0).integers(0, 40, (50, 6)).tolist()
TRUTH = torch.nn.functional.one_hot(torch.tensor([sum(ids) % 2 for ids in IDS])).bool()
SECTION = TrainingSection(epochs=3, learning_rate=1e-2, batch_texts=8)


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = torch.nn.Embedding(40, 8)
        self.dropout = torch.nn.Dropout(0.3)
        self.head = torch.nn.Linear(8, 2)

    def forward(self, input_ids, attention_mask, output_hidden_states):
        assert attention_mask.all()
        assert output_hidden_states
        vectors = self.dropout(self.words(input_ids)).mean(1)
        return SequenceClassifierOutput(logits=self.head(vectors))


class Killed(Exception):
    pass


def trained(checkpoint, *, most_batches=1000, epochs_before=0):
    """The weights after training, and the batches that it took; or Killed after so many."""
    model, loss, taken = Tiny(), label_loss("single_label"), []
    scores = iter([0.3, 0.9, 0.5][epochs_before:])

    def counted(batch, output):
        if len(taken) == most_batches:
            raise Killed
        taken.append(batch)
        return loss(output.logits, TRUTH[batch])

    torch.manual_seed(1)
    fit(model, IDS, counted, SECTION, validate=lambda: next(scores), checkpoint=checkpoint)
    return model.state_dict(), taken


def always(folder):
    """A checkpoint that is written at every batch."""
    clock = iter(range(0, 10**9, 1000))
    return Checkpoint(folder, clock=lambda: next(clock))


@pytest.mark.parametrize("batches", [1, 6, 7, 9])
def test_a_training_that_was_killed_ends_with_the_weights_of_one_that_was_not(tmp_path, batches):
    whole, taken = trained(Checkpoint(None))
    with pytest.raises(Killed):
        trained(always(tmp_path), most_batches=batches)

    # Seven batches are an epoch, whose score is not asked for again.
    weights, rest = trained(Checkpoint(tmp_path), epochs_before=batches // 7)

    assert len(rest) == len(taken) - batches
    for name, value in whole.items():
        torch.testing.assert_close(weights[name], value)


def test_a_damaged_state_is_said_and_training_begins_again(tmp_path, capsys):
    (tmp_path / "training.pt").write_bytes(b"no state")

    _, taken = trained(Checkpoint(tmp_path))

    assert len(taken) == 21
    assert "cannot be read, so training begins again" in capsys.readouterr().out


def test_a_state_is_written_every_five_minutes(tmp_path):
    now = iter([0.0, 299.0, 301.0, 301.0, 600.0])
    checkpoint = Checkpoint(tmp_path, clock=lambda: next(now))

    checkpoint.write_if_due(lambda: pytest.fail("too early"))
    checkpoint.write_if_due(lambda: {"done": 5})
    checkpoint.write_if_due(lambda: pytest.fail("too early"))

    assert Checkpoint(tmp_path).read() == {"done": 5}
