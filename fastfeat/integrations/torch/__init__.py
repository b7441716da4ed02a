"""Batches of tensors for torch: tables, files or readers, transformed by a plan piece by piece.

Data of any size is read and transformed one row group at a time, by the workers of a loader:

    loader = FeatureBatches(fitted, "train/", 4096).loader(num_workers=2)
    for epoch in range(10):
        for batch in loader:  # "dense" float32 (n, d), "codes" int64 (n, k), "label" (n,)
            ...

A target encoding must not know the label of the row that it encodes. The rows that a plan has
learned from therefore need out-of-fold encodings, which `fit_transform` returns.

    fitted, features = plan.fit_transform(train)
    batches = FeatureBatches.of_features(fitted, features, label=fitted.label(train))

One embedding layer for each column of codes:

    layers = [torch.nn.Embedding(*size) for size in embedding_sizes(batches).values()]

A data module of Lightning. Its trainer saves the loader's `state_dict`, so a checkpoint from the
middle of an epoch resumes with the rows that were not seen:

    class Flights(lightning.LightningDataModule):
        def __init__(self, fitted):
            super().__init__()
            self.fitted = fitted

        def train_dataloader(self):
            return FeatureBatches(self.fitted, "train/", 100, even="pad").loader(num_workers=1)

        def val_dataloader(self):
            return FeatureBatches(self.fitted, "test/", 100, shuffle=False, even="pad").loader()
"""

from __future__ import annotations

from fastfeat.integrations.torch.batches import FeatureBatches, FeatureLoader
from fastfeat.integrations.torch.embeddings import embedding_sizes

__all__ = ["FeatureBatches", "FeatureLoader", "embedding_sizes"]
