"""Batches of tensors for torch: tables, files or readers, transformed by a plan piece by piece.

Rows to see, of whatever size, are read and transformed a row group at a time, in each worker:

    batches = FeatureBatches(fitted, "train/", 4096)
    loader = batches.loader(num_workers=2)
    for epoch in range(10):
        for batch in loader:  # "dense" float32 (n, d), "codes" int64 (n, k), "label"
            ...

Rows to learn from need encodings of the target out of fold, which `fit_transform` gives at once:

    fitted, features = plan.fit_transform(train)
    batches = FeatureBatches.of_features(fitted, features, label=fitted.label(train))

A layer of embeddings a code, and a DataModule of Lightning, whose checkpoints hold where the loader
was, as its trainer saves what a loader has as `state_dict`:

    layers = [torch.nn.Embedding(*size) for size in embedding_sizes(batches).values()]

    class Flights(lightning.LightningDataModule):
        def __init__(self, fitted):
            super().__init__()
            self.fitted = fitted

        def train_dataloader(self):
            return FeatureBatches(self.fitted, "train/", even="pad").loader(num_workers=2)

        def val_dataloader(self):
            return FeatureBatches(self.fitted, "test/", shuffle=False, even="pad").loader()
"""

from __future__ import annotations

from fastfeat.integrations.torch.batches import FeatureBatches
from fastfeat.integrations.torch.embeddings import embedding_sizes
from fastfeat.integrations.torch.loader import FeatureLoader

__all__ = ["FeatureBatches", "FeatureLoader", "embedding_sizes"]
