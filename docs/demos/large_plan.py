"""Features of card payments, for more rows than fit in memory: is a payment fraud?

`fastfeat fit plan.py rows --memory 600MiB -o payments.fastfeat` runs this file and fits its
variable `plan`.
"""

import fastfeat as ff
from fastfeat import col

signals = [f"signal_{k:02}" for k in range(22)]
amount = col("amount").log1p()

plan = ff.Plan(
    {
        **{name: col(name).standard_scale() for name in signals[:10]},
        **{name: col(name).min_max_scale() for name in signals[10:15]},
        **{name: col(name).robust_scale() for name in signals[15:18]},
        **{name: col(name).impute("median") for name in signals[18:]},
        "amount": amount.robust_scale(),
        "amount_decile": col("amount").qcut(10),
        "amount_vs_country": amount - amount.mean(by="country"),
        "hour": col("at").dt.hour().cyclical(24),
        "country": col("country").ordinal_encode(),
        "card_payments": col("card").count_encode(),
        # out of fold, with all payments of a card in one fold
        "merchant_risk": col("merchant").target_encode("is_fraud", folds=5, fold_by="card"),
    },
    label={"is_fraud": col("is_fraud")},
    dtype="float32",
    keep=["payment"],
)
