"""The practice world: data sets as real ones look, made of nothing, for who has none at hand."""
