from training.errors import (
    DataError,
    FeatureMismatch,
    QualityGateFailed,
    SchemaError,
    SegmentDamaged,
    SplitLeakage,
    TrainingDiverged,
    UnknownModel,
)


def test_data_errors_are_one_tree_below_value_error() -> None:
    assert issubclass(DataError, ValueError)
    kinds = {SchemaError, FeatureMismatch, SplitLeakage, SegmentDamaged}
    assert kinds == set(DataError.__subclasses__())


def test_divergence_names_epoch_batch_and_terms() -> None:
    error = TrainingDiverged(3, 7, {"bpr": float("nan"), "l2": 0.5})

    assert "epoch 3, batch 7: bpr=nan, l2=0.5" in str(error)
    assert error.terms["l2"] == 0.5


def test_gate_names_candidate_and_live_values() -> None:
    error = QualityGateFailed("ndcg fell", candidate={"ndcg@20": 0.1}, live={"ndcg@20": 0.2})

    assert "ndcg fell: candidate ndcg@20 0.1000 (live 0.2000)" in str(error)


def test_unknown_model_lists_the_choices_sorted() -> None:
    assert "unknown model 'x'; choose one of: a, b" in str(UnknownModel("x", ["b", "a"]))
